//! The contract of an index: the one in memory and the real one give the same answers.

use std::ops::ControlFlow;

use proptest::prelude::*;

use crate::embedded::index::fjall::FjallIndex;
use crate::embedded::index::queries::Queries as _;
use crate::embedded::index::rows::{
    Batch, DeadRow, Index, IndexHome, OutcomeRow, RetryRow, Seen, Space, dead_key, hour_of,
    outcome_key, retry_key, window_key,
};

use super::hardware::memory_index::MemoryHome;

const HOUR_MS: u64 = 3_600_000;
const NOW_MS: u64 = 100 * HOUR_MS;

/// A kind of row, its target, its number, its time, and whether it is put or removed.
type Change = (u8, u16, u64, u64, bool);

fn batch(changes: &[Change], hours_from: u32) -> Batch {
    let mut batch = Batch { hours_from, ..Batch::default() };
    for &(kind, target, number, hour, put) in changes {
        let at_ms = NOW_MS - 30 * HOUR_MS + hour * HOUR_MS;
        let key = [u8::try_from(number).unwrap(); 16];
        let (space, key, row) = match kind {
            0 => {
                let row = RetryRow {
                    attempts: 1,
                    first_attempt_ms: at_ms,
                    reason: "r".into(),
                    progress: vec![1],
                };
                let row = postcard::to_allocvec(&row).unwrap();
                (Space::Retry, retry_key(target, at_ms, number), row)
            }
            1 | 2 => {
                let row = DeadRow {
                    received_ms: at_ms,
                    count: 1,
                    attempts: 1,
                    at_ms,
                    reason: "d".into(),
                    to: if hour % 2 == 0 { number + 3 } else { 0 },
                    spared: Vec::new(),
                };
                let row = postcard::to_allocvec(&row).unwrap();
                let space = if kind == 1 { Space::Dead } else { Space::Dropped };
                (space, dead_key(target, number), row)
            }
            3 => (Space::Range, dead_key(target, number), Vec::new()),
            4 => {
                let row = OutcomeRow { attempts: 2, at_ms, receipt: None, fields: Vec::new() };
                let row = postcard::to_allocvec(&row).unwrap();
                (Space::Outcome, outcome_key(target, number), row)
            }
            5 => {
                let row = at_ms.to_le_bytes().to_vec();
                (Space::Seen(hour_of(at_ms)), window_key(target, number), row)
            }
            _ => {
                let seen = Seen { number, received_ms: at_ms };
                batch.seen.push((hour_of(at_ms), key, seen));
                continue;
            }
        };
        batch.rows.insert((space, key), put.then_some(row));
    }
    batch
}

/// The answers to everything that an index can be asked.
fn answers(index: &dyn Index) -> String {
    let mut all = format!("{:?} {:?}\n", index.stamp().unwrap(), index.dump());
    for target in 0..3 {
        let mut retries = Vec::new();
        let mut visit = |due, number, row| {
            retries.push((due, number, row));
            if retries.len() < 5 { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        };
        index.retries(target, NOW_MS - 20 * HOUR_MS, &mut visit).unwrap();
        all += &format!("{retries:?} {:?}\n", index.dead(target, Some(2), 3).unwrap());
        all += &format!("{:?}\n", index.windows(target, NOW_MS - 10 * HOUR_MS).unwrap());
        for number in 0..9 {
            for dropped in [false, true] {
                all += &format!("{:?}", index.dead_at(target, number, dropped).unwrap());
                all += &format!("{:?}", index.dead_within(target, number, dropped).unwrap());
            }
            all += &format!("{:?}\n", index.outcome(target, number).unwrap());
        }
    }
    for key in 0..9 {
        for hours in [0, 12, 40] {
            all += &format!(
                "{:?}",
                index.seen(&[key; 16], NOW_MS - hours * HOUR_MS, &|_| true).unwrap()
            );
        }
    }
    all
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(5))]

    #[test]
    fn both_indexes_give_the_same_answers(
        batches in proptest::collection::vec(
            (proptest::collection::vec((0u8..8, 0u16..3, 0u64..9, 0u64..30, any::<bool>()), 0..30), 0u32..90),
            1..4,
        ),
    ) {
        let folder = tempfile::tempdir().unwrap();
        let memory = MemoryHome::default().open().unwrap();
        let mut fjall = FjallIndex::open(folder.path()).unwrap();
        for (changes, hours_from) in &batches {
            memory.commit(batch(changes, *hours_from)).unwrap();
            fjall.commit(batch(changes, *hours_from)).unwrap();
            prop_assert_eq!(answers(&*memory), answers(&fjall));
        }
        fjall.sync().unwrap();
        drop(fjall);
        fjall = FjallIndex::open(folder.path()).unwrap();
        prop_assert_eq!(answers(&*memory), answers(&fjall));
    }
}
