//! Reports what happens at one target: to the log, the feed, the history and the alarms.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::clock::Clock;
use super::log_lines::LogLines;
use crate::model::{Delivery, EventId, OWN_SOURCE, Timestamp, Verdict};
use crate::retry::{Cause, Change, Standing};
use crate::store::StoreError;
use crate::telemetry::{Act, AlarmKind, Attempt, Condition, Feed, Note};

/// Reports about one target.
pub(super) struct Reporter {
    target: Arc<str>,
    feed: Feed,
    clock: Clock,
    pub(super) log: LogLines,
    /// When an alarm said that the target is down or broken.
    alarmed: Option<Instant>,
    /// Why the circuit breaker is open.
    held: Option<Condition>,
    standing: Standing,
    last_error: String,
    /// The last failure was one of the daemon's own events.
    own: bool,
}

impl Reporter {
    pub(super) fn new(target: Arc<str>, feed: Feed, clock: Clock) -> Self {
        let log = LogLines::new(Arc::clone(&target));
        let (alarmed, held, standing) = (None, None, Standing::default());
        let (last_error, own) = (String::new(), false);
        Self { target, feed, clock, log, alarmed, held, standing, last_error, own }
    }

    /// The target starts, perhaps after an earlier instance.
    pub(super) fn started(&self) {
        self.untried(Act::StartedAgain);
    }

    fn untried(&self, act: Act) {
        self.feed.history().untried(&self.target, act, self.clock.wall().as_millis());
    }

    /// The target was broken when this instance started; an alarm has said so.
    pub(super) fn was_broken(&mut self, reason: &str) {
        self.held = Some(condition(Cause::Broken, reason));
        self.alarmed = Some(Instant::now());
        self.show(0);
    }

    /// A person resumed the target: the next attempt shows what it does now.
    pub(super) fn resumed(&mut self) {
        if self.standing != Standing::Works {
            self.standing = Standing::Unknown;
        }
        // Otherwise an attempt may have shown something since it was resumed.
        if self.held.take().is_some() {
            self.untried(Act::Resumed);
        }
    }

    /// Whether a failure was the last thing that was reported, and time alone may make the target count as failing.
    pub(super) fn is_unproven(&self) -> bool {
        self.standing == Standing::NotProven
    }

    /// A delivery succeeded, after attempts had failed for this time.
    pub(super) fn works(&mut self, failed_for: Duration) {
        if self.standing == Standing::Works {
            return;
        }
        let failing = self.standing == Standing::Failing;
        self.standing = Standing::Works;
        self.show(0);
        if self.held.is_none() {
            self.recovered();
            if failing {
                self.log.works_again(failed_for);
            }
        }
    }

    /// An attempt failed. `own`: of the daemon's own events.
    pub(super) fn failed(&mut self, error: &str, own: bool) {
        self.own = own;
        self.set_last_error(error);
    }

    fn set_last_error(&mut self, error: &str) {
        error.clone_into(&mut self.last_error);
        self.feed.history().last_error(&self.target, error, self.clock.wall().as_millis());
    }

    /// It rejected what it got, and nothing else is known of it.
    pub(super) fn rejects(&mut self, reason: &str) {
        if self.held.is_none() && self.standing == Standing::Unknown {
            self.set_last_error(reason);
            self.feed.history().condition(&self.target, Condition::Rejects(reason.to_owned()));
        }
    }

    /// What the attempts show after `failures` of them in a row.
    pub(super) fn stands(&mut self, standing: Standing, failures: u32) {
        let before = std::mem::replace(&mut self.standing, standing);
        if before != standing || standing == Standing::Failing {
            self.show(failures);
        }
        if standing == Standing::Failing && self.held.is_none() {
            if before != standing {
                self.log.fails(failures, &self.last_error);
            }
            self.down(AlarmKind::TargetDown);
        }
    }

    /// Raises the alarm, once until the target works again. Own events raise none, because an alarm is itself such an
    /// event.
    fn down(&mut self, kind: AlarmKind) {
        let again = self.alarmed.is_some() && kind == AlarmKind::TargetDown;
        if !self.own && !again {
            self.alarmed.get_or_insert_with(Instant::now);
            self.alarm(kind, 1, &self.last_error);
        }
    }

    fn recovered(&mut self) {
        if let Some(since) = self.alarmed.take() {
            let after = format!("after {} s", since.elapsed().as_secs());
            self.alarm(AlarmKind::TargetRecovered, 1, &after);
        }
    }

