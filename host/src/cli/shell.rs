//! Files for a person's shell, made from the command line itself: completions and man pages.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use clap::Command;
use clap_complete::Shell;

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
/// Writes dispatcher.1 and dispatcher-COMMAND.1 to a folder. Existing files are replaced.
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

/// Writes them.
pub(super) fn man(args: &ManArgs, command: Command) -> Result<(), Failure> {
    let failed = |path: &Path, error: std::io::Error| {
        Failure::new(format!("cannot write {}: {error}", path.display()))
    };
    std::fs::create_dir_all(&args.folder).map_err(|error| failed(&args.folder, error))?;
    let mut command = command.disable_help_subcommand(true);
    command.build();
    let mut pages = vec![command];
    while let Some(command) = pages.pop() {
        let page = clap_mangen::Man::new(command.clone());
        let path = args.folder.join(page.get_filename());
        let mut text = Vec::new();
        page.render(&mut text)
            .and_then(|()| std::fs::write(&path, text))
            .map_err(|error| failed(&path, error))?;
        pages.extend(command.get_subcommands().filter(|sub| !sub.is_hide_set()).cloned());
    }
    Ok(())
}
