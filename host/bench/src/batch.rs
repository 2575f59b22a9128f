//! Part `batch`: events a second with 1,000 events a request, against one event a request.

use std::io;

use crate::lab::{Lab, Round};
use crate::report::{Goal, Section, Spread, Table};
use crate::request::{MANY, Shape, maker};
use crate::servers::{Child, Daemon, ONE_SOURCE};

/// Connections, and the goal: the least gain.
const GOALS: [(usize, f64); 2] = [(1, 20.0), (64, 2.0)];
const NAMES: [&str; 3] = ["stored, 1 event a request", "stored, 1,000", "floor, 1,000"];

/// Events a second and CPU µs an event of each round, for each name.
#[derive(Default)]
struct Measured {
    rates: [Vec<f64>; NAMES.len()],
    cpu_us: [Vec<f64>; NAMES.len()],
}

pub(crate) fn run(lab: &Lab) -> io::Result<Section> {
    let floor = Child::floor(lab)?;
    let stored = Daemon::start(lab, "stored", ONE_SOURCE)?;
    let one = maker("/sqreen", Shape::Sqreen, 1)?;
    let many = maker("/sqreen", Shape::Sqreen, MANY)?;
    lab.warm_up(&stored, 64, &many)?;
    lab.warm_up(&floor, 64, &many)?;
    let mut all: [Measured; GOALS.len()] = Default::default();
    for round in 1..=lab.rounds {
        lab.show_progress("batch", round);
        for ((connections, _), measured) in GOALS.iter().zip(&mut all) {
            measured.add(0, 1, &lab.round(&stored, *connections, &one)?);
            measured.add(1, MANY, &lab.round(&stored, *connections, &many)?);
            measured.add(2, MANY, &lab.round(&floor, *connections, &many)?);
        }
    }
    let head = ["connections", "what", "events/s", "CPU µs/event", "ratio to one event a request"];
    let mut table = Table::new("1,000 events a request, 1 KB each", &head);
    let mut goals = Vec::new();
    for ((connections, least), measured) in GOALS.iter().zip(&all) {
        for (at, name) in NAMES.iter().enumerate() {
            table.row([
                connections.to_string(),
                (*name).to_owned(),
                Spread::of(measured.rates[at].iter().copied()).show(0),
                Spread::of(measured.cpu_us[at].iter().copied()).show(2),
                measured.gain(at).show(2),
            ]);
        }
        let what = format!(
            "3. events/s with 1,000 a request against one, {connections} connection{}",
            if *connections == 1 { "" } else { "s" }
        );
        goals.push(Goal::at_least(what, *least, &measured.gain(1)));
    }
    Ok(Section { tables: vec![table], goals })
}

impl Measured {
    fn add(&mut self, at: usize, events: u64, round: &Round) {
        #[expect(clippy::cast_precision_loss, reason = "a small count")]
        let events = events as f64;
        self.rates[at].push(round.load.requests_per_second * events);
        self.cpu_us[at].push(round.cpu_us() / events);
    }

    fn gain(&self, at: usize) -> Spread {
        Spread::ratio(self.rates[at].iter().copied(), &self.rates[0])
    }
}
