//! What a person types, and how the program ends.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{CommandFactory as _, FromArgMatches as _, Parser};

use super::exit::{self, Failure, OK, PROBLEMS};
use super::{
    check, dead, demo, events, explain, find, help, hold, init, log_format, logging, out, plugin,
    refused, reload, retry, run, selftest, send, shell, show, sign, status, store, tail,
    try_target, verify, waiting,
};

const ABOUT: &str = "\
Receives webhooks, checks every signature, writes them to disk before it says
200, and delivers them through plugins.";

/// Options of every command come after its own.
const LAST: usize = 900;

/// What a person typed.
#[derive(Debug, Parser)]
#[command(name = "dispatcher", version, about = ABOUT, max_term_width = help::COLUMNS)]
#[command(arg_required_else_help = true)]
pub(super) struct Cli {
    /// The configuration; default: ./dispatcher.toml, then
    /// /etc/dispatcher/dispatcher.toml
    #[arg(long, global = true, value_name = "FILE", display_order = LAST)]
    config: Option<PathBuf>,
    /// error, warn, info, debug or trace; default: DISPATCHER_LOG, then info
    #[arg(long, global = true, value_name = "LEVEL", hide_possible_values = true)]
    #[arg(display_order = LAST)]
    log_level: Option<logging::Level>,
    /// json or text; default: text at a terminal, else JSON
    #[arg(long, global = true, value_name = "FORMAT", hide_possible_values = true)]
    #[arg(display_order = LAST)]
    log_format: Option<log_format::LogFormat>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    Init(init::InitArgs),
    Demo(demo::DemoArgs),
    Run(run::RunArgs),
    Check(check::CheckArgs),
    Try(try_target::TryArgs),
    Send(send::SendArgs),
    Sign(sign::SignArgs),
    Verify(verify::VerifyArgs),
    /// List and check plugin files
    #[command(subcommand)]
    Plugin(plugin::PluginCommand),
    Status(status::StatusArgs),
    Tail(tail::TailArgs),
    Events(events::EventsArgs),
    Show(show::ShowArgs),
    Explain(explain::ExplainArgs),
    Refused(refused::RefusedArgs),
    /// List, show, replay or drop dead letters
    #[command(subcommand)]
    Dead(dead::DeadCommand),
    Drop(waiting::DropArgs),
    Move(waiting::MoveArgs),
    Pause(hold::PauseArgs),
    Resume(hold::ResumeArgs),
    Retry(retry::RetryArgs),
    Reload(reload::ReloadArgs),
    /// Check, repair, dump and back up the store
    #[command(subcommand)]
    Store(store::StoreCommand),
    /// Prove the promises of the daemon on this machine
    #[command(subcommand)]
    Selftest(selftest::SelftestCommand),
    Completions(shell::CompletionsArgs),
    Man(shell::ManArgs),
}

/// The whole command line.
pub(super) fn command() -> clap::Command {
    help::with_groups(Cli::command())
}

/// Runs the program.
#[must_use]
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let parsed = command()
        .try_get_matches_from(arguments)
        .and_then(|matches| Cli::from_arg_matches(&matches));
    let cli = match parsed {
        Ok(cli) => cli,
        Err(error) => {
            let printed = error.print();
            if error.use_stderr() {
                return ExitCode::from(exit::USAGE);
            }
            out::keep(printed);
            return ExitCode::from(out::finish().map_or_else(|failure| report(&failure), |()| OK));
        }
    };
    crate::plugin::try_files_with(plugin::TRY_FILE);
    let variable = std::env::var(logging::VARIABLE).ok();
    // The demo prints what it does; log lines would only interrupt it.
    let quiet = matches!(cli.command, Command::Demo(_)) && variable.is_none();
    let level = cli.log_level.or(quiet.then_some(logging::Level::Error));
    let logging = match logging::start(level, variable.as_deref(), cli.log_format) {
        Ok(logging) => logging,
        Err(error) => return ExitCode::from(report(&Failure::usage(error))),
    };
    let mut code = cli.command.run(cli.config.as_deref()).unwrap_or_else(|error| report(&error));
    if !matches!(cli.command, Command::Run(_))
        && let Err(failure) = out::finish()
    {
        code = code.max(report(&failure));
    }
    drop(logging);
    ExitCode::from(code)
}

