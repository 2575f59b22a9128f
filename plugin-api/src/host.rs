//! What the daemon does for a plugin: HTTP, waiting, blocking work, logs and counters.

use std::fmt::{self, Display};
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use crate::abi::Services;
use crate::{Failure, RequestBuilder};

/// Most counter names of one target; counts of further names are dropped.
pub const COUNTERS_MAX: usize = 32;

/// How important a log line is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Level {
    /// A person has to act.
    Error,
    /// A person should look at it.
    Warn,
    /// Worth knowing.
    Info,
    /// For finding the cause of a fault; hidden by default.
    Debug,
}

/// The daemon as one target sees it. Cheap to clone; keep one in the target.
#[derive(Clone)]
pub struct Host(Arc<Services>);

impl Host {
    pub(crate) const fn new(services: Arc<Services>) -> Self {
        Self(services)
    }

    pub(crate) fn services(&self) -> &Services {
        &self.0
    }

    /// Returns the host again, as long as its target exists.
    pub(crate) fn weak(&self) -> impl Fn() -> Option<Self> + Send + use<> {
        let services = Arc::downgrade(&self.0);
        move || services.upgrade().map(Self)
    }

    /// A GET request. The daemon pools connections, verifies TLS certificates, follows no redirects, denies
    /// private addresses unless the target's `allow` has them, and gives up before the attempt times out.
    pub fn get(&self, url: impl AsRef<str>) -> RequestBuilder {
        self.request("GET", url)
    }

    /// A POST request; see [`get`](Self::get).
    pub fn post(&self, url: impl AsRef<str>) -> RequestBuilder {
        self.request("POST", url)
    }

    /// A PUT request; see [`get`](Self::get).
    pub fn put(&self, url: impl AsRef<str>) -> RequestBuilder {
        self.request("PUT", url)
    }

    /// A request with any other method; see [`get`](Self::get).
    pub fn request(&self, method: &str, url: impl AsRef<str>) -> RequestBuilder {
        RequestBuilder::new(self.clone(), method, url.as_ref())
    }

    /// Waits, in steps of a millisecond.
    pub fn sleep(&self, time: Duration) -> impl Future<Output = ()> + Send + 'static {
        self.0.sleep(time)
    }

    /// Runs `work` on a thread where it may block: file systems, compression, synchronous libraries. At most
    /// 16 run at once per target, others wait for their turn. It cannot be cancelled: it runs to its end even
    /// if the delivery is dropped.
    ///
    /// # Errors
    /// [`Failure::retry`] if `work` panicked or the daemon is stopping: use `?`.
    pub fn blocking<T, W>(
        &self,
        work: W,
    ) -> impl Future<Output = Result<T, Failure>> + Send + 'static
    where
        T: Send + 'static,
        W: FnOnce() -> T + Send + 'static,
    {
        self.0.blocking(self, work)
    }

    /// Writes a line with fields to the daemon's log: at most 2 KiB on one line, with secrets masked and the
    /// target's name added.
    ///
    /// ```
    /// # fn show(host: &dispatcher_plugin_api::Host, path: &str) {
    /// use dispatcher_plugin_api::Level;
    /// host.log(Level::Warn, "the file was moved away", &[("path", &path), ("size", &17)]);
    /// # }
    /// ```
    pub fn log(&self, level: Level, message: impl AsRef<str>, fields: &[(&str, &dyn Display)]) {
        let fields: Vec<_> = fields.iter().map(|(key, value)| (*key, value.to_string())).collect();
        self.0.log(level, message.as_ref(), &fields);
    }

    /// [`log`](Self::log) at level error, without fields.
    pub fn error(&self, message: impl AsRef<str>) {
        self.log(Level::Error, message, &[]);
    }

    /// [`log`](Self::log) at level warning, without fields.
    pub fn warn(&self, message: impl AsRef<str>) {
        self.log(Level::Warn, message, &[]);
    }

    /// [`log`](Self::log) at level info, without fields.
    pub fn info(&self, message: impl AsRef<str>) {
        self.log(Level::Info, message, &[]);
    }

    /// [`log`](Self::log) at level debug, without fields.
    pub fn debug(&self, message: impl AsRef<str>) {
        self.log(Level::Debug, message, &[]);
    }

    /// Adds to one of the target's counters, which `dispatcher status` shows. A name has at most 64 letters,
    /// digits and `_`, with the unit at its end, such as `rotated_files`. At most [`COUNTERS_MAX`] names per
    /// target.
    pub fn count(&self, name: &str, by: u64) {
        self.0.count(name, by);
    }
}

impl fmt::Debug for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Host")
    }
}
