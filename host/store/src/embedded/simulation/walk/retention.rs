//! Old segments are removed: what may become of their deliveries and of their events.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::embedded::format::event_number::lsn_of;
use crate::embedded::platform::locks::read_lock;
use crate::embedded::retention::retire::Stepped;
use dispatcher_model::TargetNumber;

use super::model::{Delivery, Label, Model, Presence, Status};
use super::operators::status;
use super::walk::{Done, Walk};

/// Steps at once.
const STEPS_MAX: usize = 6;

/// Steps of retention beside those of the walk. Many find a target busy and do nothing.
const STEPS_BESIDE_MAX: usize = 60;

impl Walk {
    /// Whether deliveries of the target may be given up for age or for want of room.
    fn may_give_up(&self, target: u16) -> bool {
        self.settings.retention_age_ms.is_some() || self.overflows(target)
    }

    pub(super) fn overflows(&self, target: u16) -> bool {
        let may = !self.plan.threads && self.plan.seed.is_multiple_of(2);
        may && target == 0 && self.settings.retention_bytes.is_some()
    }

    /// Deliveries that may be given up for their age, and dead letters that may go with their segment.
    fn given_up(&self) -> Vec<(u16, Label)> {
        let steady_ms = self.steady_ms();
        let all = self.model.deliveries.iter().filter(|((target, label), delivery)| {
            let open = delivery.status == Status::Open && !delivery.is_leased(steady_ms);
            let may = match delivery.status {
                Status::Open => open && self.may_give_up(*target),
                Status::Dead => true,
                Status::Delivered | Status::Dropped => false,
            };
            may && self.model.events[*label].presence == Presence::Stored
        });
        all.map(|(key, _)| *key).collect()
    }

    pub(super) fn retain(&mut self) -> Done {
        if self.settings.retention_bytes.is_none() {
            return Ok(());
        }
        let (candidates, start) = (self.given_up(), self.start());
        let dead_before = self.dead();
        let steps = if self.plan.threads { self.retain_beside()? } else { self.retain_alone()? };
        let moved_on = self.start() != start;
        self.counts.removals += u64::from(moved_on);
        self.note(format!("retain {steps} steps, segments removed: {moved_on}"));
        if !moved_on && self.dead() == dead_before {
            return Ok(());
        }
        if self.disk.faults().off {
            // What of it is on the disk shows when the store is open again.
            self.may_be_given_up(&candidates);
            return Ok(());
        }
        self.may_be_given_up(&candidates);
        self.find_gone()?;
        for key in candidates {
            self.see(key)?;
        }
        Ok(())
    }

    fn retain_alone(&mut self) -> Done<usize> {
        let running = self.running.as_mut().ok_or("no store is open")?;
        let mut steps = 0;
        while steps < STEPS_MAX && running.retain() {
            steps += 1;
        }
        Ok(steps)
    }

    /// On a thread of its own, while senders and targets go on.
    fn retain_beside(&mut self) -> Done<usize> {
        let running = self.running.as_mut().ok_or("no store is open")?;
        let mut retention = running.retention.take().ok_or("retention is busy")?;
        let work = std::thread::spawn(move || {
            let mut steps = 0;
            let mut wait = || std::thread::sleep(Duration::from_millis(1));
            while steps < STEPS_BESIDE_MAX && retention.step(&mut wait) == Stepped::More {
                steps += 1;
            }
            (retention, steps)
        });
        let mut done = Ok(());
        for _ in 0..self.random.usize(1..STEPS_MAX) {
            done = done.and_then(|()| self.common_step()).and_then(|()| self.check_live());
        }
        let (retention, steps) = work.join().map_err(|_| "a panic of retention")?;
        self.running.as_mut().ok_or("no store is open")?.retention = Some(retention);
        done.map(|()| steps)
    }

    /// A request, a claim, or outcomes.
    pub(super) fn common_step(&mut self) -> Done {
        let target = self.target();
        match self.random.u8(..4) {
            0 | 1 => self.append(),
            2 => self.claim(target),
            _ => self.settle(target),
        }
    }

