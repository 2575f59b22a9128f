//! The traits that a plugin implements.

use std::future::Future;

use schemars::JsonSchema;
use serde::de::DeserializeOwned;

use crate::{Digest, Event, Events, Host, Invalid, Verdict, Verdicts};

/// A destination. One value per enabled `[targets.NAME]`, shared by up to `concurrency` deliveries at
/// once. Implement this and exactly one of [`Each`], [`Together`], [`Batch`]; end with
/// [`export_target!`](crate::export_target).
pub trait Target: Send + Sync + Sized + 'static {
    /// The target's `settings.*`. Deny unknown fields, so that a mistyped key is an error. Use
    /// [`Secret`](crate::Secret) for secrets, [`LocalPath`](crate::LocalPath) for files and
    /// [`HttpUrl`](crate::HttpUrl) for addresses. People see the documentation of its fields as help.
    type Settings: DeserializeOwned + JsonSchema;

    /// Creates the target. Opens no file and no socket and starts no thread, because `dispatcher check` calls
    /// it too.
    ///
    /// # Errors
    /// What is wrong, and with which key. Only this target is affected, never the daemon.
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

/// One event per call: a pager, a ticket.
pub trait Each: Target {
    /// Delivers one event. May be dropped at any `await`; then the event may have arrived.
    ///
    /// # Errors
    /// A [`Failure`](crate::Failure): retry, reject, throttled or broken.
    fn deliver(&self, event: Event<'_>) -> impl Future<Output = Verdict> + Send;
}

/// Many events as one message: chat, SMS, mail. The verdict is for all of them.
pub trait Together: Target {
    /// Delivers one message. May be dropped at any `await`; then the message may have arrived.
    ///
    /// # Errors
    /// A [`Failure`](crate::Failure) of all events: retry, reject, throttled or broken.
    fn deliver(&self, digest: Digest<'_>) -> impl Future<Output = Verdict> + Send;
}

/// Many events per call, with a verdict for each from [`Events::all`] or [`Events::each`]: a file, a bulk
/// API. If the number of verdicts is wrong, all events are delivered again.
pub trait Batch: Target {
    /// Delivers many events. May be dropped at any `await`; then all of them may have arrived.
    fn deliver(&self, events: Events<'_>) -> impl Future<Output = Verdicts> + Send;
}
