//! Part `backlog`: what many events that wait for a dead target cost all other traffic.
//!
//! Two daemons get the same events. In one they wait for an HTTP target whose port is closed; in the other
//! they are settled, in a file. Both have a second source with a file of its own: its events are the other
//! traffic, measured in pairs. Then the daemon is killed and started, first with its index and then without
//! it. At the end the dead target comes back.

mod table;

use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tokio::net::TcpStream;

use crate::lab::{Lab, Round, Subject};
use crate::load::Extent;
use crate::process::resident_bytes;
use crate::report::Section;
use crate::request::{MANY, Shape, maker};
use crate::servers::{Daemon, file_log, http};
use crate::sink::{self, Sink};
use dispatcher::cli::testbed::exchange;

/// Connections of the other traffic.
const CONNECTIONS: usize = 64;
/// Connections that hand in the events to wait.
const LOAD_CONNECTIONS: usize = 16;
/// Calls at the same time to the target that is dead at first.
const CONCURRENCY: usize = 64;
/// Longest time for handing in all of them.
const LOAD_PATIENCE: Duration = Duration::from_secs(1800);
/// Longest wait for the target that is back to get its first event.
const PROBE_PATIENCE: Duration = Duration::from_secs(120);
/// How often each start is measured, at most.
const STARTS_MAX: u16 = 3;
/// How often a daemon is asked for its progress.
const ASK_EVERY: Duration = Duration::from_millis(10);

/// All figures of the part.
#[derive(Default)]
pub(crate) struct Figures {
    events: u64,
    /// Events a second that were handed in: while the target is dead, and into the store that settles.
    load: [f64; 2],
    fresh_bytes: u64,
    half_bytes: u64,
    full_bytes: u64,
    settled_bytes: u64,
    /// The other traffic, with the backlog and with the settled store, in pairs.
    waiting: Vec<Round>,
    settled: Vec<Round>,
    /// Seconds from the start after `kill -9` to the first 200, of both.
    starts: [Vec<f64>; 2],
    restarted_bytes: u64,
    /// Seconds without the index: until the first 200, and until the index is complete.
    rebuild_accepts_s: f64,
    rebuild_whole_s: f64,
    /// Seconds until the target that is back got its first event.
    probe_s: f64,
    /// Deliveries a second to it, alone and beside the other traffic, which is `beside`.
    drain_alone: f64,
    drain_beside: f64,
    beside: Round,
}

/// Both daemons and where the dead target will be.
struct Pair {
    waiting: Daemon,
    settled: Daemon,
    port: u16,
}

const SOURCES: &str = "[sources.old]\nscheme = \"sqreen\"\nsecrets = \"file:secret\"\n\
                       [sources.fresh]\nscheme = \"sqreen\"\nsecrets = \"file:secret\"\n";
const OLD: &str = "route = { sources = [\"old\"] }\n";
const FRESH: &str = "route = { sources = [\"fresh\"] }\n";

impl Pair {
    fn start(lab: &Lab) -> io::Result<Self> {
        let port = sink::free_port()?;
        let dead = SocketAddr::from(([127, 0, 0, 1], port));
        let common = format!("{SOURCES}{}", file_log("fresh", FRESH));
        // A probe a second, so that the bench does not wait long for the next one.
        let retry = format!("{OLD}retry.backoff_max = \"1s\"\n");
        let waiting = format!("{common}{}", http("old", dead, CONCURRENCY, &retry));
        let settled = format!("{common}{}", file_log("old", OLD));
        Ok(Self {
            waiting: Daemon::start(lab, "with a backlog", &waiting)?,
            settled: Daemon::start(lab, "settled", &settled)?,
            port,
        })
    }
}

pub(crate) fn run(lab: &Lab, events: u64) -> io::Result<Section> {
    let mut pair = Pair::start(lab)?;
    let mut figures = Figures { events, ..Figures::default() };
    figures.load(lab, &pair)?;
    figures.pairs(lab, &pair)?;
    figures.starts(lab, &mut pair)?;
    figures.rebuild(lab, &mut pair)?;
    figures.drain(lab, &pair)?;
    Ok(figures.section())
}

impl Figures {
    /// Hands in the events in two halves: memory must not grow with the second one.
    fn load(&mut self, lab: &Lab, pair: &Pair) -> io::Result<()> {
        let process = pair.waiting.process();
        self.fresh_bytes = resident_bytes(process)?;
        eprintln!("backlog: {} events into each of two stores", self.events);
        let half = hand_in(lab, &pair.waiting, self.events / 2)?;
        self.half_bytes = resident_bytes(process)?;
        let rest = hand_in(lab, &pair.waiting, self.events - self.events / 2)?;
        self.full_bytes = resident_bytes(process)?;
        self.load[0] = per_second(self.events, half + rest);
        self.load[1] = per_second(self.events, hand_in(lab, &pair.settled, self.events)?);
        eprintln!("backlog: waiting until one store is settled");
        pair.settled.drained("old")?;
        self.settled_bytes = resident_bytes(pair.settled.process())?;
        let waits = pair.waiting.pending("old")?;
        if waits < self.events {
            let text = format!("{waits} events wait instead of {}", self.events);
            return Err(io::Error::other(text));
        }
        Ok(())
    }

