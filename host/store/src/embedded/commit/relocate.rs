//! Writes copies of events to the end of the log, so that their old segment can be removed.

use super::committer::Committer;
use super::group::Waiting;
use crate::embedded::core::inbox::{Copy, Reply};
use crate::embedded::platform::locks::lock;

impl Committer {
    /// Writes the copies, except of events with a claimed delivery. The reply says how many it wrote.
    pub(crate) fn relocate(&mut self, copies: Vec<Copy>, reply: Reply<u64>) {
        let mut count = 0;
        for Copy { number, retrying, mut frame, effects } in copies {
            let claimed = |target: &u16| {
                let target = self.shared.target(*target);
                target.is_none_or(|target| lock(&target.live).rows.contains_key(&number))
            };
            if retrying.iter().any(claimed) {
                continue;
            }
            let ready = self.place_unwritten().and_then(|()| self.make_room(frame.size()));
            if let Err(error) = ready {
                return drop(reply.send(Err(error.to_store())));
            }
            let lsn = self.log.place(&mut frame);
            let entry = self.entry(lsn, &frame, effects);
            self.group.registry(entry);
            count += 1;
        }
        self.group.wait(Waiting::Operated { reply, count });
    }
}
