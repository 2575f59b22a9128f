//! Ends and beginnings: orderly closes, killed processes, power cuts, lost indexes; and what must
//! hold when the store is open again.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::embedded::core::machine::Machine;
use crate::embedded::format::event_number::lsn_of;
use crate::embedded::format::frame::Kind;
use crate::embedded::format::record::{Moved, decode};
use crate::embedded::format::stored_request::Read;
use crate::embedded::index::rows::Space;
use crate::embedded::log::scanner::{CHUNK_BYTES, Scanner, Step};
use crate::embedded::platform::locks::{read_lock, write_lock};
use crate::{Fate, Outcome, Queue, Settlement};
use dispatcher_model::{EventId, StoredEvent, TargetNumber};

use crate::embedded::simulation::acts::status;
use crate::embedded::simulation::index::{MemoryHome, Rows};
use crate::embedded::simulation::model::{Label, Model, Presence, Status};
use crate::embedded::simulation::running::Running;
use crate::embedded::simulation::walk::{Done, Walk};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Close,
    Kill,
    PowerCut,
}

/// An event in the log, and whom it was planned for.
pub(super) struct Logged {
    pub event: Arc<StoredEvent>,
    pub targets: Vec<u16>,
    /// A copy, at the head of the log.
    pub moved: bool,
}

impl Walk {
    /// Ends the store in some way and opens it again.
    pub(super) fn crash(&mut self) -> Done {
        let clean = !self.unsure && !self.has_met_faults();
        let end = match self.random.u8(..5) {
            0 if clean => End::Close,
            0 | 1 => End::Kill,
            _ => End::PowerCut,
        };
        let delete = self.random.u8(..5) == 0;
        self.end(end);
        if delete {
            self.home.delete();
        }
        self.note(format!("{end:?}, index deleted {delete}"));
        // It goes off again while it starts.
        while self.plan.faults && self.random.u8(..4) == 0 {
            let n = self.random.u32(..8);
            self.disk.plan(|faults| faults.fuse = Some(n));
            drop(Running::open(&self.settings, &self.machine()));
            let end = if self.random.bool() { End::Kill } else { End::PowerCut };
            self.end(end);
            self.note(format!("another end after {n} calls"));
        }
        self.open()?;
        self.check_open(delete)
    }

    fn end(&mut self, end: End) {
        match end {
            End::Close => {
                self.counts.closes += 1;
                let met = self.disk.faults_met();
                if let Some(running) = self.running.take() {
                    running.close();
                }
                // A fault that waited for this leaves what was not on disk to be done again.
                if self.disk.faults_met() == met {
                    self.model.all_durable();
                }
            }
            End::Kill => self.counts.kills += 1,
            End::PowerCut => self.counts.power_cuts += 1,
        }
        self.running = None;
        self.disk.restart();
        if end == End::PowerCut {
            self.disk.cut_power();
            self.home.cut_power(&mut self.random);
        }
        self.unsure = false;
    }

    pub(super) fn open(&mut self) -> Done {
        // With the log alone, unless the index has read into its newest segment.
        let aside = self.step.is_multiple_of(2);
        let read_at_open_bytes_max = if aside { 0 } else { u64::MAX };
        let machine = Machine { read_at_open_bytes_max, ..self.machine() };
        let opened = Running::open(&self.settings, &machine);
        let mut running = opened.map_err(|error| format!("the store does not open: {error}"))?;
        if running.store.rebuilding().is_some() {
            self.counts.made_aside += 1;
            running.make_index()?;
        }
        self.running = Some(running);
        if self.overflows(0) {
            write_lock(&self.running().store.shared.keeping.overflow).insert(0);
        }
        for delivery in self.model.deliveries.values_mut() {
            delivery.lease_ms = None;
        }
        Ok(())
    }

    fn ahead(&self) -> Done {
        self.home.ran_ahead().map_or(Ok(()), Err)
    }

    /// What holds between any two steps.
    pub(super) fn check_live(&self) -> Done {
        self.ahead()?;
        self.check_depths()
    }

