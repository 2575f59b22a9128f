//! The table of the part `backlog` and its goals.

use super::Figures;
use crate::lab::Round;
use crate::report::{Goal, Section, Spread, Table, mib, number};

const RESIDENT_MIB_MAX: f64 = 256.0;
/// What the second half of the events may add: noise of the allocator, but not memory for each event.
const GROWTH_MIB_MAX: f64 = 32.0;
const START_S_MAX: f64 = 5.0;
/// The first 200 must come before this part of the rebuild is over, from 0 to 1.
const MEANWHILE: f64 = 0.5;

fn rates(rounds: &[Round]) -> Vec<f64> {
    rounds.iter().map(|round| round.load.requests_per_second).collect()
}

fn p99_ms(rounds: &[Round]) -> f64 {
    Spread::of(rounds.iter().map(|round| round.load.p99.as_secs_f64() * 1e3)).median
}

#[expect(clippy::cast_precision_loss, reason = "memory to a tenth of a MiB")]
fn as_mib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

impl Figures {
    pub(super) fn section(&self) -> Section {
        #[expect(clippy::cast_precision_loss, reason = "a count of events")]
        let events = number(self.events as f64, 0);
        let title = format!("{events} events wait for a dead target");
        let mut table = Table::new(title, &["what", "with the backlog", "settled store", "ratio"]);
        self.rows(&mut table);
        table.note(
            "`settled store`: the same events, all delivered to a file. `other ingest`: single \
             events of another source, stored and delivered to a file of their own, in pairs.",
        );
        Section { tables: vec![table], goals: self.goals() }
    }

    fn rows(&self, table: &mut Table) {
        let mut row = |what: &str, cells: [String; 3]| {
            table.row([what.to_owned()].into_iter().chain(cells));
        };
        let none = String::new;
        let [waiting, settled] = self.load;
        row(
            "handed in, events/s",
            [number(waiting, 0), number(settled, 0), number(waiting / settled, 2)],
        );
        row(
            "resident MiB: fresh; half; all",
            [
                [self.fresh_bytes, self.half_bytes, self.full_bytes].map(mib).join("; "),
                mib(self.settled_bytes),
                none(),
            ],
        );
        let (waiting, settled) = (rates(&self.waiting), rates(&self.settled));
        row(
            "other ingest, requests/s",
            [
                Spread::of(waiting.iter().copied()).show(0),
                Spread::of(settled.iter().copied()).show(0),
                self.ingest().show(2),
            ],
        );
        let p99 = [&self.waiting, &self.settled].map(|rounds| number(p99_ms(rounds), 2));
        row("other ingest, p99 ms", [p99[0].clone(), p99[1].clone(), none()]);
        let [waiting, settled] = self.starts.each_ref().map(|s| Spread::of(s.iter().copied()));
        row("kill -9, start, first 200: s", [waiting.show(2), settled.show(2), none()]);
        row("resident MiB after that", [mib(self.restarted_bytes), none(), none()]);
        row(
            "index deleted: first 200, s; index complete, s",
            [
                [self.rebuild_accepts_s, self.rebuild_whole_s].map(|s| number(s, 2)).join("; "),
                none(),
                none(),
            ],
        );
        row("target back: first delivery, s", [number(self.probe_s, 2), none(), none()]);
        row("drained by HTTP, events/s", [number(self.drain_alone, 0), none(), none()]);
        row(
            "drained beside other ingest, events/s",
            [number(self.drain_beside, 0), none(), none()],
        );
        let beside = &self.beside.load;
        let medians = [&self.waiting, &self.settled].map(|r| Spread::of(rates(r)).median);
        row(
            "that ingest meanwhile, requests/s; p99 ms",
            [
                format!(
                    "{}; {}",
                    number(beside.requests_per_second, 0),
                    number(beside.p99.as_secs_f64() * 1e3, 2)
                ),
                none(),
                number(beside.requests_per_second / medians[1], 2),
            ],
        );
    }

    fn ingest(&self) -> Spread {
        Spread::ratio(rates(&self.waiting), &rates(&self.settled))
    }

    fn goals(&self) -> Vec<Goal> {
        let growth = as_mib(self.full_bytes) - as_mib(self.half_bytes);
        let meanwhile = self.rebuild_accepts_s < self.rebuild_whole_s * MEANWHILE;
        let resident = Spread::of([as_mib(self.full_bytes.max(self.restarted_bytes))]);
        vec![
            Goal::at_least(
                "6. ingest with a backlog against a settled store",
                0.85,
                &self.ingest(),
            ),
            Goal::at_most("6. resident with the backlog", RESIDENT_MIB_MAX, " MiB", &resident),
            Goal::at_most(
                "6. growth from half of it to all",
                GROWTH_MIB_MAX,
                " MiB",
                &Spread::of([growth]),
            ),
            Goal::at_most(
                "7. first 200 after kill -9, with the backlog",
                START_S_MAX,
                " s",
                &Spread::of(self.starts[0].iter().copied()),
            ),
            Goal {
                what: "7. while the index is rebuilt".to_owned(),
                goal: "accepting".to_owned(),
                measured: format!(
                    "{}: first 200 after {} s, rebuilt after {} s",
                    if meanwhile { "accepts" } else { "does not accept" },
                    number(self.rebuild_accepts_s, 2),
                    number(self.rebuild_whole_s, 2)
                ),
                holds: meanwhile,
            },
        ]
    }
}
