//! `store repair`.

use std::path::Path;

use super::bar::Bar;
use super::{Which, check, count, describe, failed};
use crate::cli::exit::Failure;
use crate::cli::out;
use crate::store::embedded::tools::{self, Lay, Repaired};

/// Mend what is damaged, so that the daemon starts again
///
/// Only while no daemon runs. Every damaged place is copied to `damaged/` in the data folder first;
/// then its file is written anew with one record in that place that says that nothing can be read
/// there. A record in which one single bit is wrong is put right instead. What is whole stays as it is and where it is. A target that has yet to read that place gets
/// a dead letter for it. Ends with 1 when something could not be mended.
#[derive(Clone, Debug, clap::Args)]
pub(in crate::cli) struct RepairArgs {
    #[command(flatten)]
    which: Which,
    /// Show what it would do; change nothing
    #[arg(long)]
    dry_run: bool,
}

pub(super) fn run(args: &RepairArgs, config: Option<&Path>) -> Result<bool, Failure> {
    let folder = args.which.folder(config)?;
    let mut bar = Bar::new("reading");
    let done = tools::repair(&folder, args.dry_run, &mut |done, all| bar.tell(done, all));
    drop(bar);
    let done = done.map_err(failed)?;
    out::line(&show(&done, args.dry_run));
    Ok(match &done.after {
        Some(after) => after.is_clean(),
        None => done.before.damages.iter().all(|damage| damage.repairable),
    })
}

fn show(done: &Repaired, dry_run: bool) -> String {
    let mut lines = Vec::new();
    let [will, were] = if dry_run { ["would be"; 2] } else { ["was", "were"] };
    for (damage, kept) in done.before.damages.iter().zip(&done.kept) {
        lines.push(format!("damage: {}", describe(damage)));
        if let Some(kept) = kept {
            lines.push(format!("    its bytes {were} copied to {}", kept.display()));
        }
        lines.push(if let Lay::OneBit { .. } = damage.lay {
            format!("    it {will} put right")
        } else if damage.repairable {
            format!("    its place {will} bridged; what lies around it stays as it is")
        } else {
            "    it cannot be mended: restore that file from a backup".to_owned()
        });
    }
    if done.index_removed {
        lines.push(format!("the index {will} removed; the next start makes it anew"));
    }
    match &done.after {
        None if done.before.is_clean() => lines.push("nothing to mend".to_owned()),
        None => lines
            .push(format!("{}; nothing was changed", count(done.before.damages_count, "damage"))),
        Some(after) => {
            lines.push("afterwards:".to_owned());
            lines.push(check::show(after));
        }
    }
    lines.join("\n")
}
