//! One target of a plugin: calls it and turns what it answers into verdicts that can be trusted.

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

use super::clean::Cleaner;
use super::lend::{self, Ids};
use super::library::Mode;
use super::services::{DEADLINE, Desk};
use crate::model::{
    Delivery, Digest, Failure, FailureKind, PROGRESS_BYTES_MAX, REASON_BYTES_MAX, Receipt, Verdict,
};

/// A plugin that keeps a thread longer than this is named in the log.
const POLL_TIME_MAX: Duration = Duration::from_secs(1);
/// Longest wait that a destination may ask for.
const AFTER_MAX: Duration = Duration::from_secs(7 * 24 * 3600);
/// Most fields of a receipt, and the longest name of one.
const RECEIPT_FIELDS_MAX: usize = 16;
const RECEIPT_NAME_BYTES_MAX: usize = 64;

/// Settings that a plugin does not accept; secrets are masked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}{}{reason}", .path, if .path.is_empty() { "" } else { ": " })]
pub struct Invalid {
    /// The key within `settings`, such as `to[1]`; empty for the whole.
    pub path: String,
    pub reason: String,
}

/// A target made by a plugin. Shared by all its deliveries.
pub struct Instance {
    mode: Mode,
    object: TargetBox,
    desk: Arc<Desk>,
    cleaner: Arc<Cleaner>,
}

impl fmt::Debug for Instance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Instance").field("target", &self.desk.target).finish_non_exhaustive()
    }
}

impl Instance {
    pub(super) fn new(
        mode: Mode,
        object: TargetBox,
        desk: Arc<Desk>,
        cleaner: Arc<Cleaner>,
    ) -> Self {
        Self { mode, object, desk, cleaner }
    }

    #[must_use]
    pub const fn mode(&self) -> Mode {
        self.mode
    }

    /// Blocking jobs that still run though their delivery is over.
    #[must_use]
    pub fn left_jobs(&self) -> usize {
        self.desk.left_jobs()
    }

    /// What the plugin counted since the target was made, by name: at most
    /// [`COUNTERS_MAX`](dispatcher_plugin_api::COUNTERS_MAX) names of letters, digits and `_`, at most
    /// 64 bytes each.
    #[must_use]
    pub fn counters(&self) -> BTreeMap<String, u64> {
        self.desk.counters()
    }

    /// Delivers; always answers one verdict a delivery, in their order, and never panics. What is not
    /// over at `deadline` is dropped and counts as "may have arrived".
    pub async fn deliver(&self, deliveries: &[Delivery], deadline: Instant) -> Vec<Verdict> {
        if self.mode != Mode::Each {
            return self.call(deliveries, deadline, None).await;
        }
        let mut verdicts = Vec::with_capacity(deliveries.len());
        for delivery in deliveries {
            if !verdicts.is_empty() && Instant::now() >= deadline {
                verdicts.push(Err(Failure::new(FailureKind::Retry, "no time was left for it")));
            } else {
                verdicts.append(&mut self.call(slice::from_ref(delivery), deadline, None).await);
            }
        }
        verdicts
    }

    /// As [`deliver`](Self::deliver), for one message that stands for all of a digest.
    pub async fn deliver_digest(&self, digest: &Digest, deadline: Instant) -> Verdict {
        let verdicts = self.call(&digest.sample, deadline, Some(digest)).await;
        let none = || Err(maybe_sent("the digest was empty"));
        // A plugin of another mode gave one for each of the sample.
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
        let ids = Ids::new(deliveries, self.mode == Mode::Together, digest);
        let (fields, ranges) = lend::headers(deliveries);
        let events = lend::events(deliveries, &ids, &fields, &ranges);
        let call = lend::call(deliveries, &ids, &events, digest);
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
        let watched = Watched { future: call, desk: &self.desk };
        let timed = tokio::time::timeout_at(deadline, watched);
        match DEADLINE.scope(deadline, timed).await {
            Ok(Some(answer)) => Ok(answer),
            Ok(None) => Err("the plugin panicked"),
            Err(_) => Err("no answer before the time for the attempt was over"),
        }
    }

    fn unpack(&self, verdicts: RVerdicts, count: usize) -> Vec<Verdict> {
        let given = verdicts.list.len();
        let mut list = verdicts.list.into_iter().map(|verdict| self.verdict(verdict));
        match verdicts.for_all {
            1 => match list.next() {
                Some(verdict) => vec![verdict; count],
                None => vec![Err(maybe_sent("the plugin gave no verdict")); count],
            },
            _ if given == count => list.collect(),
            _ => {
                let reason = format!("the plugin gave {given} verdicts for {count} events");
                vec![Err(maybe_sent(&reason)); count]
            }
        }
    }

    fn verdict(&self, verdict: RVerdict) -> Verdict {
        let text = self.cleaner.line(&verdict.text, REASON_BYTES_MAX);
        let kind = match verdict.code {
            code::DELIVERED => return Ok(self.receipt(text, &verdict.fields)),
            code::REJECT => FailureKind::Reject,
            code::THROTTLED => FailureKind::Throttled,
            code::BROKEN => FailureKind::Broken,
            _ => FailureKind::Retry,
        };
        let after = Duration::from_millis(verdict.after_ms).min(AFTER_MAX);
        Err(Failure {
            kind,
            reason: if text.is_empty() { "the plugin gave no reason".to_owned() } else { text },
            after: (verdict.flags & flag::AFTER != 0).then_some(after),
            maybe_sent: verdict.flags & flag::MAYBE_SENT != 0,
            progress: self.progress(verdict.progress.into()),
        })
    }

    fn receipt(&self, id: String, fields: &[RField]) -> Receipt {
        let clean = |field: &RField| {
            let name = self.cleaner.line(&field.key, RECEIPT_NAME_BYTES_MAX);
            (name, self.cleaner.line(&field.value, REASON_BYTES_MAX))
        };
        Receipt {
            id: Some(id).filter(|id| !id.is_empty()),
            fields: fields.iter().take(RECEIPT_FIELDS_MAX).map(clean).collect(),
        }
    }

    /// Progress goes to disk: neither cut, because that changes its meaning, nor with a secret in it.
    fn progress(&self, progress: Vec<u8>) -> Vec<u8> {
        let problem = if progress.len() > PROGRESS_BYTES_MAX {
            "it is longer than 1 KiB"
        } else if self.cleaner.finds_secret(&progress) {
            "it contains a secret"
        } else {
            return progress;
        };
        tracing::warn!(to = &*self.desk.target, "the plugin's progress is not kept: {problem}");
        Vec::new()
    }
}

fn maybe_sent(reason: &str) -> Failure {
    Failure { maybe_sent: true, ..Failure::new(FailureKind::Retry, reason) }
}

/// A call under way. Answers `None` where its poll panics: the plugin's own guard failed.
struct Watched<'a, F> {
    future: F,
    desk: &'a Desk,
}

impl<F: Future + Unpin> Future for Watched<'_, F> {
    type Output = Option<F::Output>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let started = Clock::now();
        let polled = catch_unwind(AssertUnwindSafe(|| Pin::new(&mut self.future).poll(context)));
        let took = started.elapsed();
        if took > POLL_TIME_MAX {
            self.desk.blocked(took);
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
