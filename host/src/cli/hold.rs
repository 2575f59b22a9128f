//! `dispatcher pause` and `dispatcher resume`: holds a target's deliveries, and lets them go.

use std::path::Path;

use super::ask::Ask;
use super::confirm::confirm;
use super::exit::Failure;
use super::given::time;
use super::out;
use crate::admin::wire::{Count, Pause, Resume};
use crate::model::{Timestamp, counted, printable};

/// Hold a target's deliveries until `resume`
///
/// Nothing is given up meanwhile, and a restart does not end it.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct PauseArgs {
    #[command(flatten)]
    ask: Ask,
    /// The target; NAME/RECIPIENT is one of several recipients
    target: String,
    /// Shown by `status` and `explain`
    #[arg(long, default_value = "")]
    reason: String,
}

/// Deliver to a paused, broken, throttled or failing target now
///
/// Shows how many deliveries wait. If there are any, choose with --held or --since whether they are
/// sent, or answer the question at the terminal.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct ResumeArgs {
    #[command(flatten)]
    ask: Ask,
    /// The target; NAME/RECIPIENT is one of several recipients
    target: String,
    /// Send everything that waits
    #[arg(long)]
    held: bool,
    /// Send only what was received since: 2h, or 2026-01-31T08:00:00Z; the rest becomes dead letters
    #[arg(long, value_name = "TIME", value_parser = time)]
    since: Option<Timestamp>,
}

pub(super) fn pause(args: &PauseArgs, config: Option<&Path>) -> Result<(), Failure> {
    let request = Pause { target: args.target.clone(), reason: args.reason.clone() };
    let Count { count, .. } = args.ask.daemon(config)?.post("/pause", &request)?;
    let target = printable(&args.target);
    let later = if count == 0 { "; what comes waits" } else { "" };
    let until = format!("until `dispatcher resume {target}`");
    out::line(&format!("{target} is paused; {}{later} {until}", wait(count)));
    Ok(())
}

pub(super) fn resume(args: &ResumeArgs, config: Option<&Path>) -> Result<(), Failure> {
    let daemon = args.ask.daemon(config)?;
    let since_ms = args.since.map(Timestamp::as_millis);
    let request = |dry| Resume { target: args.target.clone(), since_ms, dry };
    let Count { count, .. } = daemon.post("/resume", &request(true))?;
    out::line(&wait(count));
    if count > 0 && !args.held && args.since.is_none() {
        confirm("send them now", "add --held, or --since TIME to skip older ones")?;
    }
    let Count { count, skipped, .. } = daemon.post("/resume", &request(false))?;
    let target = printable(&args.target);
    let sending = match count {
        0 => String::new(),
        n => format!("; sending {n}"),
    };
    let skipped = match skipped {
        0 => String::new(),
        n => format!("; {}", counted(n, "became a dead letter", "became dead letters")),
    };
    out::line(&format!("{target} is resumed{sending}{skipped}"));
    Ok(())
}

fn wait(count: u64) -> String {
    match count {
        0 => "no deliveries wait".to_owned(),
        n => counted(n, "delivery waits", "deliveries wait"),
    }
}