    fn check_depths(&self) -> Done {
        let (store, steady_ms) = (self.store(), self.steady_ms());
        for (_, target) in &self.model.targets {
            let depth = store.depth(*target);
            let of = |status| self.model.count(target.0, status);
            let (open, dead) = (of(Status::Open), of(Status::Dead));
            // Dead letters without their events may be listed on, or not.
            let listed = self.model.of(target.0).filter(|(label, delivery)| {
                let gone = self.model.events[*label].presence == Presence::Gone;
                delivery.status == Status::Dead && !gone
            });
            let dead_min = listed.count() as u64;
            let dead = dead + self.model.folded.get(&target.0).copied().unwrap_or(0);
            if depth.pending != open || !(dead_min..=dead).contains(&depth.dead) {
                return Err(format!("{target:?}: {depth:?}, but {open} are open and {dead} dead"));
            }
            let leased = self.model.of(target.0).filter(|(_, d)| d.is_leased(steady_ms)).count();
            if depth.in_flight < leased as u64 || depth.in_flight + depth.retrying > depth.pending {
                return Err(format!("{target:?}: {depth:?}, but {leased} are held"));
            }
        }
        Ok(())
    }

    /// What holds when the store was opened again.
    fn check_open(&mut self, rebuilt: bool) -> Done {
        self.ahead()?;
        self.check_registry()?;
        self.check_log()?;
        self.check_holds();
        let (kept, lost) = self.resolve()?;
        self.check_windows(&kept, &lost)?;
        self.model.all_durable();
        self.check_depths()?;
        if rebuilt || self.random.bool() { self.check_rebuild() } else { Ok(()) }
    }

    fn check_registry(&mut self) -> Done {
        let names = self.model.targets.iter().map(|(name, _)| name.as_str().into()).collect();
        let store = self.store();
        let numbers = self.must("register", store.register(names))?;
        let known: Vec<TargetNumber> = self.model.targets.iter().map(|(_, n)| *n).collect();
        if numbers == known { Ok(()) } else { Err(format!("targets {known:?} became {numbers:?}")) }
    }

    /// A hold that was not answered may be there or not.
    fn check_holds(&mut self) {
        let store = self.store();
        for (_, target) in &self.model.targets {
            if store.held(*target).is_some() {
                self.model.held.insert(target.0);
            } else {
                self.model.held.remove(&target.0);
            }
        }
    }

    /// Every event in the log, in its order.
    pub(super) fn scan(&self) -> Done<Vec<Logged>> {
        let shared = &self.running().store.shared;
        let segments = read_lock(&shared.reader.segments).clone();
        let (mut all, mut at) = (Vec::new(), 0);
        let failed = |error: std::io::Error| format!("the log cannot be read: {error}");
        while let Some(stretch) = segments.stretch(at) {
            let file = shared.reader.disk.open(&shared.reader.path(&stretch)).map_err(failed)?;
            let mut scanner = Scanner::new(&*file, stretch, CHUNK_BYTES.min(64 << 10));
            loop {
                match scanner.step().map_err(failed)? {
                    Step::Frame(header, payload) if header.kind == Kind::Request as u8 => {
                        let read = Read::new(header.lsn, payload).map_err(|e| e.to_string())?;
                        let origins =
                            (0..).map_while(|place| read.origin(self.identity.store, place));
                        all.extend(origins.map(|origin| Logged {
                            event: Arc::new(origin.event),
                            targets: origin.targets,
                            moved: false,
                        }));
                    }
                    Step::Frame(header, payload) if header.kind == Kind::Moved as u8 => {
                        let moved: Moved<'_> = decode(payload).map_err(|e| e.to_string())?;
                        let origin = shared.reader.origin(moved.about.number, header.lsn);
                        let origin = origin.map_err(failed)?.ok_or("a copy cannot be read")?;
                        let (event, targets) = (Arc::new(origin.event), origin.targets);
                        all.push(Logged { event, targets, moved: true });
                    }
                    Step::Frame(..) => {}
                    Step::Bad(lsn) => return Err(format!("the log is damaged at {lsn}")),
                    Step::End => break,
                }
            }
            at = stretch.to.max(at + 1);
        }
        Ok(all)
    }

    /// What was acknowledged is in the log, once; what was not may be, whole or not at all.
    fn check_log(&mut self) -> Done {
        let mut found = BTreeSet::new();
        let mut requests: BTreeMap<u64, bool> = BTreeMap::new();
        let start = self.start();
        for Logged { event, targets, moved } in self.scan()? {
            let label = Model::label_of(&event.data).ok_or("the log has an event of nobody")?;
            let known =
                self.model.events.get(label).ok_or("the log has an event that never was")?;
            let same = *event.data == *known.text.as_bytes() && known.targets.iter().eq(&targets);
            if !same || known.presence == Presence::Absent {
                return Err(format!("event {label} came back as {:?}", event.id));
            }
            if known.presence == Presence::Gone {
                continue;
            }
            if !found.insert(label) && !moved {
                return Err(format!("event {label} is in the log twice"));
            }
            if known.presence == Presence::Maybe {
                requests.insert(known.request, true);
            }
            self.model.store(label, event.id)?;
        }
        for label in 0..self.model.events.len() {
            let event = &mut self.model.events[label];
            match event.presence {
                Presence::Stored if found.contains(&label) => {}
                Presence::Stored if event.id.is_some_and(|id| lsn_of(id.number()) < start) => {
                    self.is_gone(label)?;
                }
                Presence::Stored => {
                    return Err(format!("event {label} was acknowledged and is lost"));
                }
                Presence::Maybe => event.presence = Presence::Absent,
                _ => {}
            }
        }
        Ok(())
    }

