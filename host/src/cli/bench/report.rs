//! The table at the end of a bench: medians and ranges, and each server's ratio to the floor.

use crate::cli::out;

use super::{BenchArgs, Contestant, Round};

/// Median, least and greatest of some figures.
struct Spread {
    median: f64,
    least: f64,
    greatest: f64,
}

impl Spread {
    fn of(figures: impl Iterator<Item = f64>) -> Self {
        let mut figures: Vec<f64> = figures.collect();
        figures.sort_by(f64::total_cmp);
        let at = |index: usize| figures.get(index).copied().unwrap_or(f64::NAN);
        Self {
            median: at(figures.len() / 2),
            least: at(0),
            greatest: at(figures.len().saturating_sub(1)),
        }
    }
}

pub(super) fn print(args: &BenchArgs, contestants: &[Contestant], cores: (usize, usize)) {
    out::line(&format!(
        "{} connections, 1 KB a request, {} rounds of {} s, {} cores for the servers, {} for the load",
        args.connections, args.rounds, args.seconds, cores.0, cores.1
    ));
    out::line(&format!(
        "{:<34} {:>26} {:>9} {:>9} {:>11} {:>22}",
        "verified and durable 200",
        "requests/s",
        "p50 ms",
        "p99 ms",
        "CPU µs/req",
        "ratio to the floor"
    ));
    let Some(floor) = contestants.first() else { return };
    for contestant in contestants {
        let rate = Spread::of(contestant.rounds.iter().map(|r| r.load.requests_per_second));
        let p50 = Spread::of(contestant.rounds.iter().map(|r| r.load.p50.as_secs_f64() * 1e3));
        let p99 = Spread::of(contestant.rounds.iter().map(|r| r.load.p99.as_secs_f64() * 1e3));
        let cpu = Spread::of(contestant.rounds.iter().map(cpu_us));
        let ratio =
            Spread::of(
                contestant.rounds.iter().zip(&floor.rounds).map(|(ours, bare)| {
                    ours.load.requests_per_second / bare.load.requests_per_second
                }),
            );
        out::line(&format!(
            "{:<34} {:>26} {:>9.2} {:>9.2} {:>11.1} {:>22}",
            contestant.name,
            format!("{:.0} [{:.0}..{:.0}]", rate.median, rate.least, rate.greatest),
            p50.median,
            p99.median,
            cpu.median,
            format!("{:.2} [{:.2}..{:.2}]", ratio.median, ratio.least, ratio.greatest),
        ));
        let failed: u64 = contestant.rounds.iter().map(|r| r.load.failed).sum();
        if failed > 0 {
            out::line(&format!("  {failed} requests were not answered with 200"));
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "a count of requests")]
fn cpu_us(round: &Round) -> f64 {
    round.cpu.as_secs_f64() * 1e6 / round.load.requests.max(1) as f64
}
