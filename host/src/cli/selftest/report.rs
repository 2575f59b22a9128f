//! What the crash selftest prints at its end: the figures, what is wrong, and the result.

use std::time::Duration;

use super::event;
use super::load::Sent;
use super::number_set::NumberSet;
use super::target_log::Log;
use crate::cli::out;

/// Most lost events that are named for each target.
const LOST_SHOWN_MAX: usize = 10;

/// What the rounds were.
#[derive(Debug, Default)]
pub(super) struct Figures {
    pub(super) rounds: u32,
    pub(super) killed_under_load: u32,
    /// Before it listened.
    pub(super) killed_at_start: u32,
    /// It was to be killed during its start, but listened already.
    pub(super) killed_after_start: u32,
    pub(super) index_deleted: u32,
    /// Starts with an index.
    pub(super) starts: Vec<Duration>,
    /// Starts that had to rebuild the index.
    pub(super) rebuilds: Vec<Duration>,
}

/// Prints everything; returns whether the promise was kept.
pub(super) fn print(figures: &mut Figures, sent: &Sent, logs: &[Log]) -> bool {
    let Figures { killed_under_load, killed_at_start, killed_after_start, .. } = *figures;
    let kills = killed_under_load + killed_at_start + killed_after_start;
    figures.starts.sort_unstable();
    figures.rebuilds.sort_unstable();
    let row = |name: &str, value: String| out::line(&format!("{name:<26}{value}"));
    out::line("");
    row("rounds", figures.rounds.to_string());
    row("kill -9 under load", killed_under_load.to_string());
    let at_start = format!("{killed_at_start}, and {killed_after_start} right after one");
    row("kill -9 during a start", at_start);
    row("index deleted", figures.index_deleted.to_string());
    row("start", median_and_worst(&figures.starts));
    row("start without an index", median_and_worst(&figures.rebuilds));
    row("events sent", sent.next.to_string());
    let answers = format!(
        "{} with 200, {} with 503, {} cut by a kill",
        sent.requests, sent.refused, sent.unanswered
    );
    row("requests", answers);
    row("acknowledged events", sent.acknowledged.len().to_string());
    for log in logs {
        let Log { target, delivered, repeated, torn, .. } = log;
        let text = format!(
            "{} events, {} of them more than once, {torn} torn lines",
            delivered.len(),
            repeated.len()
        );
        row(&format!("in the log of {target}"), text);
    }
    let mut well = sent.acknowledged.len() > 0;
    if !well {
        out::line("wrong: no event was acknowledged, so nothing is proven");
    }
    for log in logs {
        well &= is_well(log, kills);
    }
    let lost = lost(sent, logs);
    let acknowledged = sent.acknowledged.len();
    out::line(&format!(
        "{acknowledged} acknowledged, {} delivered, {lost} lost",
        acknowledged - lost
    ));
    well && lost == 0
}

/// Counts the acknowledged events that are missing in any log, and names the first of each log.
fn lost(sent: &Sent, logs: &[Log]) -> u64 {
    let mut lost = NumberSet::default();
    for log in logs {
        for (at, number) in log.missing(&sent.acknowledged).enumerate() {
            if at < LOST_SHOWN_MAX {
                out::line(&format!(
                    "lost: event_id {} is not in {}",
                    event::id(number),
                    log.target
                ));
            }
            lost.insert(number);
        }
    }
    lost.len()
}

/// Prints what kills cannot explain in a log; returns whether there is nothing.
fn is_well(log: &Log, kills: u32) -> bool {
    if log.unexpected > 0 {
        let (unexpected, path) = (log.unexpected, log.path.display());
        out::line(&format!(
            "wrong: {unexpected} lines of {path} have something that was not sent:"
        ));
        log.examples
            .iter()
            .for_each(|line| out::line(&format!("  {}", crate::model::printable(line))));
    }
    // A target has one running append, so a kill tears at most one line.
    let torn_well = log.torn <= u64::from(kills);
    if !torn_well {
        let (torn, path) = (log.torn, log.path.display());
        out::line(&format!("wrong: {torn} torn lines in {path}, but only {kills} kills"));
    }
    log.unexpected == 0 && torn_well
}

fn median_and_worst(sorted: &[Duration]) -> String {
    let ms = |time: &Duration| format!("{:.0} ms", time.as_secs_f64() * 1e3);
    match (sorted.get(sorted.len() / 2), sorted.last()) {
        (Some(median), Some(worst)) => {
            format!("median {}, worst {}, {} times", ms(median), ms(worst), sorted.len())
        }
        _ => "none".to_owned(),
    }
}
