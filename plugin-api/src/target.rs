//! The traits that a plugin implements.

use std::future::Future;

use schemars::JsonSchema;
use serde::de::DeserializeOwned;

use crate::{Digest, Event, Events, Host, Invalid, Verdict, Verdicts};

/// A destination. One value per enabled `[targets.NAME]`, shared by up to `concurrency` deliveries at
/// once. Implement this and exactly one of [`Each`], [`Together`], [`Batch`]; end with
/// [`export_target!`](crate::export_target).
pub trait Target: Send + Sync + Sized + 'static {
    /// The target's `settings.*`. Deny unknown fields, so that a mistyped key is an error; put secrets
    /// in [`Secret`](crate::Secret), files in [`LocalPath`](crate::LocalPath), addresses in
    /// [`HttpUrl`](crate::HttpUrl). The documentation of its fields is what people see as help.
    type Settings: DeserializeOwned + JsonSchema;

    /// Pure: opens no file, no socket and no thread; `dispatcher check` calls it too.
    ///
    /// # Errors
    /// What is wrong and at which key. It stops this target alone, never the daemon.
    fn create(settings: Self::Settings, host: Host) -> Result<Self, Invalid>;

    /// Checks whether deliveries would be accepted, without making one: credentials, permissions, an
    /// address. Called by `dispatcher try TARGET --connect` and never by a running target. It must not
    /// change anything: no message, no file, no record at the destination.
    ///
    /// `None`, the default, means that the plugin cannot tell. May be dropped at any `await`.
    fn probe(&self) -> impl Future<Output = Option<Verdict>> + Send {
        async { None }
    }
}

/// One event, one call: a pager, a ticket.
pub trait Each: Target {
    /// May be dropped at any `await`; then the event counts as "may have arrived".
    fn deliver(&self, event: Event<'_>) -> impl Future<Output = Verdict> + Send;
}

/// Many events, one message: chat, SMS, mail. The verdict is for all of them.
pub trait Together: Target {
    /// May be dropped at any `await`; then the message counts as "may have arrived".
    fn deliver(&self, digest: Digest<'_>) -> impl Future<Output = Verdict> + Send;
}

/// Many events, one call, a verdict for each, made by [`Events::all`] or [`Events::each`]: a file, a
/// bulk API. A wrong number of verdicts means that all events come again.
pub trait Batch: Target {
    /// May be dropped at any `await`; then all events count as "may have arrived".
    fn deliver(&self, events: Events<'_>) -> impl Future<Output = Verdicts> + Send;
}
