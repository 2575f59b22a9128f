//! What the host does for a plugin: HTTP, waiting, blocking work, logs and counters.
//!
//! No method may panic: a panic here would end the process at the boundary. The deadline of the
//! delivery that asks is known by the task that polls it; a request from a plugin's own thread has
//! none and gets [`REQUEST_TIME_MAX`].

use std::collections::BTreeMap;
use std::future::Future;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicIsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use dispatcher_plugin_api::COUNTERS_MAX;
use dispatcher_plugin_api::abi::{
    self, FfiFuture, HostApi, JobBox, RAnswer, RField, RPair, RRequest, RSlice, RStr, outcome,
};
use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tokio::time::Instant;

use super::clean::Cleaner;
use crate::egress::{self, EgressError, ErrorKind, Outgoing};
use crate::model::{Cidr, Secret};
use crate::telemetry::LogThrottle;

/// Most blocking jobs that run at once for one target.
pub const BLOCKING_JOBS_MAX: usize = 16;
/// Longest request outside a delivery.
const REQUEST_TIME_MAX: Duration = Duration::from_secs(30);
/// A request ends so long before its delivery does, so that the plugin can decide what it means …
const MARGIN_MAX: Duration = Duration::from_millis(500);
/// … or by this part of the time that is left, when that is shorter.
const MARGIN_DIVISOR: u32 = 10;
/// Longest message, and longest list of fields, of a line in the log.
const LOG_BYTES_MAX: usize = 2048;
/// Most lines of one target in the log within [`LOG_PERIOD`]; further ones are counted.
pub const LOG_LINES_MAX: u32 = 100;
pub const LOG_PERIOD: Duration = Duration::from_secs(10);
/// A plugin's number of the level; higher ones are for whoever looks for a fault.
const LEVEL_INFO: u32 = 2;
/// Most lines within [`LOG_PERIOD`] about calls that kept a thread.
const BLOCKED_LINES_MAX: u32 = 1;
/// Longest name of a counter.
const COUNTER_BYTES_MAX: usize = 64;

tokio::task_local! {
    /// When the delivery that is polled must be over.
    pub(super) static DEADLINE: Instant;
}

/// What an instance gets from the host.
#[derive(Clone, Debug)]
pub struct Services {
    pub egress: egress::Client,
    /// Closed address ranges that this target may reach.
    pub allow: Vec<Cidr>,
    /// Masked in all that the plugin says.
    pub secrets: Vec<Secret>,
    /// Where relative paths of the settings start.
    pub home: PathBuf,
    /// For timers, requests and blocking work.
    pub runtime: Handle,
}

/// The services as one target has them.
#[derive(Debug)]
pub(super) struct Desk {
    pub(super) target: Arc<str>,
    cleaner: Arc<Cleaner>,
    egress: egress::Client,
    allow: Arc<[Cidr]>,
    runtime: Handle,
    jobs: Arc<Semaphore>,
    /// Blocking jobs that still run though their delivery is over.
    left_jobs: Arc<AtomicIsize>,
    counters: Mutex<BTreeMap<String, u64>>,
    lines: LogThrottle,
    blocked: LogThrottle,
}

impl Desk {
    pub(super) fn new(target: &str, services: &Services, cleaner: Arc<Cleaner>) -> Self {
        Self {
            target: target.into(),
            cleaner,
            egress: services.egress.clone(),
            allow: services.allow.as_slice().into(),
            runtime: services.runtime.clone(),
            jobs: Arc::new(Semaphore::new(BLOCKING_JOBS_MAX)),
            left_jobs: Arc::default(),
            counters: Mutex::default(),
            lines: LogThrottle::new(LOG_LINES_MAX, LOG_PERIOD),
            blocked: LogThrottle::new(BLOCKED_LINES_MAX, LOG_PERIOD),
        }
    }

    /// Says that a call kept its thread, and how often that was left out since the last time.
    pub(super) fn blocked(&self, took: Duration) {
        let Some(left_out) = self.blocked.admit(std::time::Instant::now()) else { return };
        let took_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        tracing::warn!(
            to = &*self.target,
            took_ms,
            left_out,
            "the plugin blocks a thread of the daemon; it should use `blocking` of its host"
        );
    }

