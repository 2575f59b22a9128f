//! Files for a person's shell, made from the command line itself: completions and man pages.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use clap::Command;
use clap_complete::Shell;
use rustix::fs::OFlags;

use super::exit::Failure;
use super::out;

/// Print the completions of a shell
///
///   bash   dispatcher completions bash > /etc/bash_completion.d/dispatcher
///   zsh    dispatcher completions zsh > ~/.zfunc/_dispatcher
///   fish   dispatcher completions fish \
///            > ~/.config/fish/completions/dispatcher.fish
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(super) struct CompletionsArgs {
    /// The shell
    #[arg(value_enum)]
    shell: Shell,
}

/// Write a man page for every command
///
/// Writes dispatcher.1 and dispatcher-COMMAND.1 to a folder. Existing files are replaced; links are not followed.
#[derive(Debug, clap::Args)]
pub(super) struct ManArgs {
    /// The folder to write to; created if it does not exist
    #[arg(value_name = "DIR")]
    folder: PathBuf,
}

/// Prints them.
pub(super) fn completions(args: &CompletionsArgs, mut command: Command) -> Result<(), Failure> {
    let mut text = Vec::new();
    clap_complete::generate(args.shell, &mut command, "dispatcher", &mut text);
    out::keep(std::io::stdout().lock().write_all(&text));
    Ok(())
}

/// Writes a regular file: what a link leads to, a pipe or a device is left as it is.
fn replace(path: &Path, text: &[u8]) -> io::Result<()> {
    // A pipe without a reader would be waited for.
    let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed();
    let mut options = OpenOptions::new();
    let opened = options.write(true).create(true).truncate(false).custom_flags(flags).open(path);
    let irregular = || io::Error::other("it is not a regular file; remove it first");
    let mut file = opened.map_err(|error| match fs::symlink_metadata(path) {
        Ok(there) if !there.is_file() => irregular(),
        _ => error,
    })?;
    if !file.metadata()?.is_file() {
        return Err(irregular());
    }
    file.set_len(0)?;
    file.write_all(text)
}

/// Writes them.
pub(super) fn man(args: &ManArgs, command: Command) -> Result<(), Failure> {
    let failed = |path: &Path, error: io::Error| {
        Failure::new(format!("cannot write {}: {error}", path.display()))
    };
    fs::create_dir_all(&args.folder).map_err(|error| failed(&args.folder, error))?;
    let mut command = command.disable_help_subcommand(true);
    command.build();
    let mut pages = vec![command];
    while let Some(command) = pages.pop() {
        let page = clap_mangen::Man::new(command.clone());
        let path = args.folder.join(page.get_filename());
        let mut text = Vec::new();
        page.render(&mut text)
            .and_then(|()| replace(&path, &text))
            .map_err(|error| failed(&path, error))?;
        pages.extend(command.get_subcommands().filter(|sub| !sub.is_hide_set()).cloned());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use rustix::fs::{CWD, FileType, Mode, mknodat};

    use super::*;

    #[test]
    fn a_page_replaces_a_file_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::write(at("old"), "a longer page").unwrap();
        fs::write(at("kept"), "kept").unwrap();
        symlink("kept", at("link")).unwrap();
        symlink("gone", at("dangling")).unwrap();
        mknodat(CWD, at("fifo"), FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
        fs::create_dir(at("folder")).unwrap();
        for name in ["old", "new"] {
            replace(&at(name), b"page").unwrap();
            assert_eq!(fs::read_to_string(at(name)).unwrap(), "page");
        }
        for name in ["link", "dangling", "fifo", "folder"] {
            let error = replace(&at(name), b"page").unwrap_err().to_string();
            assert_eq!(error, "it is not a regular file; remove it first", "{name}");
        }
        assert_eq!(fs::read_to_string(at("kept")).unwrap(), "kept");
        assert!(!at("gone").exists());
    }
}
