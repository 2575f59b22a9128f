//! Part `http`: one POST an event to a sink on this machine, beside clients that only post.
//!
//! The daemon gets a number of events, 1,000 a request over 16 connections. The clock runs from the first
//! byte until the sink has them all, so the daemon's figure includes receiving and storing. The bare client
//! posts as many events over as many connections.

use std::io;
use std::time::{Duration, Instant};

use tokio::net::TcpStream;

use crate::lab::{Lab, Subject};
use crate::load::Extent;
use crate::process::cpu_time;
use crate::report::{Goal, Section, Spread, Table};
use crate::request::{MANY, Shape, maker};
use crate::servers::{Child, Daemon, ONE_SOURCE, http};
use crate::sink::Sink;
use dispatcher::cli::testbed::exchange;

/// Calls at the same time: the default of a target, and many. The goal is for the last.
const CONCURRENCY: [usize; 2] = [4, 64];
/// Connections that hand the events to the daemon. With a single one, each request would wait for the disk,
/// and that wait would be measured.
const HANDING_IN: usize = 16;
/// Events for each second that a round lasts.
const EVENTS_PER_SECOND: f64 = 20_000.0;
/// Longest wait for the sink to have them.
const PATIENCE: Duration = Duration::from_secs(120);

/// What a number of events cost.
struct Cost {
    took: Duration,
    /// Of the process that posted them.
    cpu: Duration,
}

/// Events a second, and processor time an event, of each round.
#[derive(Default)]
struct Measured {
    rates: Vec<f64>,
    cpu_us: Vec<f64>,
}

impl Measured {
    fn add(&mut self, events: u64, Cost { took, cpu }: &Cost) {
        #[expect(clippy::cast_precision_loss, reason = "a count of events")]
        let events = events as f64;
        self.rates.push(events / took.as_secs_f64());
        self.cpu_us.push(cpu.as_secs_f64() * 1e6 / events);
    }
}

pub(crate) fn run(lab: &Lab) -> io::Result<Section> {
    let sink = Sink::open(lab, 0)?;
    let client = Child::client(lab)?;
    let daemon = |concurrency: &usize| {
        let lines = format!("{ONE_SOURCE}{}", http("hook", sink.address(), *concurrency, ""));
        Daemon::start(lab, &format!("to http {concurrency}"), &lines)
    };
    let daemons = CONCURRENCY.iter().map(daemon).collect::<io::Result<Vec<_>>>()?;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a small count of thousands"
    )]
    let requests = (lab.time.as_secs_f64() * EVENTS_PER_SECOND / 1000.0).ceil().max(1.0) as u64;
    let mut all: Vec<[Measured; 2]> = CONCURRENCY.iter().map(|_| Default::default()).collect();
    // Round 0 warms up and is not counted.
    for round in 0..=lab.rounds {
        lab.show_progress("http", round);
        for ((daemon, concurrency), [bare, ours]) in daemons.iter().zip(CONCURRENCY).zip(&mut all) {
            let of_client = post_bare(lab, &client, &sink, concurrency, requests * MANY)?;
            let of_daemon = deliver(lab, daemon, &sink, requests)?;
            if round > 0 {
                bare.add(requests * MANY, &of_client);
                ours.add(requests * MANY, &of_daemon);
            }
        }
    }
    Ok(section(&all))
}

/// Posts the events with the bare client.
fn post_bare(
    lab: &Lab,
    client: &Child,
    sink: &Sink,
    connections: usize,
    events: u64,
) -> io::Result<Cost> {
    let port = sink.address().port();
    let request = format!(
        "POST /{port}/{connections}/{events} HTTP/1.1\r\nhost: client\r\ncontent-length: 0\r\n\r\n"
    );
    let (cpu, began) = (cpu_time(client.process())?, Instant::now());
    let status = lab.runtime.block_on(async {
        let mut stream = TcpStream::connect(client.address()).await?;
        Ok::<_, io::Error>(exchange(&mut stream, request.as_bytes()).await?.status)
    })?;
    let took = began.elapsed();
    if status != 200 {
        return Err(io::Error::other("the bare client could not post to the sink"));
    }
    Ok(Cost { took, cpu: cpu_time(client.process())?.saturating_sub(cpu) })
}

/// Hands the events to the daemon and waits until it has posted them.
fn deliver(lab: &Lab, daemon: &Daemon, sink: &Sink, requests: u64) -> io::Result<Cost> {
    let make = maker("/sqreen", Shape::Sqreen, MANY)?;
    let (before, began) = (sink.count(), Instant::now());
    let cpu = cpu_time(daemon.process())?;
    lab.measure(daemon, HANDING_IN, Extent { time: PATIENCE, requests }, &make)?;
    if !sink.wait(before + requests * MANY, PATIENCE) {
        let got = sink.count() - before;
        return Err(io::Error::other(format!("the sink got {got} of {} events", requests * MANY)));
    }
    let took = began.elapsed();
    // The last outcomes are not written yet.
    daemon.drained("hook")?;
    Ok(Cost { took, cpu: cpu_time(daemon.process())?.saturating_sub(cpu) })
}

fn section(all: &[[Measured; 2]]) -> Section {
    let head = ["calls at once", "what", "events/s", "CPU µs/event", "ratio to the bare client"];
    let mut table = Table::new("One POST an event to a loopback HTTP sink", &head);
    let mut goals = Vec::new();
    for (concurrency, [bare, ours]) in CONCURRENCY.iter().zip(all) {
        let ratio = Spread::ratio(ours.rates.iter().copied(), &bare.rates);
        for (name, measured) in [("bare hyper client", bare), ("received, stored, posted", ours)] {
            table.row([
                concurrency.to_string(),
                name.to_owned(),
                Spread::of(measured.rates.iter().copied()).show(0),
                Spread::of(measured.cpu_us.iter().copied()).show(1),
                Spread::ratio(measured.rates.iter().copied(), &bare.rates).show(2),
            ]);
        }
        if CONCURRENCY.last() == Some(concurrency) {
            let what = format!("5. one POST an event against a bare client, {concurrency} at once");
            goals.push(Goal::at_least(what, 0.7, &ratio));
        }
    }
    Section { tables: vec![table], goals }
}
