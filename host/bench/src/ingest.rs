//! Part `ingest`: verified 200s a second, beside the floor, at several numbers of connections.
//!
//! The last row of each number says how fast events reach the file of a file-log: it counts the time of the
//! load and the time until nothing waited.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::lab::{Lab, Round, Subject};
use crate::load::MakeRequest;
use crate::process;
use crate::report::{Goal, Section, Spread, Table, number};
use crate::request::{Shape, maker};
use crate::servers::{Child, Daemon, ONE_SOURCE, file_log};

/// What is measured in a round, in the order of the rows.
const NAMES: [&str; 4] = ["floor", "floor without the disk", "stored", "stored, and to file-log"];
const FLOOR: usize = 0;
const NO_DISK: usize = 1;
const STORED: usize = 2;
const DELIVERED: usize = 3;
/// Keeping up means to deliver at least this part of what was accepted in the same time.
const KEEPS_UP: f64 = 0.9;
/// Above this, the load may be what is measured.
const BUSY_MAX: f64 = 0.95;
/// With this many cores or more, the goal is higher.
const CORES_MANY: usize = 4;

struct Servers {
    floor: Child,
    no_disk: Child,
    stored: Daemon,
    delivered: Daemon,
}

/// All rounds at one number of connections.
struct Measured {
    connections: usize,
    /// A list for each name.
    rounds: [Vec<Round>; NAMES.len()],
    /// From the first request until the last event was in the file.
    whole: Vec<Duration>,
}

pub(crate) fn run(lab: &Lab, connections: &[u16]) -> io::Result<Section> {
    let delivered = format!("{ONE_SOURCE}{}", file_log("log", ""));
    let servers = Servers {
        floor: Child::floor(lab)?,
        no_disk: Child::floor_without_disk(lab)?,
        stored: Daemon::start(lab, NAMES[STORED], ONE_SOURCE)?,
        delivered: Daemon::start(lab, NAMES[DELIVERED], &delivered)?,
    };
    let make = maker("/sqreen", Shape::Sqreen, 1)?;
    let mut all: Vec<Measured> = Vec::new();
    for connections in connections {
        let rounds = std::array::from_fn(|_| Vec::new());
        let connections = usize::from(*connections);
        all.push(Measured { connections, rounds, whole: Vec::new() });
        lab.warm_up(&servers.floor, connections, &make)?;
        lab.warm_up(&servers.no_disk, connections, &make)?;
        lab.warm_up(&servers.stored, connections, &make)?;
        lab.warm_up(&servers.delivered, connections, &make)?;
    }
    for round in 1..=lab.rounds {
        lab.show_progress("ingest", round);
        for measured in &mut all {
            measured.round(lab, &servers, &make, round % 2 == 0)?;
        }
    }
    Ok(section(lab, &all))
}

impl Measured {
    /// Every other round has the opposite order, so that no server always runs after the same other one.
    fn round(
        &mut self,
        lab: &Lab,
        servers: &Servers,
        make: &Arc<MakeRequest>,
        backwards: bool,
    ) -> io::Result<()> {
        let mut order = [FLOOR, NO_DISK, STORED, DELIVERED];
        if backwards {
            order.reverse();
        }
        for at in order {
            let began = Instant::now();
            let round = match at {
                FLOOR => lab.round(&servers.floor, self.connections, make)?,
                NO_DISK => lab.round(&servers.no_disk, self.connections, make)?,
                STORED => lab.round(&servers.stored, self.connections, make)?,
                _ => self.delivered(lab, &servers.delivered, make, began)?,
            };
            self.rounds[at].push(round);
        }
        Ok(())
    }

    fn delivered(
        &mut self,
        lab: &Lab,
        daemon: &Daemon,
        make: &Arc<MakeRequest>,
        began: Instant,
    ) -> io::Result<Round> {
        let before = process::cpu_time(daemon.process())?;
        let mut round = lab.round(daemon, self.connections, make)?;
        daemon.drained("log")?;
        self.whole.push(began.elapsed());
        // Delivering the rest is also work for these requests.
        round.cpu = process::cpu_time(daemon.process())?.saturating_sub(before);
        Ok(round)
    }

