//! `store check`.

use std::path::Path;

use super::bar::Bar;
use super::{Which, count, describe, failed};
use crate::cli::exit::Failure;
use crate::cli::out;
use crate::model::printable;
use crate::store::embedded::tools::{self, Report};

/// Read all that is stored and show what is damaged, and where
///
/// Changes nothing, and may be run while the daemon does. Each damage is shown with its file, its place
/// in it in bytes, what lay there and the targets that it concerns. Ends with 1 when there is any. The
/// last line sums up.
#[derive(Clone, Debug, clap::Args)]
pub(in crate::cli) struct CheckArgs {
    #[command(flatten)]
    which: Which,
}

pub(super) fn run(args: &CheckArgs, config: Option<&Path>) -> Result<bool, Failure> {
    let folder = args.which.folder(config)?;
    let mut bar = Bar::new("reading");
    let report = tools::check(&folder, &mut |done, all| bar.tell(done, all));
    drop(bar);
    let report = report.map_err(failed)?;
    out::line(&show(&report));
    Ok(report.is_clean())
}

/// What was found, the summary last.
pub(super) fn show(report: &Report) -> String {
    let mut lines: Vec<String> =
        report.damages.iter().map(|damage| format!("damage: {}", describe(damage))).collect();
    let more = report.damages_count - report.damages.len() as u64;
    if more > 0 {
        lines.push(format!("damage: at {more} further places"));
    }
    if let Some(wrong) = &report.index {
        lines.push(format!(
            "the index: {}; a repair removes it, the next start makes it anew",
            printable(wrong)
        ));
    }
    if !report.is_clean() {
        lines.push("to mend it: stop the daemon, then `dispatcher store repair` (--dry-run shows what it would do)".into());
    }
    if report.running {
        lines.push("a daemon runs: its index was not looked at".into());
    }
    if report.repaired > 0 {
        lines.push(format!("{} bridged by an earlier repair", count(report.repaired, "place")));
    }
    lines.push(summary(report));
    lines.join("\n")
}

fn summary(report: &Report) -> String {
    format!(
        "{}, {}, {}, {}, {}",
        count(report.segments, "segment"),
        count(report.frames, "frame"),
        count(report.events, "event"),
        count(report.bytes, "byte"),
        count(report.damages_count + u64::from(report.index.is_some()), "damage"),
    )
}
