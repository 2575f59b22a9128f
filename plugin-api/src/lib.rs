//! What the author of a dispatcher target plugin needs: this crate and nothing else.
//!
//! **No tokio inside.** An `async fn` is fine, but it runs on the daemon's threads: use
//! [`Host`] for HTTP, sleeping and blocking work. A future must be `Send`, and it may be dropped at any
//! `await` (time limit, shutdown): then the event counts as "may have arrived" and comes again.
//!
//! A plugin is a `cdylib` crate with one type that implements [`Target`] and exactly one of
//!
//! | trait | a call brings | it answers | for example |
//! |---|---|---|---|
//! | [`Each`] | one event | one verdict | pager, ticket |
//! | [`Together`] | many events as one message | one verdict for all | chat, SMS, mail |
//! | [`Batch`] | many events | a verdict for each | file, bulk API |
//!
//! and ends with [`export_target!`]. A whole one:
//!
//! ```
//! use dispatcher_plugin_api::prelude::*;
//!
//! #[derive(Deserialize, JsonSchema)]
//! #[serde(crate = "serde", deny_unknown_fields)]
//! struct Settings {
//!     /// Where to post each event.
//!     url: HttpUrl,
//! }
//!
//! struct Post { settings: Settings, host: Host }
//!
//! impl Target for Post {
//!     type Settings = Settings;
//!     fn create(settings: Settings, host: Host) -> Result<Self, Invalid> {
//!         Ok(Self { settings, host })
//!     }
//! }
//!
//! impl Each for Post {
//!     async fn deliver(&self, event: Event<'_>) -> Verdict {
//!         self.host.post(&self.settings.url).body(event.data()).send().await?.verdict()
//!     }
//! }
//!
//! export_target!(Post, name = "post", each);
//! # fn main() {}
//! ```
//!
//! (`crate = "serde"` makes the derive use this crate's `serde`; it is not needed where the plugin depends
//! on `serde` itself.)
//!
//! A panic anywhere in a plugin becomes [`Failure::retry`] with the panic's text. A crate built with
//! `panic = "abort"` is refused. An in-process plugin is part of the daemon: same memory, same rights.

#![warn(missing_docs)]

#[doc(hidden)]
#[expect(unsafe_code, reason = "the binary interface between daemon and plugin")]
pub mod abi;
mod event;
mod export;
mod failure;
mod host;
mod http;
mod path;
mod receipt;
mod settings;
mod target;
pub mod testing;
mod time;

pub use crate::event::{Digest, Event, Events, Severity};
pub use crate::failure::{Failure, PROGRESS_BYTES_MAX, TEXT_BYTES_MAX};
pub use crate::host::{COUNTERS_MAX, Host, Level};
pub use crate::http::{HttpError, RequestBuilder, Response};
pub use crate::path::LocalPath;
pub use crate::receipt::{Receipt, Verdict, Verdicts};
pub use crate::settings::{HttpUrl, Invalid, InvalidUrl, Secret};
pub use crate::target::{Batch, Each, Target, Together};
pub use schemars::{self, JsonSchema};
pub use serde::{self, Deserialize};
pub use serde_json::{self, json};

/// Everything that a plugin usually names: `use dispatcher_plugin_api::prelude::*;`.
pub mod prelude {
    pub use crate::{
        Batch, Deserialize, Digest, Each, Event, Events, Failure, Host, HttpError, HttpUrl,
        Invalid, JsonSchema, Level, LocalPath, Receipt, Response, Secret, Severity, Target,
        Together, Verdict, Verdicts, export_target, json, schemars, serde,
    };
}

#[doc(hidden)]
pub mod __private {
    //! What `export_target!` expands to. No promise is made about these names.
    pub use crate::abi::{API_VERSION, Export, Header, SECTION_MAGIC, header, section};
    pub use crate::export::{BatchMode, EachMode, Options, TogetherMode, name_is_valid};
    /// The compiler that built this crate, and so the plugin.
    pub const RUSTC: &str = env!("DISPATCHER_RUSTC");
}

/// The plugin in the guide compiles.
#[cfg(doctest)]
#[doc = include_str!("../../docs/guide/plugin.md")]
struct Guide;
