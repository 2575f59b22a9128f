//! Gives targets their numbers.

use std::sync::Arc;

use dispatcher_model::TargetNumber;

use super::committer::Committer;
use crate::StoreError;
use crate::embedded::core::shared::Target;
use crate::embedded::format::entry::Effects;
use crate::embedded::format::frame::Kind;
use crate::embedded::format::record::{self, Registry};
use crate::embedded::limits::NAME_BYTES_MAX;
use crate::embedded::log::writer::DiskError;
use crate::embedded::platform::locks::{read_lock, write_lock};

impl Committer {
    pub(super) fn register(&mut self, names: &[Arc<str>]) -> Result<Vec<TargetNumber>, StoreError> {
        let mut known: Vec<Arc<str>> =
            read_lock(&self.shared.targets).iter().map(|target| target.name.clone()).collect();
        let (mut numbers, mut new) = (Vec::new(), Vec::new());
        for name in names {
            let place = known.iter().position(|other| other == name);
            let number =
                u16::try_from(place.unwrap_or(known.len())).map_err(|_| StoreError::TooLarge {
                    what: "the number of targets".into(),
                    max: usize::from(u16::MAX) + 1,
                })?;
            if place.is_none() {
                if name.len() > NAME_BYTES_MAX {
                    return Err(StoreError::TooLarge {
                        what: format!("the name of target {name}, in bytes"),
                        max: NAME_BYTES_MAX,
                    });
                }
                new.push((number, name.to_string()));
                known.push(name.clone());
            }
            numbers.push(TargetNumber(number));
        }
        if !new.is_empty() {
            self.add_targets(Registry { targets: new }).map_err(|error| error.to_store())?;
        }
        Ok(numbers)
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
                targets.push(Arc::new(Target::new(*number, state)));
            }
        }
        Ok(())
    }
}
