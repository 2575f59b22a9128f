//! Gives targets their numbers. A number is used again only when its target is not configured any more and nothing in
//! the store refers to it.

use std::collections::BTreeSet;
use std::sync::Arc;

use dispatcher_model::TargetNumber;

use super::committer::Committer;
use crate::StoreError;
use crate::embedded::core::shared::Target;
use crate::embedded::format::entry::Effects;
use crate::embedded::format::frame::Kind;
use crate::embedded::format::record::{self, Registry};
use crate::embedded::limits::NAME_BYTES_MAX;
use crate::embedded::log::segments::Segment;
use crate::embedded::log::writer::DiskError;
use crate::embedded::platform::locks::{lock, read_lock, write_lock};
use crate::embedded::state::apply::TargetState;

impl Committer {
    pub(super) fn register(&mut self, names: &[Arc<str>]) -> Result<Vec<TargetNumber>, StoreError> {
        let known: Vec<Arc<str>> =
            read_lock(&self.shared.targets).iter().map(|target| target.name.clone()).collect();
        let place = |name: &Arc<str>| known.iter().position(|other| other == name);
        let mut unknown: Vec<&Arc<str>> = Vec::new();
        for name in names.iter().filter(|name| place(name).is_none()) {
            if name.len() > NAME_BYTES_MAX {
                return Err(StoreError::TooLarge {
                    what: format!("the name of target {name}, in bytes"),
                    max: NAME_BYTES_MAX,
                });
            }
            if !unknown.contains(&name) {
                unknown.push(name);
            }
        }
        let wanted: BTreeSet<usize> = names.iter().filter_map(place).collect();
        let given = self.numbers_for(&unknown, &wanted, known.len())?;
        let new: Vec<(u16, String)> =
            unknown.iter().zip(&given).map(|(name, number)| (*number, name.to_string())).collect();
        let number = |name: &Arc<str>| {
            let known = place(name).and_then(|place| u16::try_from(place).ok());
            let new = || unknown.iter().position(|other| *other == name).map(|place| given[place]);
            known.or_else(new).map(TargetNumber)
        };
        let numbers: Vec<TargetNumber> = names.iter().filter_map(number).collect();
        if !new.is_empty() {
            self.add_targets(Registry { targets: new }).map_err(|error| error.to_store())?;
        }
        if !numbers.is_empty() {
            self.in_use.rotate_left(1);
            if let Some(last) = self.in_use.last_mut() {
                *last = numbers.iter().map(|number| number.0).collect();
                self.shared.keep_unread(last);
            }
        }
        Ok(numbers)
    }

    /// Numbers for new names: further ones, or, when the checkpoint has no room for more, those of names of which
    /// nothing is left.
    fn numbers_for(
        &self,
        unknown: &[&Arc<str>],
        wanted: &BTreeSet<usize>,
        known: usize,
    ) -> Result<Vec<u16>, StoreError> {
        let max = self.state.names_max(self.log.frame_bytes_max());
        let mut free =
            if known + unknown.len() > max { self.forgettable(wanted) } else { Vec::new() };
        let further = known..max.max(known);
        let numbers = further.filter_map(|number| u16::try_from(number).ok());
        free.extend(numbers);
        free.truncate(unknown.len());
        if free.len() < unknown.len() {
            return Err(StoreError::TooManyTargets { known, new: unknown.len(), max });
        }
        Ok(free)
    }

    /// Numbers of targets that are not configured, have nothing, and that no record in the log names.
    fn forgettable(&self, wanted: &BTreeSet<usize>) -> Vec<u16> {
        let segments = read_lock(&self.shared.reader.segments);
        // The newest one has its summary here.
        let closed = segments.list.split_last().map_or(&[][..], |(_, closed)| closed);
        let is_named = |target| {
            let names = |segment: &Segment| {
                segment.summary.as_ref().is_none_or(|summary| summary.may_name(target))
            };
            self.summary.may_name(target) || closed.iter().any(names)
        };
        let targets = read_lock(&self.shared.targets);
        let is_free = |target: &&Arc<Target>| {
            let number = target.number;
            let state = self.state.targets.get(usize::from(number));
            state.is_some_and(TargetState::is_forgettable)
                && !wanted.contains(&usize::from(number))
                && !self.in_use.iter().any(|used| used.contains(&number))
                && lock(&target.live).is_idle()
                && !is_named(number)
        };
        targets.iter().filter(is_free).map(|target| target.number).collect()
    }

    fn add_targets(&mut self, record: Registry) -> Result<(), DiskError> {
        let record = Arc::new(record);
        let mut frame = record::frame(Kind::Registry, &*record, 256)
            .filter(|frame| frame.size() <= self.log.frame_bytes_max())
            .ok_or(DiskError::TooManyTargets)?;
        self.place_unwritten()?;
        self.make_room(frame.size())?;
        let lsn = self.log.place(&mut frame);
        let entry = self.entry(lsn, &frame, Effects::Registry(record.clone()));
        self.group.registry(entry);
        self.commit()?;
        let mut targets = write_lock(&self.shared.targets);
        for (number, _) in &record.targets {
            if let Some(state) = self.state.targets.get(usize::from(*number)) {
                let target = Arc::new(Target::new(*number, state));
                match targets.get_mut(usize::from(*number)) {
                    Some(forgotten) => *forgotten = target,
                    None => targets.push(target),
                }
            }
        }
        Ok(())
    }
}
