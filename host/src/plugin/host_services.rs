//! What the host does for a plugin: HTTP, waiting, blocking work, logs and counters.
//!
//! No method may panic: a panic here would end the process at the boundary. The task that polls a delivery
//! knows its deadline; a request from a plugin's own thread has none and gets [`REQUEST_TIME_MAX`].

use std::collections::BTreeMap;
use std::future::Future;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use dispatcher_plugin_api::COUNTERS_MAX;
use dispatcher_plugin_api::abi::{
    self, CUT, FfiFuture, HostApi, JobBox, RAnswer, RField, RPair, RRequest, RSlice, RStr, outcome,
};
use tokio::runtime::Handle;
use tokio::time::Instant;

use super::blocking::BlockingJobs;
use super::sanitize::Sanitizer;
use crate::egress::{self, EgressError, ErrorKind, Outgoing};
use crate::model::{Cidr, Secret};
use crate::telemetry::{LogThrottle, PLUGIN_FIELDS};

/// Longest request outside a delivery.
const REQUEST_TIME_MAX: Duration = Duration::from_secs(30);
/// A request ends this long before its delivery, so that the plugin can decide what that means …
const MARGIN_MAX: Duration = Duration::from_millis(500);
/// … or this part of the remaining time, when that is shorter.
const MARGIN_DIVISOR: u32 = 10;
/// Longest message, and longest list of fields, of a log line.
const LOG_BYTES_MAX: usize = 2048;
/// Most log lines of one target within [`LOG_PERIOD`]; further ones are counted.
pub const LOG_LINES_MAX: u32 = 100;
pub const LOG_PERIOD: Duration = Duration::from_secs(10);
/// A plugin's number for the level; higher ones mean debug.
const LEVEL_INFO: u32 = 2;
/// Most log lines within [`LOG_PERIOD`] about calls that blocked a thread.
const BLOCKED_LINES_MAX: u32 = 1;
/// Longest name of a counter.
const COUNTER_BYTES_MAX: usize = 64;

tokio::task_local! {
    /// The deadline of the delivery that is being polled.
    pub(super) static DEADLINE: Instant;
}

/// What a plugin needs to create a target.
#[derive(Clone, Debug)]
pub struct TargetContext {
    pub egress: egress::Client,
    /// Address ranges that are denied by default and that this target may reach.
    pub allow: Vec<Cidr>,
    /// Masked in all text from the plugin.
    pub secrets: Vec<Secret>,
    /// The base of relative paths in the settings.
    pub home: PathBuf,
    /// For timers, requests and blocking work.
    pub runtime: Handle,
}

/// The services for one target.
#[derive(Debug)]
pub(super) struct HostServices {
    pub(super) target: Arc<str>,
    sanitizer: Arc<Sanitizer>,
    egress: egress::Client,
    allow: Arc<[Cidr]>,
    runtime: Handle,
    jobs: BlockingJobs,
    counters: Mutex<BTreeMap<String, u64>>,
    lines: LogThrottle,
    blocked: LogThrottle,
    dropped_progress: LogThrottle,
}

impl HostServices {
    pub(super) fn new(target: &str, context: &TargetContext, sanitizer: Arc<Sanitizer>) -> Self {
        Self {
            target: target.into(),
            sanitizer,
            egress: context.egress.clone(),
            allow: context.allow.as_slice().into(),
            runtime: context.runtime.clone(),
            jobs: BlockingJobs::new(context.runtime.clone()),
            counters: Mutex::default(),
            lines: LogThrottle::new(LOG_LINES_MAX, LOG_PERIOD),
            blocked: LogThrottle::new(BLOCKED_LINES_MAX, LOG_PERIOD),
            dropped_progress: LogThrottle::new(1, LOG_PERIOD),
        }
    }

    /// Logs that a call blocked its thread, and how many such lines were skipped since the last one.
    pub(super) fn log_blocked_thread(&self, took: Duration) {
        let Some(left_out) = self.blocked.admit(std::time::Instant::now()) else { return };
        let took_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        tracing::warn!(
            to = &*self.target,
            took_ms,
            left_out,
            "the plugin blocks a thread of the daemon; it should call `host.blocking`"
        );
    }

    /// Logs that a plugin's progress was dropped, and how many such lines were skipped since the last one.
    pub(super) fn log_dropped_progress(&self, problem: &str) {
        if let Some(left_out) = self.dropped_progress.admit(std::time::Instant::now()) {
            let to = &*self.target;
            tracing::warn!(to, left_out, "the plugin's progress was dropped: {problem}");
        }
    }

    pub(super) fn counters(&self) -> BTreeMap<String, u64> {
        self.counters.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn abandoned_jobs(&self) -> usize {
        self.jobs.abandoned()
    }

    /// Runs `work` on the runtime even if a plugin polls from a thread of its own.
    fn on_runtime<T: Send + 'static>(
        &self,
        otherwise: T,
        work: impl Future<Output = T> + Send + 'static,
    ) -> FfiFuture<T> {
        let runtime = self.runtime.clone();
        abi::future(async move {
            if Handle::try_current().is_ok() {
                return work.await;
            }
            let mut task = AbortOnDrop(runtime.spawn(work));
            (&mut task.0).await.unwrap_or(otherwise)
        })
    }
}