    fn rates(&self, at: usize) -> Vec<f64> {
        self.rounds[at].iter().map(|round| round.load.requests_per_second).collect()
    }

    fn cpu_us(&self, at: usize) -> Vec<f64> {
        self.rounds[at].iter().map(Round::cpu_us).collect()
    }

    fn busy(&self, at: usize) -> f64 {
        Spread::of(self.rounds[at].iter().map(|round| round.busy)).median
    }

    /// Events that reached the file, a second.
    fn end_to_end(&self) -> Vec<f64> {
        #[expect(clippy::cast_precision_loss, reason = "a count of requests")]
        let rate =
            |(round, whole): (&Round, &Duration)| round.load.requests as f64 / whole.as_secs_f64();
        self.rounds[DELIVERED].iter().zip(&self.whole).map(rate).collect()
    }
}

fn section(lab: &Lab, all: &[Measured]) -> Section {
    let head = [
        "connections",
        "what",
        "requests/s",
        "p50 ms",
        "p99 ms",
        "CPU µs/request",
        "ratio to the floor",
    ];
    let mut table = Table::new("Verified 200s of one event of 1 KB", &head);
    let mut goals = Vec::new();
    for measured in all {
        rows(&mut table, measured);
        if measured.connections >= 64 {
            goals.extend(measured.goals(lab.cores.all()));
        }
    }
    let failed: u64 =
        all.iter().flat_map(|m| m.rounds.iter().flatten()).map(|round| round.load.failed).sum();
    if failed > 0 {
        table.note(format!("{failed} requests were not answered with 200."));
    }
    table.note(headroom(all));
    Section { tables: vec![table], goals }
}

fn rows(table: &mut Table, measured: &Measured) {
    let floor = measured.rates(FLOOR);
    for (at, name) in NAMES.iter().enumerate() {
        let rounds = &measured.rounds[at];
        let ms = |of: fn(&Round) -> Duration| {
            number(Spread::of(rounds.iter().map(|r| of(r).as_secs_f64() * 1e3)).median, 2)
        };
        table.row([
            measured.connections.to_string(),
            (*name).to_owned(),
            Spread::of(measured.rates(at)).show(0),
            ms(|round| round.load.p50),
            ms(|round| round.load.p99),
            Spread::of(measured.cpu_us(at)).show(1),
            Spread::ratio(measured.rates(at), &floor).show(2),
        ]);
    }
    let whole = measured.end_to_end();
    table.row([
        measured.connections.to_string(),
        "… until the last is in the file".to_owned(),
        Spread::of(whole.iter().copied()).show(0),
        String::new(),
        String::new(),
        String::new(),
        Spread::ratio(whole, &floor).show(2),
    ]);
}

/// Whether the load could have driven more than it measured.
fn headroom(all: &[Measured]) -> String {
    let Some(most) = all.last() else { return String::new() };
    let ratio = Spread::ratio(most.rates(NO_DISK), &most.rates(STORED)).median;
    let (own, busy) = (most.busy(STORED), most.busy(NO_DISK));
    let limit = if own > BUSY_MAX { "; it may be the load that was measured" } else { "" };
    format!(
        "At {} connections the load drove the floor without the disk at {} × the rate of `stored`; its cores \
         were {:.0} % busy with that, and {:.0} % with `stored`{limit}.",
        most.connections,
        number(ratio, 1),
        busy * 100.0,
        own * 100.0
    )
}

impl Measured {
    fn goals(&self, cores: usize) -> Vec<Goal> {
        let at = self.connections;
        let floor = self.rates(FLOOR);
        let least = if cores >= CORES_MANY { 0.8 } else { 0.6 };
        vec![
            Goal::at_least(
                format!("1. durable 200s/s against the floor, {at} connections, {cores} cores"),
                least,
                &Spread::ratio(self.rates(STORED), &floor),
            ),
            Goal::at_most(
                format!("2. CPU a request against the floor, {at} connections"),
                2.0,
                " ×",
                &Spread::ratio(self.cpu_us(STORED), &self.cpu_us(FLOOR)),
            ),
            Goal::at_least(
                format!("4. in the file-log a second against accepted a second, {at} connections"),
                KEEPS_UP,
                &Spread::ratio(self.end_to_end(), &self.rates(DELIVERED)),
            ),
        ]
    }
}
