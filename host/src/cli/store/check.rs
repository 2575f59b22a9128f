//! `store check`.

use std::path::Path;

use super::bar::Bar;
use super::{DataFolder, describe, failed};
use crate::cli::exit::Failure;
use crate::cli::out;
use crate::model::{count, printable};
use crate::store::embedded::tools::{self, Report, Start};

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
        lines.push(format!("damage: at {}", count(more, "more place")));
    }
    lines.extend(index(report));
    lines.extend(report.set_aside.iter().map(|path| {
        format!("an index that was damaged before is kept in {}; it is not used", path.display())
    }));
    lines.extend(advice(report));
    lines.extend(report.denied.iter().map(|why| printable(why)));
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

/// What is wrong with the index, and what becomes of it.
pub(super) fn index(report: &Report) -> Option<String> {
    let when = match report.start {
        _ if report.index_in_way => {
            "take it away: the daemon leaves it there and works without an index until then"
        }
        _ if report.index_denied => {
            "the next start rebuilds it from the log if it may move it away, and works without an index otherwise"
        }
        Start::Fails(_) => "once the daemon can start, it rebuilds the index from the log",
        Start::Works | Start::Unknown => "the next start rebuilds it from the log",
    };
    report.index.as_ref().map(|wrong| format!("the index: {}; {when}", printable(wrong)))
}

/// Whether the daemon starts, and what to do.
fn advice(report: &Report) -> Vec<String> {
    let mut lines: Vec<String> = verdict(report).into_iter().collect();
    if report.damages.iter().any(|damage| damage.repairable) {
        lines.push("to repair it: stop the daemon, then run `dispatcher store repair` (--dry-run shows what it would do)".into());
    }
    let hopeless = report.damages.iter().filter(|damage| !damage.repairable);
    let mut segments: Vec<_> = hopeless.map(|damage| &damage.segment).collect();
    segments.dedup();
    lines.extend(segments.iter().map(|segment| give_up(segment, report)));
    lines
}

/// Whether the daemon starts, if that is in question.
pub(super) fn verdict(report: &Report) -> Option<String> {
    match &report.start {
        Start::Unknown => None,
        Start::Works if report.is_clean() => None,
        Start::Works => Some("the daemon starts with this folder".to_owned()),
        Start::Fails(why) => Some(format!("the daemon does not start: {}", printable(why))),
    }
}

/// How many places are damaged; the index is one.
pub(super) fn places(report: &Report) -> String {
    count(report.damages_count + u64::from(report.index.is_some()), "damaged place")
}

/// What to do about a segment that cannot be repaired.
pub(super) fn give_up(segment: &Path, report: &Report) -> String {
    let name = segment.file_name().unwrap_or_default().to_string_lossy();
    if !report.can_give_up {
        return format!(
            "{name} cannot be repaired, and no other segment says what belongs in its place: restore a backup \
             of the data folder, or move the data folder away to start with an empty store"
        );
    }
    format!(
        "{name} cannot be repaired: restore that file from a backup, or start without it, with the daemon \
         stopped: `dispatcher store repair --give-up {name}` keeps the file in damaged/ and counts what is lost"
    )
}

fn summary(report: &Report) -> String {
    format!(
        "{}, {}, {}, {}, {}",
        count(report.segments, "segment"),
        count(report.frames, "frame"),
        count(report.events, "event"),
        count(report.bytes, "byte"),
        places(report),
    )
}
