//! What the author of a dispatcher target plugin needs: this crate and nothing else.
//!
//! **No tokio inside.** An `async fn` is fine, but it runs on the daemon's threads: use
//! [`Host`] for HTTP, sleeping and blocking work. A future must be `Send`, and it may be dropped at any
//! `await` (timeout, shutdown): then the event may have arrived, and it is delivered again.
//!
//! A plugin is a `cdylib` crate with one type that implements [`Target`] and exactly one of
//!
//! | trait | a call gets | it returns | for example |
//! |---|---|---|---|
//! | [`Each`] | one event | one verdict | pager, ticket |
//! | [`Together`] | many events as one message | one verdict for all | chat, SMS, mail |
//! | [`Batch`] | many events | a verdict for each | file, bulk API |
//!
//! and ends with [`export_target!`]. A complete plugin:
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
//! (`crate = "serde"` makes the derive use this crate's `serde`; a plugin that depends on `serde` itself
//! does not need it.)
//!
//! A panic anywhere in a plugin becomes [`Failure::retry`] with the panic's text. The daemon does not load a
//! crate built with `panic = "abort"`. A plugin is part of the daemon: same memory, same rights.
//!
//! # Versions
//!
//! `dispatcher-plugin-api` 1.x is one binary interface: the daemon loads plugins built with an older or a
//! newer 1.x. To keep that true, structs that cross the boundary never change, and new methods come
//! last, with a default. A change that breaks this is version 2 and exports another symbol; the daemon
//! does not load such a plugin and says so in one line.

#![warn(missing_docs, clippy::missing_errors_doc)]
#![deny(unsafe_code)]

#[doc(hidden)]
pub mod abi;
mod event;
mod export;
mod failure;
mod host;
mod http;
mod mistakes;
mod path;
mod reading;
mod receipt;
mod settings;
mod target;
pub mod testing;
mod time;

pub use crate::event::{Digest, Event, Events, Severity};
pub use crate::failure::{Failure, PROGRESS_BYTES_MAX, TEXT_BYTES_MAX};
pub use crate::host::{COUNTERS_MAX, Host, Level};
pub use crate::http::{HttpError, RequestBuilder, Response};
pub use crate::mistakes::Mistakes;
pub use crate::path::LocalPath;
pub use crate::receipt::{Receipt, Verdict, Verdicts};
pub use crate::settings::{HttpUrl, Invalid, InvalidUrl, Secret};
pub use crate::target::{Batch, Each, Target, Together};
pub use schemars::{self, JsonSchema};
pub use serde::{self, Deserialize};
pub use serde_json::{self, json};

/// What a plugin usually needs: `use dispatcher_plugin_api::prelude::*;`.
pub mod prelude {
    pub use crate::{
        Batch, Deserialize, Digest, Each, Event, Events, Failure, Host, HttpError, HttpUrl,
        Invalid, JsonSchema, Level, LocalPath, Mistakes, Receipt, Response, Secret, Severity,
        Target, Together, Verdict, Verdicts, export_target, json, schemars, serde, serde_json,
    };
}

#[doc(hidden)]
pub mod __private {
    //! What `export_target!` expands to. These names may change at any time.
    pub use crate::abi::{
        API_VERSION, BatchMode, EachMode, Export, Header, SECTION_MAGIC, TogetherMode, header,
        section,
    };
    pub use crate::export::{Options, name_is_valid};
    /// The compiler that built this crate, and so the plugin.
    pub const RUSTC: &str = env!("DISPATCHER_RUSTC");
}

/// The plugin in the guide compiles.
#[cfg(doctest)]
#[doc = include_str!("../../docs/guide/plugin.md")]
struct Guide;