    /// Shows the condition to `status`.
    fn show(&self, failures: u32) {
        let condition = match (&self.held, self.standing) {
            (Some(held), _) => held.clone(),
            (None, Standing::Unknown) => return,
            (None, Standing::Works) => Condition::Works,
            (None, Standing::NotProven) => Condition::NotProven,
            (None, Standing::Failing) => Condition::Failing(format!(
                "failing: nothing was delivered since its oldest failure ({failures} attempts); last error: {}",
                self.last_error
            )),
        };
        self.feed.history().condition(&self.target, condition);
    }

    /// One attempt at one delivery. Only the feed, which must hear of every attempt.
    pub(super) fn attempt(&self, delivery: &Delivery, verdict: &Verdict, took: Duration) {
        self.feed.send(|| {
            let (target, event) = (Arc::clone(&self.target), delivery.event.id.to_string());
            let attempt = delivery.attempt;
            match verdict {
                Ok(_) => Note::Delivered { target, event, attempt, took },
                Err(failure) => {
                    Note::Failed { target, event, attempt, reason: failure.reason.clone() }
                }
            }
        });
    }

    /// A call delivered at least one event.
    pub(super) fn delivered(&self, now: Timestamp) {
        self.feed.history().delivered(&self.target, now.as_millis());
    }

    /// Keeps a failed attempt in the history; `counted` depends on what becomes of it.
    pub(super) fn record_failure(&self, mut attempt: Attempt, events: &[EventId], counted: bool) {
        attempt.events = events.iter().map(ToString::to_string).collect();
        attempt.counted = counted;
        self.feed.history().failed(&self.target, attempt);
    }

    /// The circuit breaker opened or closed. `own`: it happened while delivering the daemon's own events.
    pub(super) fn changed(&mut self, change: Change, reason: &str, own: bool) {
        self.log.changed(change, reason);
        match change {
            Change::Held(cause) => {
                self.failed(reason, own);
                self.held = Some(condition(cause, reason));
                self.show(0);
                match cause {
                    Cause::Throttled => {}
                    Cause::Failing => self.down(AlarmKind::TargetDown),
                    Cause::Broken => self.down(AlarmKind::TargetBroken),
                }
            }
            Change::Recovered { .. } => {
                self.held = None;
                self.standing = Standing::Unknown;
                self.recovered();
            }
        }
    }

    /// The target asked to wait until that time.
    pub(super) fn throttled(&mut self, until: Timestamp, reason: &str) {
        let (until_ms, reason) = (until.as_millis(), reason.to_owned());
        self.held = Some(Condition::Throttled { until_ms, reason });
        self.show(0);
    }

    /// A delivery became a dead letter.
    pub(super) fn dead(&mut self, delivery: &Delivery, reason: &str) {
        self.log.dead(delivery.event.id, delivery.attempt, reason);
        if &*delivery.event.source != OWN_SOURCE {
            self.alarm(AlarmKind::DeadLetter, 1, reason);
        }
    }

    /// `count` deliveries that were never attempted became dead letters.
    pub(super) fn expired(&mut self, count: u64, reason: &str) {
        self.log.expired(count, reason);
        self.alarm(AlarmKind::DeadLetter, count, reason);
    }

    /// The store could not do `what`.
    pub(super) fn store_failed(&mut self, what: &str, error: &StoreError) {
        self.log.store_failed(what, error);
    }

    pub(super) fn alarm(&self, kind: AlarmKind, count: u64, reason: &str) {
        self.feed.alarms().raise(kind, &self.target, count, reason);
    }
}

/// What the history keeps of an attempt that failed.
pub(super) fn failed_attempt(number: u32, verdict: &Verdict, now: Timestamp) -> Option<Attempt> {
    let failure = verdict.as_ref().err()?;
    Some(Attempt {
        at_ms: now.as_millis(),
        events: Vec::new(),
        attempt: number,
        verdict: failure.kind.as_str(),
        reason: failure.reason.clone(),
        counted: true,
    })
}

/// Why the circuit breaker is open, for `status`.
fn condition(cause: Cause, reason: &str) -> Condition {
    match cause {
        Cause::Failing => Condition::Down(reason.to_owned()),
        // When it ends is said next.
        Cause::Throttled => Condition::Failing(format!("throttled: {reason}")),
        Cause::Broken => Condition::Failing(format!("broken: {reason}")),
    }
}