    fn pairs(&mut self, lab: &Lab, pair: &Pair) -> io::Result<()> {
        let make = maker("/fresh", Shape::Sqreen, 1)?;
        lab.warm_up(&pair.waiting, CONNECTIONS, &make)?;
        lab.warm_up(&pair.settled, CONNECTIONS, &make)?;
        for round in 1..=lab.rounds {
            lab.show_progress("backlog", round);
            let mut both = [(&pair.waiting, &mut self.waiting), (&pair.settled, &mut self.settled)];
            if round % 2 == 0 {
                both.reverse();
            }
            for (daemon, rounds) in both {
                rounds.push(lab.round(daemon, CONNECTIONS, &make)?);
                daemon.drained("fresh")?;
            }
        }
        Ok(())
    }

    fn starts(&mut self, lab: &Lab, pair: &mut Pair) -> io::Result<()> {
        for _ in 0..lab.rounds.min(STARTS_MAX) {
            for (at, daemon) in [&mut pair.waiting, &mut pair.settled].into_iter().enumerate() {
                daemon.kill();
                self.starts[at].push(start(lab, daemon)?);
            }
        }
        self.restarted_bytes = resident_bytes(pair.waiting.process())?;
        Ok(())
    }

    /// The daemon rebuilds a lost index from its log.
    fn rebuild(&mut self, lab: &Lab, pair: &mut Pair) -> io::Result<()> {
        eprintln!("backlog: the index is rebuilt");
        pair.waiting.kill();
        pair.waiting.delete_index()?;
        let began = Instant::now();
        self.rebuild_accepts_s = start(lab, &mut pair.waiting)?;
        while pair.waiting.is_rebuilding()? {
            std::thread::sleep(ASK_EVERY);
        }
        self.rebuild_whole_s = began.elapsed().as_secs_f64();
        Ok(())
    }

    /// The target comes back. Its rate is measured, not the time until it has everything.
    fn drain(&mut self, lab: &Lab, pair: &Pair) -> io::Result<()> {
        eprintln!("backlog: the target is back");
        let make = maker("/fresh", Shape::Sqreen, 1)?;
        let began = Instant::now();
        let sink = Sink::open(lab, pair.port)?;
        if !sink.wait(1, PROBE_PATIENCE) {
            return Err(io::Error::other("the target is back, but nothing is delivered to it"));
        }
        self.probe_s = began.elapsed().as_secs_f64();
        // From the one probe to full speed.
        std::thread::sleep(lab.time);
        let (before, began) = (sink.count(), Instant::now());
        std::thread::sleep(lab.time * 3);
        self.drain_alone = per_second(sink.count() - before, began.elapsed());
        let (before, began) = (sink.count(), Instant::now());
        let extent = Extent { time: lab.time * 3, requests: u64::MAX };
        self.beside = lab.measure(&pair.waiting, CONNECTIONS, extent, &make)?;
        self.drain_beside = per_second(sink.count() - before, began.elapsed());
        if sink.count() >= self.events {
            // The backlog was drained before the time was over: there is no rate.
            (self.drain_alone, self.drain_beside) = (f64::NAN, f64::NAN);
        }
        Ok(())
    }
}

/// Hands in the events, 1,000 a request; returns how long that took.
fn hand_in(lab: &Lab, daemon: &Daemon, events: u64) -> io::Result<Duration> {
    let make = maker("/old", Shape::Sqreen, MANY)?;
    let extent = Extent { time: LOAD_PATIENCE, requests: events / MANY };
    let load = lab.measure(daemon, LOAD_CONNECTIONS, extent, &make)?.load;
    if load.failed > 0 {
        let text = format!("{} of {} requests were not accepted", load.failed, extent.requests);
        return Err(io::Error::other(text));
    }
    Ok(load.took)
}

/// Seconds from the start of the process to the first 200.
fn start(lab: &Lab, daemon: &mut Daemon) -> io::Result<f64> {
    let mut request = Vec::new();
    // A number that no other request of the source uses.
    let number = u64::from(fastrand::u32(..)) << 30;
    maker("/fresh", Shape::Sqreen, 1)?(number, &mut request);
    let began = Instant::now();
    daemon.start_again(lab)?;
    let status = lab.runtime.block_on(async {
        let mut stream = TcpStream::connect(daemon.address()).await?;
        Ok::<_, io::Error>(exchange(&mut stream, &request).await?.status)
    })?;
    if status != 200 {
        return Err(io::Error::other(format!("the first request was answered with {status}")));
    }
    Ok(began.elapsed().as_secs_f64())
}

fn per_second(count: u64, time: Duration) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "a count of events")]
    let count = count as f64;
    count / time.as_secs_f64()
}