    /// Asks what became of everything that was said and not known to be on disk. Of the steps, the
    /// first ones survived; a digest did as a whole. Gives the steps that did and that did not.
    fn resolve(&mut self) -> Done<(BTreeSet<u64>, BTreeSet<u64>)> {
        let unsure: Vec<(u16, Label)> = self
            .model
            .deliveries
            .iter()
            .filter(|(_, delivery)| !delivery.since.is_empty())
            .map(|(key, _)| *key)
            .collect();
        let (mut kept, mut lost) = (BTreeSet::new(), BTreeSet::new());
        for (target, label) in unsure {
            let Some(fate) = self.fate(target, label)? else { continue };
            let now = status(&fate);
            self.model.fold((target, label), now);
            let Some(delivery) = self.model.deliveries.get_mut(&(target, label)) else { continue };
            let since = std::mem::take(&mut delivery.since);
            if now != delivery.durable && since.iter().all(|(_, status)| *status != now) {
                return Err(format!(
                    "{label} is {now:?} for {target}, but: {delivery:?} {since:?}"
                ));
            }
            if let [(step, said)] = since[..]
                && said != delivery.durable
            {
                if now == said {
                    kept.insert(step)
                } else {
                    lost.insert(step)
                };
            }
            if now == Status::Open {
                let retrying = if let Fate::Retrying { attempts, at, .. } = &fate {
                    Some((*attempts, at.as_millis()))
                } else {
                    None
                };
                delivery.attempts = Some(retrying.map_or(0, |(attempts, _)| attempts));
                delivery.due_ms = retrying.map(|(_, due)| due);
                delivery.progress = None;
                delivery.row = true;
            }
            delivery.status = now;
        }
        if let (Some(last), Some(first)) = (kept.last(), lost.first())
            && last > first
        {
            return Err(format!("step {last} survived, but not {first} before it"));
        }
        match kept.intersection(&lost).find(|step| self.model.digests.contains(step)) {
            Some(step) => Err(format!("of the digest of step {step} only a part survived")),
            None => Ok((kept, lost)),
        }
    }

    fn check_windows(&mut self, kept: &BTreeSet<u64>, lost: &BTreeSet<u64>) -> Done {
        let (now_ms, hours_from) = (self.wall_ms(), self.hours_known());
        let mut windows = std::mem::take(&mut self.model.windows);
        let recent = |until_ms: u64| {
            until_ms > now_ms && crate::embedded::index::rows::hour_of(until_ms) >= hours_from
        };
        windows.retain(|window| recent(window.until_ms));
        for target in self.model.targets.clone() {
            let store = self.store();
            let there = self.must("windows", store.windows(target.1))?;
            for window in windows.iter_mut().filter(|window| window.target == target.1.0) {
                let found = there
                    .iter()
                    .any(|w| w.group == window.group && w.until.as_millis() == window.until_ms);
                // With a segment go its windows, once the index is made anew.
                let whole = self.start() == 0;
                let must = whole && (window.durable || kept.contains(&window.step));
                if must && !found {
                    return Err(format!("the window of step {} is lost", window.step));
                }
                if found && lost.contains(&window.step) {
                    return Err(format!("of step {} only the window survived", window.step));
                }
                window.durable = found;
            }
        }
        windows.retain(|window| window.durable);
        self.model.windows = windows;
        Ok(())
    }

    fn dump(running: &Running, hours_from: u32) -> Rows {
        let index = read_lock(&running.store.shared.index);
        let rows = index.as_ref().map(|index| index.dump()).unwrap_or_default();
        let known = |space: &Space| !matches!(space, Space::Seen(hour) if *hour < hours_from);
        rows.into_iter().filter(|((space, _), _)| known(space)).collect()
    }

