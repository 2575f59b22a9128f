//! One target of a plugin: calls it and checks its answers, so that the daemon can rely on the verdicts.

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::slice;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant as Clock};

use dispatcher_plugin_api::abi::{RField, RVerdict, RVerdicts, TargetBox, code, flag};
use tokio::time::Instant;

use super::call_data::{CallData, CallScope};
use super::host_services::{DEADLINE, HostServices};
use super::manifest::Mode;
use super::sanitize::Sanitizer;
use crate::model::{
    Delivery, Digest, Failure, FailureKind, PROGRESS_BYTES_MAX, REASON_BYTES_MAX, Receipt, Verdict,
};

/// A call that blocks a thread for longer than this is logged.
const POLL_TIME_MAX: Duration = Duration::from_secs(1);
/// Most fields of a receipt, and the longest name of one.
const RECEIPT_FIELDS_MAX: usize = 16;
const RECEIPT_NAME_BYTES_MAX: usize = 64;

/// A target that a plugin created. Shared by all its deliveries.
pub struct Instance {
    mode: Mode,
    object: TargetBox,
    services: Arc<HostServices>,
    sanitizer: Arc<Sanitizer>,
}

impl fmt::Debug for Instance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Instance").field("target", &self.services.target).finish_non_exhaustive()
    }
}

impl Instance {
    pub(super) fn new(
        mode: Mode,
        object: TargetBox,
        services: Arc<HostServices>,
        sanitizer: Arc<Sanitizer>,
    ) -> Self {
        Self { mode, object, services, sanitizer }
    }

    #[must_use]
    pub const fn mode(&self) -> Mode {
        self.mode
    }

    /// Blocking jobs that still run though their delivery is over.
    #[must_use]
    pub fn left_jobs(&self) -> usize {
        self.services.abandoned_jobs()
    }

    /// What the plugin counted since the target was made, by name: at most
    /// [`COUNTERS_MAX`](dispatcher_plugin_api::COUNTERS_MAX) names of letters, digits and `_`, at most
    /// 64 bytes each.
    #[must_use]
    pub fn counters(&self) -> BTreeMap<String, u64> {
        self.services.counters()
    }

    /// Delivers, and returns one verdict per delivery, in their order. Never panics. A call that has not
    /// ended at `deadline` is dropped; its deliveries may have arrived.
    pub async fn deliver(&self, deliveries: &[Delivery], deadline: Instant) -> Vec<Verdict> {
        if self.mode != Mode::Each {
            return self.call(deliveries, deadline, None).await;
        }
        let mut verdicts = Vec::with_capacity(deliveries.len());
        for delivery in deliveries {
            if !verdicts.is_empty() && Instant::now() >= deadline {
                verdicts.push(Err(Failure::new(
                    FailureKind::Retry,
                    "the time for the attempt ended before its turn",
                )));
            } else {
                verdicts.append(&mut self.call(slice::from_ref(delivery), deadline, None).await);
            }
        }
        verdicts
    }

    /// Like [`deliver`](Self::deliver), for the one message of a digest.
    pub async fn deliver_digest(&self, digest: &Digest, deadline: Instant) -> Verdict {
        let verdicts = self.call(&digest.sample, deadline, Some(digest)).await;
        let none = || Err(maybe_sent("the digest was empty"));
        // A plugin of another mode returned a verdict for each delivery of the sample.
        let failed = verdicts.iter().position(Result::is_err).unwrap_or_default();
        verdicts.into_iter().nth(failed).unwrap_or_else(none)
    }

    /// Asks the plugin whether its destination would accept deliveries, without sending one. `None`:
    /// the plugin cannot tell. Guarded like [`deliver`](Self::deliver): never panics, ends at
    /// `deadline`, secrets are masked. A failure says nothing about an event, so it is never
    /// "maybe sent" and has no progress.
    pub async fn probe(&self, deadline: Instant) -> Option<Verdict> {
        let verdict = match self.guarded(self.object.probe(), deadline).await {
            Ok(verdicts) => self.verdict(verdicts.list.into_iter().next()?),
            Err(reason) => Err(Failure::new(FailureKind::Retry, reason)),
        };
        Some(verdict.map_err(|failure| Failure {
            maybe_sent: false,
            progress: Vec::new(),
            ..failure
        }))
    }

