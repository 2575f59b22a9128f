//! The command line: what a person types, and how the program ends.

mod ask;
mod bench;
mod check;
mod child;
mod demo;
pub mod exit;
mod find;
mod given;
mod help;
mod http;
mod init;
mod logging;
mod matrix;
mod mend;
mod out;
mod plugin;
mod reload;
mod run;
mod sample;
mod scheme;
mod scratch;
mod see;
mod selftest;
mod send;
mod sign;
mod signing;
mod store;
mod try_target;
mod verify;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{CommandFactory as _, FromArgMatches as _, Parser};

use exit::{Failure, OK, PROBLEMS};

const ABOUT: &str = "\
Receives webhooks, checks every signature, writes them to disk before it says
200, and delivers them through plugins.";

/// What a person typed.
#[derive(Debug, Parser)]
#[command(name = "dispatcher", version, about = ABOUT, disable_help_subcommand = true)]
#[command(arg_required_else_help = true)]
struct Cli {
    /// Else ./dispatcher.toml, then /etc/dispatcher/dispatcher.toml
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    /// error, warn, info, debug or trace; else DISPATCHER_LOG, then info
    #[arg(long, global = true, value_name = "LEVEL", hide_possible_values = true)]
    log_level: Option<logging::Level>,
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
    /// Look at the plugins
    #[command(subcommand)]
    Plugin(plugin::PluginCommand),
    Status(see::StatusArgs),
    Tail(see::TailArgs),
    Explain(see::ExplainArgs),
    Refused(see::RefusedArgs),
    /// Look at dead letters, replay them, drop them
    #[command(subcommand)]
    Dead(mend::DeadCommand),
    Pause(mend::PauseArgs),
    Resume(mend::ResumeArgs),
    Reload(reload::ReloadArgs),
    /// Check, mend, show and copy what is stored
    #[command(subcommand)]
    Store(store::StoreCommand),
    Bench(bench::BenchArgs),
    /// Let the daemon prove on this machine what it promises
    #[command(subcommand)]
    Selftest(selftest::SelftestCommand),
}

/// Runs the program.
#[must_use]
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let parsed = help::with_groups(Cli::command())
        .try_get_matches_from(arguments)
        .and_then(|matches| Cli::from_arg_matches(&matches));
    let cli = match parsed {
        Ok(cli) => cli,
        Err(error) => {
            // Nobody can be told when the terminal is gone.
            let _ = error.print();
            return ExitCode::from(if error.use_stderr() { exit::USAGE } else { OK });
        }
    };
    let variable = std::env::var(logging::VARIABLE).ok();
    // The demo shows the same on its own; what is no part of its story would only interrupt it.
    let quiet = matches!(cli.command, Command::Demo(_)) && variable.is_none();
    let level = cli.log_level.or(quiet.then_some(logging::Level::Error));
    let code = logging::start(level, variable.as_deref())
        .map_err(Failure::usage)
        .and_then(|()| cli.command.run(cli.config.as_deref()));
    ExitCode::from(code.unwrap_or_else(|failure| {
        out::error(&failure.text);
        failure.code
    }))
}

impl Command {
    /// How the program ends.
    fn run(&self, config: Option<&Path>) -> Result<u8, Failure> {
        let well = match self {
            Self::Reload(args) => reload::reload(args, config)?,
            Self::Status(args) => see::status(args, config)?,
            Self::Tail(args) => see::tail(args, config).map(|()| true)?,
            Self::Explain(args) => see::explain(args, config).map(|()| true)?,
            Self::Refused(args) => see::refused(args, config).map(|()| true)?,
            Self::Dead(command) => command.run(config).map(|()| true)?,
            Self::Pause(args) => mend::pause(args, config).map(|()| true)?,
            Self::Resume(args) => mend::resume(args, config).map(|()| true)?,
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
            Self::Bench(args) => {
                bench::run(args)?;
                true
            }
        };
        Ok(if well { OK } else { PROBLEMS })
    }
}