/// Prints why a command failed; returns the exit code.
fn report(failure: &Failure) -> u8 {
    out::error(&failure.text);
    failure.code
}

impl Command {
    /// Returns the exit code.
    fn run(&self, config: Option<&Path>) -> Result<u8, Failure> {
        let well = match self {
            Self::Reload(args) => reload::reload(args, config)?,
            Self::Status(args) => status::run(args, config)?,
            Self::Tail(args) => tail::run(args, config).map(|()| true)?,
            Self::Events(args) => events::run(args, config).map(|()| true)?,
            Self::Show(args) => show::run(args, config).map(|()| true)?,
            Self::Explain(args) => explain::run(args, false, config).map(|()| true)?,
            Self::Refused(args) => refused::run(args, config).map(|()| true)?,
            Self::Dead(command) => command.run(config).map(|()| true)?,
            Self::Drop(args) => waiting::discard(args, config).map(|()| true)?,
            Self::Move(args) => waiting::relocate(args, config).map(|()| true)?,
            Self::Pause(args) => hold::pause(args, config).map(|()| true)?,
            Self::Resume(args) => hold::resume(args, config).map(|()| true)?,
            Self::Retry(args) => retry::run(args, config).map(|()| true)?,
            Self::Init(args) => {
                init::run(args)?;
                true
            }
            Self::Demo(args) => demo::run(args)?,
            Self::Run(args) => {
                run::run(args, &find::load_to_run(config)?)?;
                true
            }
            Self::Check(args) => return check::run(args, config),
            Self::Try(args) => try_target::run(args, config)?,
            Self::Send(args) => send::run(args, config)?,
            Self::Sign(args) => {
                sign::run(args, config)?;
                true
            }
            Self::Verify(args) => return verify::run(args, config),
            Self::Plugin(command) => command.run(config)?,
            Self::Selftest(command) => command.run()?,
            Self::Store(command) => command.run(config)?,
            Self::Completions(args) => {
                shell::completions(args, command())?;
                true
            }
            Self::Man(args) => {
                shell::man(args, command())?;
                true
            }
        };
        Ok(if well { OK } else { PROBLEMS })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    /// The commands between backticks in the texts of a folder's code.
    fn advised(folder: &Path, found: &mut BTreeSet<String>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.file_stem().is_some_and(|name| name == "tests") {
                continue;
            }
            if path.is_dir() {
                advised(&path, found);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = std::fs::read_to_string(&path).unwrap();
                // A text may go on in the next line.
                let text: String = text.split("\\\n").map(str::trim_start).collect();
                let code = text.lines().map(str::trim_start).filter(|line| !line.starts_with("//"));
                for line in code {
                    let quoted = line.split('`').skip(1).step_by(2);
                    let commands = quoted.filter(|text| text.starts_with("dispatcher "));
                    found.extend(commands.map(str::to_owned));
                }
            }
        }
    }

    /// A value for what a person, or the program, puts in.
    fn filled(word: &str) -> String {
        let is_place = word.len() > 1 && word.chars().all(|c| c.is_ascii_uppercase());
        match word {
            "COMMAND" => "check".to_owned(),
            "SECONDS" => "1".to_owned(),
            "ID" => "01M8K5S2KFYYT000000353DG0K".to_owned(),
            _ if is_place || word.starts_with('{') => "a".to_owned(),
            _ => word.to_owned(),
        }
    }

    #[test]
    fn every_command_that_is_advised_can_be_typed() {
        let host = Path::new(env!("CARGO_MANIFEST_DIR"));
        let mut found = BTreeSet::new();
        for folder in ["src", "store/src"] {
            advised(&host.join(folder), &mut found);
        }
        assert!(found.len() > 15, "{found:?}");
        let wrong: Vec<String> = found
            .iter()
            .filter_map(|command| {
                let typed = command.split(" < ").next()?.replace("'K: V'", "K:V");
                let words = typed.split_whitespace().map(filled);
                let error = Cli::try_parse_from(words).err()?;
                let helps = matches!(error.kind(), clap::error::ErrorKind::DisplayHelp);
                (!helps).then(|| format!("{command}: {error}"))
            })
            .collect();
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }
}