    /// An index made anew from the log says the same.
    pub(super) fn check_rebuild(&mut self) -> Done {
        self.counts.rebuilds += 1;
        let store = self.store();
        self.must("flush", store.flush())?;
        let hours_from = self.hours_known();
        let kept = Self::dump(self.running(), hours_from);
        let disk = self.disk.copy();
        let index = Arc::new(MemoryHome::default());
        let machine = Machine { disk: Arc::new(disk), index, ..self.machine() };
        let other = Running::open(&self.settings, &machine)
            .map_err(|error| format!("a copy does not open: {error}"))?;
        let new = Self::dump(&other, hours_from);
        // Keys and windows go with their segment: the new index may know less of them.
        let kept: Rows = if self.start() == 0 {
            kept
        } else {
            let same =
                |key: &(Space, Vec<u8>)| !matches!(key.0, Space::Seen(_)) || new.contains_key(key);
            kept.into_iter().filter(|(key, _)| same(key)).collect()
        };
        if kept == new {
            return self.check_flip();
        }
        let only = |one: &Rows, other: &Rows| -> Vec<_> {
            one.iter()
                .filter(|(key, row)| other.get(*key) != Some(*row))
                .map(|(k, v)| format!("{k:?} {v:?}"))
                .take(4)
                .collect()
        };
        Err(format!(
            "the rebuilt index differs: kept {:#?} new {:#?}",
            only(&kept, &new),
            only(&new, &kept)
        ))
    }

    /// Twice in a row the power is cut when nothing but outcomes was written.
    pub(super) fn settlements_and_two_power_cuts(&mut self, target: TargetNumber) -> Done {
        for _ in 0..2 {
            // Each is a step of its own.
            self.step += 1;
            self.counts.steps += 1;
            if self.unsure || self.disk.faults().off {
                return Ok(());
            }
            self.claim(target)?;
            if self.disk.faults().off {
                return Ok(());
            }
            if self.random.bool() {
                self.digest(target)?;
            } else {
                self.settle(target)?;
            }
            if self.random.u8(..4) == 0 {
                self.pass()?;
            }
            self.end(End::PowerCut);
            self.note("power cut after outcomes only");
            self.open()?;
            self.check_open(false)?;
        }
        Ok(())
    }

    /// Everything that is open can be had, and what is over is what the model says.
    pub(super) fn finish(&mut self) -> Done {
        self.end(End::Kill);
        self.open()?;
        self.check_open(true)?;
        for (_, target) in self.model.targets.clone() {
            if self.model.held.remove(&target.0) {
                let store = self.store();
                self.must("hold", store.hold(target, None))?;
            }
        }
        // Whatever was put off, by a clock of another year too.
        self.time.jump(10 * 365 * 86_400_000);
        self.model.wall_max_ms = self.wall_ms();
        self.note("the end: everything is asked for");
        for (_, target) in self.model.targets.clone() {
            self.drain(target)?;
        }
        self.check_live()?;
        self.end(End::Close);
        self.open()?;
        self.check_open(true)?;
        self.check_fates()
    }

    fn drain(&mut self, target: TargetNumber) -> Done {
        let lease_ms = 3_600_000;
        loop {
            let store = self.store();
            let lease = std::time::Duration::from_millis(lease_ms);
            let Some(given) = self.ask(store.claim(target, 64, lease)) else { break };
            let given = given.map_err(|error| format!("claim: {error}"))?;
            let labels = self.given(target, &given, lease_ms, false)?;
            let receipt = dispatcher_model::Receipt::default();
            let outcome = Outcome::Delivered { receipt };
            let ids: Vec<EventId> = given.iter().map(|one| one.event.id).collect();
            let list = ids.into_iter();
            let list = list.map(|event| Settlement { event, outcome: outcome.clone() }).collect();
            self.must("settle", store.settle(target, list))?;
            for label in labels {
                if let Some(delivery) = self.model.deliveries.get_mut(&(target.0, label)) {
                    delivery.becomes(self.step, Status::Delivered);
                }
            }
        }
        match self.model.of(target.0).find(|(_, delivery)| delivery.status == Status::Open) {
            Some((label, left)) => Err(format!("{label} never reaches {target:?}: {left:?}")),
            None => Ok(()),
        }
    }

    fn check_fates(&mut self) -> Done {
        for (target, label) in self.model.deliveries.keys().copied().collect::<Vec<_>>() {
            let said = self.model.deliveries[&(target, label)].status;
            let Some(fate) = self.fate(target, label)? else { continue };
            let hidden = self.is_moved(label) && status(&fate) == Status::Delivered;
            if status(&fate) != said && !(hidden && said != Status::Open) {
                return Err(format!("{label} is {fate:?} for {target}, and was {said:?}"));
            }
        }
        Ok(())
    }
}