    async fn call(
        &self,
        deliveries: &[Delivery],
        deadline: Instant,
        digest: Option<&Digest>,
    ) -> Vec<Verdict> {
        let is_one_message = self.mode == Mode::Together;
        let data = CallData::new(CallScope { deliveries, digest, is_one_message });
        let events = data.events();
        let call = data.call(&events);
        match self.guarded(self.object.deliver(call), deadline).await {
            Ok(verdicts) => self.unpack(verdicts, deliveries.len()),
            Err(reason) => vec![Err(maybe_sent(reason)); deliveries.len()],
        }
    }

    /// Awaits a call of the plugin; the error says why it gave no answer.
    async fn guarded<T>(
        &self,
        call: impl Future<Output = T> + Unpin,
        deadline: Instant,
    ) -> Result<T, &'static str> {
        let watched = Watched { future: call, services: &self.services };
        let timed = tokio::time::timeout_at(deadline, watched);
        match DEADLINE.scope(deadline, timed).await {
            Ok(Some(answer)) => Ok(answer),
            Ok(None) => Err("the plugin panicked"),
            Err(_) => Err("no answer before the attempt timed out"),
        }
    }

    fn unpack(&self, verdicts: RVerdicts, count: usize) -> Vec<Verdict> {
        let given = verdicts.list.len();
        let mut list = verdicts.list.into_iter().map(|verdict| self.verdict(verdict));
        match verdicts.for_all {
            1 => match list.next() {
                Some(verdict) => vec![verdict; count],
                None => vec![Err(maybe_sent("the plugin returned no verdict")); count],
            },
            _ if given == count => list.collect(),
            _ => {
                let reason = format!("the plugin returned {given} verdicts for {count} events");
                vec![Err(maybe_sent(&reason)); count]
            }
        }
    }

    fn verdict(&self, verdict: RVerdict) -> Verdict {
        let text = self.sanitizer.line(&verdict.text, REASON_BYTES_MAX);
        let kind = match verdict.code {
            code::DELIVERED => return Ok(self.receipt(text, &verdict.fields)),
            code::REJECT => FailureKind::Reject,
            code::THROTTLED => FailureKind::Throttled,
            code::BROKEN => FailureKind::Broken,
            _ => FailureKind::Retry,
        };
        Err(Failure {
            kind,
            reason: if text.is_empty() { "the plugin gave no reason".to_owned() } else { text },
            after: (verdict.flags & flag::AFTER != 0)
                .then(|| Duration::from_millis(verdict.after_ms)),
            maybe_sent: verdict.flags & flag::MAYBE_SENT != 0,
            progress: self.progress(verdict.progress.into()),
        })
    }

    fn receipt(&self, id: String, fields: &[RField]) -> Receipt {
        let clean = |field: &RField| {
            let name = self.sanitizer.line(&field.key, RECEIPT_NAME_BYTES_MAX);
            (name, self.sanitizer.line(&field.value, REASON_BYTES_MAX))
        };
        Receipt {
            id: Some(id).filter(|id| !id.is_empty()),
            fields: fields.iter().take(RECEIPT_FIELDS_MAX).map(clean).collect(),
        }
    }

    /// Progress is written to disk: it is dropped if it is too long, because cutting would change its
    /// meaning, or if it contains a secret.
    fn progress(&self, progress: Vec<u8>) -> Vec<u8> {
        let problem = if progress.len() > PROGRESS_BYTES_MAX {
            "it is longer than 1 KiB"
        } else if self.sanitizer.finds_secret(&progress) {
            "it contains a secret"
        } else {
            return progress;
        };
        self.services.log_dropped_progress(problem);
        Vec::new()
    }
}

fn maybe_sent(reason: &str) -> Failure {
    Failure { maybe_sent: true, ..Failure::new(FailureKind::Retry, reason) }
}

/// A running call. Resolves to `None` when its poll panics, which means that the plugin's own guard failed.
struct Watched<'a, F> {
    future: F,
    services: &'a HostServices,
}

impl<F: Future + Unpin> Future for Watched<'_, F> {
    type Output = Option<F::Output>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let started = Clock::now();
        let polled = catch_unwind(AssertUnwindSafe(|| Pin::new(&mut self.future).poll(context)));
        let took = started.elapsed();
        if took > POLL_TIME_MAX {
            self.services.log_blocked_thread(took);
        }
        match polled {
            Ok(polled) => polled.map(Some),
            Err(payload) => {
                // Its drop may panic again.
                std::mem::forget(payload);
                Poll::Ready(None)
            }
        }
    }
}
