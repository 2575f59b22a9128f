//! `store backup`.

use std::path::{Path, PathBuf};

use super::bar::Bar;
use super::{DataFolder, failed};
use crate::cli::exit::Failure;
use crate::cli::out;
use crate::cli::signing::quoted;
use crate::model::count;
use crate::store::embedded::tools::{self, BEFORE, BackedUp};

/// Copy the whole store to a new folder
///
/// Works while the daemon runs. The copy holds every request that was answered with 200 before the command
/// began, and can be used at once as `store.directory`. On the same file system most of it takes no
/// space at first: finished segments are shared. Until the copy is complete its name ends in `.partial`.
#[derive(Clone, Debug, clap::Args)]
pub(in crate::cli) struct BackupArgs {
    #[command(flatten)]
    data_folder: DataFolder,
    /// A folder that does not exist or is empty
    #[arg(value_name = "DEST")]
    to: PathBuf,
}

pub(super) fn run(args: &BackupArgs, config: Option<&Path>) -> Result<bool, Failure> {
    let folder = args.data_folder.path(config)?;
    let mut bar = Bar::new("copying");
    let done = tools::backup(&folder, &args.to, &mut |done, all| bar.show(done, all));
    drop(bar);
    let done = done.map_err(failed)?;
    // Absolute, because the printed commands may be typed in another folder.
    let to = std::path::absolute(&args.to)?;
    let folder = std::path::absolute(&folder)?;
    out::line(&show(&done, &folder, &to));
    Ok(done.damages == 0 && done.missing.is_empty())
}

fn show(done: &BackedUp, folder: &Path, to: &Path) -> String {
    let (folder, to) = (folder.display(), to.display());
    let mut lines = vec![format!(
        "{} in {to}: {} shared with the store, {} copied",
        count(done.segments, "segment"),
        done.linked,
        count(done.bytes, "byte"),
    )];
    lines.push(match done.newest_event {
        Some((id, received)) => format!("events up to {id}, received {received}"),
        None => "it holds no events".to_owned(),
    });
    if done.damages > 0 {
        let places = count(done.damages, "place");
        lines.push(format!("the newest segment is damaged at {places} and was copied with the damage: see `dispatcher store check`"));
    }
    if let [first, ..] = &done.missing[..] {
        let (gaps, first) = (count(done.missing.len() as u64, "place"), first.display());
        lines.push(format!(
            "the log lacks files at {gaps}, the first is {first}, and so does the copy: see `dispatcher store check`"
        ));
    }
    let [folder, before, to] =
        [folder.to_string(), format!("{folder}{BEFORE}"), to.to_string()].map(|path| quoted(&path));
    // Neither moves into a folder that is there already, nor copies after the move failed.
    lines.push(format!(
        "to restore it, stop the daemon and run:\n  mv -T {folder} {before} &&\n  cp -aT {to} {folder}"
    ));
    lines.join("\n")
}
