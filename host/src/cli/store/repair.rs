//! `store repair`.

use std::path::Path;

use super::bar::Bar;
use super::{DataFolder, check, describe, failed};
use crate::cli::exit::Failure;
use crate::cli::out;
use crate::store::embedded::tools::{self, GivenUp, Lay, Repaired, Work};

/// Repair what is damaged, so that the daemon starts again
///
/// Needs the daemon stopped. The damaged bytes are first copied to `damaged/` in the data folder; then
/// the segment is rewritten with one record that marks the place as lost. A record with one wrong bit is
/// corrected instead. All other records stay unchanged. A target that has not read the place yet gets a
/// dead letter for it. Exits with 1 when something could not be repaired.
#[derive(Clone, Debug, clap::Args)]
pub(in crate::cli) struct RepairArgs {
    #[command(flatten)]
    data_folder: DataFolder,
    /// Show what would be done, without changing anything
    #[arg(long)]
    dry_run: bool,
    /// Start without this segment, which cannot be repaired: it is kept in `damaged/`, and counted as lost
    #[arg(long, value_name = "SEGMENT", conflicts_with = "dry_run")]
    give_up: Vec<String>,
}

pub(super) fn run(args: &RepairArgs, config: Option<&Path>) -> Result<bool, Failure> {
    let folder = args.data_folder.path(config)?;
    let mut bar = Bar::new("reading");
    let work = Work { dry_run: args.dry_run, give_up: args.give_up.clone() };
    let done = tools::repair(&folder, &work, &mut |done, all| bar.show(done, all));
    drop(bar);
    let done = done.map_err(failed)?;
    out::line(&show(&done, args.dry_run));
    Ok(match &done.after {
        Some(after) => after.is_clean(),
        // A start rebuilds an index.
        None if done.before.damages.is_empty() => {
            let starts = !matches!(done.before.start, tools::Start::Fails(_));
            starts && !done.before.index_in_way && done.before.denied.is_none()
        }
        None => done.before.damages.iter().all(|damage| damage.repairable),
    })
}

fn given_up(one: &GivenUp) -> String {
    let (segment, kept) = (one.segment.display(), one.kept.display());
    if one.was_in_log {
        format!(
            "{segment} is given up: all that was in it is marked as lost; the file is kept in {kept}"
        )
    } else {
        format!(
            "{segment} was not a part of the log, so nothing is lost with it; it is kept in {kept}"
        )
    }
}

fn show(done: &Repaired, dry_run: bool) -> String {
    let mut lines: Vec<String> = done.given_up.iter().map(given_up).collect();
    let [will, were] = if dry_run { ["would be"; 2] } else { ["was", "were"] };
    for (damage, kept) in done.before.damages.iter().zip(&done.kept) {
        lines.push(format!("damage: {}", describe(damage)));
        if let Some(kept) = kept {
            lines.push(format!("    its bytes {were} copied to {}", kept.display()));
        }
        lines.push(match damage.lay {
            Lay::OneBit { .. } => format!("    it {will} corrected"),
            Lay::Header if damage.repairable => {
                format!("    it {will} written again; the records in the file stay unchanged")
            }
            _ if damage.repairable => {
                format!("    its place {will} marked as lost; the records around it stay unchanged")
            }
            _ => format!("    {}", check::give_up(&damage.segment, &done.before)),
        });
    }
    if done.index_removed {
        lines.push(format!("the index {will} set aside; the next start rebuilds it"));
    }
    match &done.after {
        None if done.before.is_clean() => lines.push("nothing to repair".to_owned()),
        None => {
            let stays = done.before.index_in_way || done.before.index_denied;
            lines.extend(check::index(&done.before).filter(|_| stays));
            lines.extend(check::verdict(&done.before));
            lines.extend(done.before.denied.clone());
            lines.push(format!("{}; nothing was changed", check::places(&done.before)));
        }
        Some(after) => {
            lines.push("afterwards:".to_owned());
            lines.push(check::show(after));
        }
    }
    lines.join("\n")
}
