//! Crashes that once lost something, step by step.

use std::path::PathBuf;
use std::sync::Arc;

use crate::model::TargetNumber;
use crate::store::contract::{planned, request, texts};
use crate::store::embedded::Settings;
use crate::store::embedded::clock::Clock;
use crate::store::embedded::machine::Machine;
use crate::store::embedded::segment::Identity;
use crate::store::{AppendError, Durable, Queue};

use super::disk::SimDisk;
use super::index::MemoryHome;
use super::running::Running;
use super::time::Time;

/// A store on a disk that is fit for one story.
struct Story {
    disk: SimDisk,
    machine: Machine,
    settings: Settings,
    running: Option<Running>,
}

impl Story {
    fn new(seed: u64) -> Self {
        let disk = SimDisk::new(seed);
        let mut settings = Settings::new(PathBuf::from("/simulated"));
        settings.segment_bytes = 32 << 10;
        let index = MemoryHome::beside(&disk, settings.log_folder());
        let machine = Machine {
            disk: Arc::new(disk.clone()),
            clock: Clock::Simulated(Arc::new(Time::new())),
            index: Arc::new(index),
            identity: Some(Identity { store: 1, uuid: seed }),
            read_at_open_bytes_max: u64::MAX,
            alone: true,
        };
        let mut story = Self { disk, machine, settings, running: None };
        story.open();
        let store = story.running.as_ref().unwrap().store.clone();
        let numbers = story.running.as_mut().unwrap().ask(store.register(vec!["a".into()]));
        assert_eq!(numbers.unwrap().unwrap(), [TargetNumber(0)]);
        story
    }

    fn open(&mut self) {
        self.running = Some(Running::open(&self.settings, &self.machine).unwrap());
    }

    /// The process is killed, and started again.
    fn kill(&mut self) {
        self.running = None;
        self.disk.restart();
        self.open();
    }

    fn cut_power(&mut self) {
        self.running = None;
        self.disk.cut_power();
        // It is made anew.
        self.machine.index.remove().unwrap();
        self.open();
    }

    fn append(&mut self, text: &str) -> Result<Durable, AppendError> {
        let store = self.running.as_ref().unwrap().store.clone();
        let asked = store.append(request(vec![planned(text, &[TargetNumber(0)])]));
        self.running.as_mut().unwrap().ask(asked).unwrap()
    }

    fn all(&mut self) -> Vec<String> {
        let store = self.running.as_ref().unwrap().store.clone();
        let hour = crate::store::contract::HOUR;
        let mut all = Vec::new();
        let running = self.running.as_mut().unwrap();
        while let Some(given) = running.ask(store.claim(TargetNumber(0), 99, hour)) {
            all.extend(texts(&given.unwrap()));
        }
        all
    }
}

#[test]
fn what_a_failed_sync_left_in_the_kernels_memory_is_not_believed_after_a_restart() {
    for seed in 0..60 {
        let mut story = Story::new(seed);
        story.append("before").unwrap();
        story.disk.plan(|faults| faults.bad_syncs = 1);
        story.append("refused").unwrap_err();
        story.kill();
        // Frames behind the refused one, in the same segment.
        story.append("after").unwrap();
        story.cut_power();
        let all = story.all();
        assert!(all == ["before", "after"] || all == ["before", "refused", "after"], "{all:?}");
    }
}

#[test]
fn a_segment_whose_name_was_not_yet_on_disk_is_not_lost_with_what_was_acknowledged_in_it() {
    for seed in 0..60 {
        let mut story = Story::new(seed);
        let large = "x".repeat(4_000);
        for _ in 0..3 {
            story.append(&large).unwrap();
        }
        // The next one needs a new segment: the process ends when that has its name, and not before.
        for calls in 0..12 {
            story.disk.plan(|faults| faults.fuse = Some(calls));
            if story.append(&large).is_ok() {
                break;
            }
            story.kill();
        }
        story.disk.plan(|faults| faults.fuse = None);
        story.append("last").unwrap();
        story.cut_power();
        assert_eq!(story.all().last().map(String::as_str), Some("last"), "seed {seed}");
    }
}