    pub(super) fn counters(&self) -> BTreeMap<String, u64> {
        self.counters.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn left_jobs(&self) -> usize {
        usize::try_from(self.left_jobs.load(Ordering::Acquire)).unwrap_or_default()
    }

    /// Where a plugin polls from a thread of its own, there is no runtime around it.
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

/// One side of a blocking job: who waits for it, or the job. A job that is the last to go was left.
struct Side {
    is_job: bool,
    other_is_gone: Arc<AtomicBool>,
    left_jobs: Arc<AtomicIsize>,
}

impl Side {
    fn pair(left_jobs: Arc<AtomicIsize>) -> (Self, Self) {
        let gone = Arc::new(AtomicBool::new(false));
        let (flag, count) = (Arc::clone(&gone), Arc::clone(&left_jobs));
        let waits = Self { is_job: false, other_is_gone: flag, left_jobs: count };
        (waits, Self { is_job: true, other_is_gone: gone, left_jobs })
    }
}

impl Drop for Side {
    fn drop(&mut self) {
        let last = self.other_is_gone.swap(true, Ordering::AcqRel);
        // The two meet in any order; the sum is right once both have been here.
        match (self.is_job, last) {
            (false, false) => self.left_jobs.fetch_add(1, Ordering::AcqRel),
            (true, true) => self.left_jobs.fetch_sub(1, Ordering::AcqRel),
            _ => 0,
        };
    }
}

struct AbortOnDrop<T>(tokio::task::JoinHandle<T>);

impl<T> Drop for AbortOnDrop<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// The desk as a plugin holds it.
pub(super) struct Shared(pub(super) Arc<Desk>);

impl HostApi for Shared {
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

    fn blocking(&self, mut job: JobBox) -> FfiFuture<bool> {
        let (jobs, runtime) = (Arc::clone(&self.0.jobs), self.0.runtime.clone());
        let left_jobs = Arc::clone(&self.0.left_jobs);
        abi::future(async move {
            let Ok(turn) = jobs.acquire_owned().await else { return false };
            let (waits, runs) = Side::pair(left_jobs);
            let run = move || {
                let _runs = runs;
                job.run();
                drop(job);
                // The place is free when the work is over, even if nobody waits for it any more.
                drop(turn);
            };
            let done = runtime.spawn_blocking(run).await.is_ok();
            drop(waits);
            done
        })
    }

    fn log(&self, level: u32, message: RStr<'_>, fields: RSlice<'_, RPair<'_>>) {
        // What nobody will see takes no place from what somebody should.
        if level > LEVEL_INFO && !tracing::enabled!(tracing::Level::DEBUG) {
            return;
        }
        // Before any other work: a plugin may write lines as fast as it can.
        let Some(left_out) = self.0.lines.admit(std::time::Instant::now()) else { return };
        let to = &*self.0.target;
        if left_out > 0 {
            tracing::warn!(to, left_out, "the plugin wrote too many lines");
        }
        let message = self.0.cleaner.line(message.as_str(), LOG_BYTES_MAX);
        let mut text = String::new();
        for pair in fields.iter() {
            if text.len() > LOG_BYTES_MAX {
                break;
            }
            let separator = if text.is_empty() { "" } else { " " };
            text += &format!("{separator}{}={}", pair.key, pair.value);
        }
        let fields = self.0.cleaner.line(&text, LOG_BYTES_MAX);
        match level {
            0 => tracing::error!(to, fields, "{message}"),
            1 => tracing::warn!(to, fields, "{message}"),
            LEVEL_INFO => tracing::info!(to, fields, "{message}"),
            _ => tracing::debug!(to, fields, "{message}"),
        }
    }

    fn count(&self, name: RStr<'_>, by: u64) {
        let name = name.as_str();
        let known = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
        let is_name = (1..=COUNTER_BYTES_MAX).contains(&name.len()) && name.bytes().all(known);
        let mut counters = self.0.counters.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(counter) = counters.get_mut(name) {
            *counter = counter.saturating_add(by);
        } else if is_name && counters.len() < COUNTERS_MAX {
            counters.insert(name.to_owned(), by);
        }
    }
}

fn not_sent(reason: &str) -> RAnswer {
    answer(Err(EgressError { kind: ErrorKind::NotSent, reason: reason.to_owned() }))
}

fn answer(result: Result<egress::Answer, EgressError>) -> RAnswer {
    let (outcome, status, headers, body, reason) = match result {
        Ok(answer) => {
            let headers = answer.headers.into_iter();
            let headers = headers
                .map(|(key, value)| RField { key: key.into(), value: value.into() })
                .collect();
            (outcome::ANSWERED, answer.status, headers, Vec::from(answer.body), String::new())
        }
        Err(EgressError { kind, reason }) => {
            let outcome = match kind {
                ErrorKind::NotSent => outcome::NOT_SENT,
                ErrorKind::Ambiguous => outcome::AMBIGUOUS,
            };
            (outcome, 0, Vec::new(), Vec::new(), reason)
        }
    };
    RAnswer {
        outcome,
        status: status.into(),
        headers: headers.into(),
        body: body.into(),
        reason: reason.into(),
        meta: Vec::new().into(),
    }
}
