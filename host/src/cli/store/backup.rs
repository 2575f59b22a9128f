//! `store backup`.

use std::path::{Path, PathBuf};

use super::bar::Bar;
use super::{Which, count, failed};
use crate::cli::exit::Failure;
use crate::cli::out;
use crate::store::embedded::tools::{self, BackedUp};

/// Copy all that is stored to a new folder
///
/// While the daemon runs or not. The copy can be used at once (`store.directory`). What was answered with 200 before the command
/// began is in it. On the same file system most of it takes no space at first: files that never change
/// again are shared. Until it is complete its name ends in `.partial`.
#[derive(Clone, Debug, clap::Args)]
pub(in crate::cli) struct BackupArgs {
    #[command(flatten)]
    which: Which,
    /// A folder that is not there yet, or is empty
    #[arg(value_name = "DEST")]
    to: PathBuf,
}

pub(super) fn run(args: &BackupArgs, config: Option<&Path>) -> Result<bool, Failure> {
    let folder = args.which.folder(config)?;
    let mut bar = Bar::new("copying");
    let done = tools::backup(&folder, &args.to, &mut |done, all| bar.tell(done, all));
    drop(bar);
    let done = done.map_err(failed)?;
    // Where the copy is wanted the current folder may be another one.
    let to = std::path::absolute(&args.to)?;
    let folder = std::path::absolute(&folder)?;
    out::line(&show(&done, &folder, &to));
    Ok(done.damages == 0)
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
        None => "no event is in it".to_owned(),
    });
    if done.damages > 0 {
        let places = count(done.damages, "place");
        lines.push(format!("the newest segment is damaged at {places} and copied as it is: see `dispatcher store check`"));
    }
    lines.push(format!(
        "to restore it, stop the daemon and type:\n  mv '{folder}' '{folder}.before'\n  cp -a '{to}' '{folder}'"
    ));
    lines.join("\n")
}