struct AbortOnDrop<T>(tokio::task::JoinHandle<T>);

impl<T> Drop for AbortOnDrop<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// The services in the form that a plugin holds.
pub(super) struct PluginHost(pub(super) Arc<HostServices>);

impl HostApi for PluginHost {
    fn http(&self, request: RRequest) -> FfiFuture<RAnswer> {
        let Ok(method) = http::Method::from_bytes(request.method.as_bytes()) else {
            let error = not_sent("the plugin asks for an HTTP method that does not exist");
            return abi::future(std::future::ready(error));
        };
        let now = Instant::now();
        let deadline = DEADLINE.try_with(|deadline| {
            let left = deadline.saturating_duration_since(now);
            *deadline - MARGIN_MAX.min(left / MARGIN_DIVISOR)
        });
        let outgoing = Outgoing {
            method,
            url: request.url.into(),
            headers: request
                .headers
                .into_iter()
                .map(|field| (field.key.into(), field.value.into()))
                .collect(),
            body: Bytes::from(Vec::from(request.body)),
            allow: Arc::clone(&self.0.allow),
            deadline: deadline.unwrap_or(now + REQUEST_TIME_MAX),
        };
        let egress = self.0.egress.clone();
        let stopping = not_sent("the daemon is stopping");
        self.0.on_runtime(stopping, async move { answer(egress.send(outgoing).await) })
    }

    fn sleep(&self, ms: u64) -> FfiFuture<()> {
        self.0.on_runtime((), async move { tokio::time::sleep(Duration::from_millis(ms)).await })
    }

    fn blocking(&self, job: JobBox) -> FfiFuture<bool> {
        abi::future(self.0.jobs.clone().run(job))
    }

    fn log(&self, level: u32, message: RStr<'_>, fields: RSlice<'_, RPair<'_>>) {
        // A hidden line must not use up the limit for visible ones.
        if level > LEVEL_INFO && !tracing::enabled!(tracing::Level::DEBUG) {
            return;
        }
        // Before any other work: a plugin may write lines as fast as it can.
        let Some(left_out) = self.0.lines.admit(std::time::Instant::now()) else { return };
        let to = &*self.0.target;
        if left_out > 0 {
            tracing::warn!(to, left_out, "the plugin wrote too many lines");
        }
        let message = self.0.sanitizer.line(message.as_str(), LOG_BYTES_MAX);
        let (mut shown, mut bytes) = (serde_json::Map::new(), 0);
        for pair in fields.iter() {
            let left = LOG_BYTES_MAX.saturating_sub(bytes);
            if left == 0 {
                break;
            }
            let [key, value] = [pair.key.as_str(), pair.value.as_str()]
                .map(|text| self.0.sanitizer.line(text, left));
            bytes += key.len() + value.len();
            shown.insert(key, value.into());
        }
        let fields = serde_json::Value::Object(shown).to_string();
        match level {
            0 => tracing::error!(to, { PLUGIN_FIELDS } = fields, "{message}"),
            1 => tracing::warn!(to, { PLUGIN_FIELDS } = fields, "{message}"),
            LEVEL_INFO => tracing::info!(to, { PLUGIN_FIELDS } = fields, "{message}"),
            _ => tracing::debug!(to, { PLUGIN_FIELDS } = fields, "{message}"),
        }
    }

    fn count(&self, name: RStr<'_>, by: u64) {
        let name = name.as_str();
        let known = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
        let is_name = (1..=COUNTER_BYTES_MAX).contains(&name.len()) && name.bytes().all(known);
        let mut counters = self.0.counters.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(counter) = counters.get_mut(name) {
            *counter = counter.saturating_add(by);
        } else if is_name
            && counters.len() < COUNTERS_MAX
            && !self.0.sanitizer.finds_secret(name.as_bytes())
        {
            counters.insert(name.to_owned(), by);
        }
    }
}

fn not_sent(reason: &str) -> RAnswer {
    answer(Err(EgressError { kind: ErrorKind::NotSent, reason: reason.to_owned() }))
}

fn answer(result: Result<egress::Answer, EgressError>) -> RAnswer {
    let empty = RAnswer {
        outcome: outcome::ANSWERED,
        status: 0,
        headers: Vec::new().into(),
        body: Vec::new().into(),
        reason: String::new().into(),
        meta: Vec::new().into(),
    };
    match result {
        Ok(answer) => RAnswer {
            status: answer.status.into(),
            headers: answer
                .headers
                .into_iter()
                .map(|(key, value)| RField { key: key.into(), value: value.into() })
                .collect(),
            body: Vec::from(answer.body).into(),
            meta: answer
                .cut
                .map(|cut| RField { key: CUT.into(), value: cut.into() })
                .into_iter()
                .collect(),
            ..empty
        },
        Err(EgressError { kind, reason }) => RAnswer {
            outcome: match kind {
                ErrorKind::NotSent => outcome::NOT_SENT,
                ErrorKind::Ambiguous => outcome::AMBIGUOUS,
            },
            reason: reason.into(),
            ..empty
        },
    }
}
