//! The end of a seed: everything that is open can be claimed, and every delivery ends as the model says.

use crate::{Outcome, Queue, Settlement};
use dispatcher_model::{EventId, TargetNumber};

use super::crash::End;
use super::model::Status;
use super::operators::status;
use super::walk::{Done, Walk};

impl Walk {
    /// Everything that is open can be claimed, and everything else ended as the model says.
    pub(super) fn finish(&mut self) -> Done {
        self.end(End::Kill);
        self.open()?;
        self.check_open(true)?;
        for (_, target) in self.model.targets.clone() {
            if self.model.held.remove(&target.0).is_some() {
                let store = self.store();
                self.must("hold", store.hold(target, None))?;
            }
        }
        // So that everything is due, also what a clock of another year put off.
        self.time.pass(10 * 365 * 86_400_000);
        self.model.wall_max_ms = self.wall_ms();
        self.note("the end: claims everything");
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
            let asked = store.claim(target, 64, lease);
            let may_wait = self.model.count(target.0, Status::Open) == 0;
            let Some(given) = self.ask_claim(asked, may_wait) else { break };
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
            Some((label, left)) => Err(format!("event {label} never reaches {target:?}: {left:?}")),
            None => Ok(()),
        }
    }

    fn check_fates(&mut self) -> Done {
        for (target, label) in self.model.deliveries.keys().copied().collect::<Vec<_>>() {
            let said = self.model.deliveries[&(target, label)].status;
            let Some(fate) = self.fate(target, label)? else { continue };
            let hidden = self.is_moved(label) && status(&fate) == Status::Delivered;
            if status(&fate) != said && !(hidden && said != Status::Open) {
                return Err(format!(
                    "event {label} is {fate:?} for target {target}, but was {said:?}"
                ));
            }
        }
        Ok(())
    }
}
