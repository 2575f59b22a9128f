//! The seeds of every test run, on hardware without and with planted bugs.

use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use crate::embedded::platform::locks::lock;

use super::planted::{self, Planted};
use super::walk::plan::{Counts, Plan, Trace};
use super::walk::walk::Walk;

const SEEDS: u64 = 260;
const STEPS: u64 = 200;
/// Seeds of stores with threads, and steps of each.
const THREAD_SEEDS: u64 = 12;
const THREAD_STEPS: u64 = 240;
/// Seeds within which a planted bug must be found.
const PLANTED_SEEDS: u64 = SEEDS;

/// Why a seed failed, with its steps.
struct Failure {
    seed: u64,
    why: String,
    lines: Vec<String>,
}

impl Failure {
    fn print(&self) -> String {
        format!("{}\nseed {} fails: {}", self.lines.join("\n"), self.seed, self.why)
    }
}

/// Runs a seed; returns its counts and the checksum of its steps.
fn run(plan: Plan) -> Result<(Counts, u64), Failure> {
    let (seed, trace) = (plan.seed, Arc::new(Mutex::new(Trace::default())));
    let walk = || {
        let mut walk = Walk::new(plan, trace.clone())?;
        walk.run().map(|()| walk.counts)
    };
    let done = std::panic::catch_unwind(AssertUnwindSafe(walk));
    let why = match done {
        Ok(Ok(counts)) => return Ok((counts, lock(&trace).sum)),
        Ok(Err(why)) => why,
        Err(panic) => {
            let text = panic.downcast_ref::<String>().cloned();
            let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
            format!("a panic: {}", text.unwrap_or_default())
        }
    };
    let lines = std::mem::take(&mut lock(&trace).lines);
    Err(Failure { seed, why, lines })
}

fn default_plant() -> Option<Planted> {
    if !cfg!(feature = "planted-bug") {
        return None;
    }
    let name = std::env::var("DISPATCHER_PLANTED").unwrap_or_else(|_| "RetryLost".into());
    let bug = planted::ALL.into_iter().find(|bug| format!("{bug:?}") == name);
    Some(
        bug.unwrap_or_else(|| {
            panic!("DISPATCHER_PLANTED={name}: must be one of {:?}", planted::ALL)
        }),
    )
}

fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name}={text}: must be a number")))
}

#[test]
fn seeds() {
    let planted = default_plant();
    let plan = |seed| Plan { planted, ..Plan::of(seed, STEPS) };
    if let Some(seed) = number("DISPATCHER_SEED") {
        match run(plan(seed)) {
            Ok((counts, sum)) => println!("seed {seed}: {counts:?}, trace {sum:016x}"),
            Err(failure) => panic!("{}", failure.print()),
        }
        return;
    }
    let seeds = number("DISPATCHER_SEEDS").unwrap_or(SEEDS);
    let at_once = std::thread::available_parallelism().map_or(2, usize::from).min(8);
    let total = run_all(seeds, at_once, plan);
    if seeds < SEEDS {
        return;
    }
    assert!(total.steps >= 50_000 && total.power_cuts >= 1_000 && total.faults >= 500);
    assert!(total.steps_without_index >= 400 && total.removals >= 50);
}

#[test]
fn walks_with_threads() {
    if default_plant().is_some() {
        return;
    }
    let at_once = usize::try_from(THREAD_SEEDS).unwrap();
    let total = run_all(THREAD_SEEDS, at_once, |seed| Plan::with_threads(seed, THREAD_STEPS));
    assert!(total.steps_without_index > 0 && total.removals > 0);
    assert!(total.kills >= 20 && total.power_cuts > 50 && total.rebuilds > 50);
}

/// Runs that many seeds; panics with those that fail.
fn run_all(seeds: u64, at_once: usize, plan: impl Fn(u64) -> Plan + Sync) -> Counts {
    let started = Instant::now();
    let (next, total) = (AtomicU64::new(0), Mutex::new(Counts::default()));
    let failures = Mutex::new(Vec::new());
    let work = || {
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= seeds {
                return;
            }
            match run(plan(seed)) {
                Ok((counts, _)) => lock(&total).add(counts),
                Err(failure) => lock(&failures).push(failure),
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..at_once {
            scope.spawn(work);
        }
    });
    let total = *lock(&total);
    println!("simulation: {seeds} seeds, {:.1} s, {total:?}", started.elapsed().as_secs_f32());
    let mut failures = std::mem::take(&mut *lock(&failures));
    failures.sort_by_key(|failure| failure.seed);
    if let Some(first) = failures.first() {
        let all: Vec<String> = failures
            .iter()
            .map(|failure| format!("seed {}: {}", failure.seed, failure.why))
            .collect();
        panic!("{}\nall seeds that fail:\n{}", first.print(), all.join("\n"));
    }
    total
}

#[test]
fn a_seed_takes_the_same_steps_each_time() {
    for seed in [1, 2, 4] {
        let sum = || run(Plan::of(seed, STEPS)).map(|(_, sum)| sum).map_err(|f| f.print());
        assert_eq!(sum(), sum(), "seed {seed}");
    }
}

#[test]
fn every_planted_bug_is_found() {
    for bug in planted::ALL {
        let found = (0..PLANTED_SEEDS)
            .find_map(|seed| run(Plan { planted: Some(bug), ..Plan::of(seed, STEPS) }).err());
        let found = found.unwrap_or_else(|| panic!("{bug:?} is not found"));
        println!("{bug:?}: seed {} finds it: {}", found.seed, found.why);
    }
}