    fn dead(&self) -> Vec<(u64, u64)> {
        let store = self.store();
        let depth = |target| crate::Queue::depth(&*store, target);
        let all = self.model.targets.iter().map(|(_, target)| depth(*target));
        all.map(|depth| (depth.pending, depth.dead)).collect()
    }

    pub(super) fn start(&self) -> u64 {
        let shared = &self.running().store.shared;
        let segments = read_lock(&shared.reader.segments);
        segments.list.first().map_or(0, |segment| segment.header.base)
    }

    fn may_be_given_up(&mut self, candidates: &[(u16, Label)]) {
        let step = self.step;
        for key in candidates {
            if let Some(delivery) = self.model.deliveries.get_mut(key) {
                let next =
                    if delivery.status == Status::Open { Status::Dead } else { Status::Dropped };
                delivery.since.push((step, next));
                if next == Status::Dead {
                    delivery.since.push((step, Status::Dropped));
                }
            }
        }
    }

    /// What became of a delivery that may have been given up.
    fn see(&mut self, key: (u16, Label)) -> Done {
        let (target, label) = key;
        if self.model.events[label].presence != Presence::Stored {
            return Ok(());
        }
        let Some(fate) = self.fate(target, label)? else { return Ok(()) };
        let (now, ended_before) = (status(&fate), self.is_moved(label));
        self.model.fold(key, now);
        let Some(delivery) = self.model.deliveries.get_mut(&key) else { return Ok(()) };
        if ended_before && now == Status::Delivered && delivery.status != Status::Open {
            if delivery.status == Status::Dead {
                let status = Status::Dropped;
                *delivery = Delivery { status, durable: status, ..Delivery::new() };
            }
            return Ok(());
        }
        let fine = now == delivery.status
            || now == Status::Dead
            // A replayed one that was never planned is not found in a range of dead letters.
            || (now == Status::Dropped && delivery.status != Status::Delivered);
        if !fine {
            return Err(format!("retention made event {label} {now:?}: {delivery:?}"));
        }
        let step = self.step;
        delivery.since.retain(|(other, _)| *other != step);
        if now != delivery.status {
            *delivery = Delivery { status: now, durable: now, ..Delivery::new() };
        }
        Ok(())
    }

    /// Whether the event was copied out of its segment. Its dead letter, once removed with a range, has no
    /// row any more: it looks delivered.
    pub(super) fn is_moved(&self, label: Label) -> bool {
        let start = self.start();
        self.model.events[label].id.is_some_and(|id| lsn_of(id.number()) < start)
    }

    /// Finds events whose segment was removed and that were not copied: none of their deliveries may be
    /// open.
    pub(super) fn find_gone(&mut self) -> Done {
        let start = self.start();
        let here: BTreeSet<Label> =
            self.scan()?.iter().filter_map(|logged| Model::label_of(&logged.event.data)).collect();
        for label in 0..self.model.events.len() {
            let event = &self.model.events[label];
            let old = event.id.is_some_and(|id| lsn_of(id.number()) < start);
            if event.presence == Presence::Stored && old && !here.contains(&label) {
                self.is_gone(label)?;
            }
        }
        Ok(())
    }

    /// Its dead letters may still be listed without it, or be gone as well.
    pub(super) fn is_gone(&mut self, label: Label) -> Done {
        self.model.events[label].presence = Presence::Gone;
        // A replay may have been for a target that the event was not planned for.
        for (_, TargetNumber(target)) in self.model.targets.clone() {
            let may_die = self.may_give_up(target);
            let Some(delivery) = self.model.deliveries.get_mut(&(target, label)) else { continue };
            let ended = delivery.since.iter().any(|(_, status)| *status != Status::Open);
            if delivery.status == Status::Open && !may_die && !ended {
                return Err(format!(
                    "event {label} was removed with its segment, but is open for target {target}: {delivery:?}"
                ));
            }
            if delivery.status == Status::Open {
                delivery.status = Status::Dead;
            }
            delivery.is_durable();
        }
        Ok(())
    }
}
