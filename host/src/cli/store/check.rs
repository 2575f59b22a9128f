//! `store check`.

use std::path::Path;

use super::bar::Bar;
use super::{DataFolder, count, describe, failed};
use crate::cli::exit::Failure;
use crate::cli::out;
use crate::model::printable;
use crate::store::embedded::tools::{self, Report};

/// Read the whole store and show what is damaged, and where
///
/// Changes nothing and works while the daemon runs. Each damage is shown with its file, its offset in
/// bytes, what was stored there and the targets it affects. The last line sums up. Exits with 1 when
/// there is damage.
#[derive(Clone, Debug, clap::Args)]
pub(in crate::cli) struct CheckArgs {
    #[command(flatten)]
    data_folder: DataFolder,
}

pub(super) fn run(args: &CheckArgs, config: Option<&Path>) -> Result<bool, Failure> {
    let folder = args.data_folder.path(config)?;
    let mut bar = Bar::new("reading");
    let report = tools::check(&folder, &mut |done, all| bar.show(done, all));
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
        lines.push(format!("damage: at {more} more places"));
    }
    if let Some(wrong) = &report.index {
        lines.push(format!(
            "the index: {}; a repair removes it, the next start rebuilds it",
            printable(wrong)
        ));
    }
    if !report.is_clean() {
        lines.push("to repair it: stop the daemon, then run `dispatcher store repair` (--dry-run shows what it would do)".into());
    }
    if report.running {
        lines.push("a daemon is running: its index was not checked".into());
    }
    if report.repaired > 0 {
        lines.push(format!(
            "{} marked as lost by an earlier repair",
            count(report.repaired, "place")
        ));
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
        count(report.damages_count + u64::from(report.index.is_some()), "damaged place"),
    )
}
