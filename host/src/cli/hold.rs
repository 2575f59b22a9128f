//! `dispatcher pause` and `dispatcher resume`: holds a target's deliveries, and lets them go.

use std::path::Path;
use std::time::SystemTime;

use super::ask::Ask;
use super::confirm::confirm;
use super::exit::Failure;
use super::out;
use crate::admin::wire::{Count, Pause, Resume};
use crate::model::{Timestamp, printable};

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
    out::line(&format!("{target} is paused; {} until `dispatcher resume {target}`", wait(count)));
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
    let skipped = match skipped {
        0 => String::new(),
        1 => "; 1 became a dead letter".to_owned(),
        n => format!("; {n} became dead letters"),
    };
    out::line(&format!("{target} is resumed; sending {count}{skipped}"));
    Ok(())
}

fn wait(count: u64) -> String {
    match count {
        0 => "no deliveries wait".to_owned(),
        1 => "1 delivery waits".to_owned(),
        n => format!("{n} deliveries wait"),
    }
}

/// Why an argument of `--since` is not valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
enum InvalidTime {
    #[error("write a time such as 2026-01-31T08:00:00Z, or how long ago, such as 2h")]
    Form,
    #[error("before 1970")]
    Before1970,
    #[error("in the future")]
    Future,
}

/// A moment, or how long ago it was.
fn time(text: &str) -> Result<Timestamp, InvalidTime> {
    let moment = text.parse::<jiff::Timestamp>().ok().map(jiff::Timestamp::as_millisecond);
    if let Some(moment) = moment {
        let millis = u64::try_from(moment).map_err(|_| InvalidTime::Before1970)?;
        return Ok(Timestamp::from_millis(millis));
    }
    let ago = text.parse::<jiff::SignedDuration>().map_err(|_| InvalidTime::Form)?;
    let now = Timestamp::from(SystemTime::now()).as_millis();
    let ago = u64::try_from(ago.as_millis()).map_err(|_| InvalidTime::Future)?;
    Ok(Timestamp::from_millis(now.saturating_sub(ago)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_a_moment_or_how_long_ago() {
        let at = |text| time(text).map(Timestamp::as_millis);
        assert_eq!(at("1970-01-01T00:00:01Z"), Ok(1_000));
        assert_eq!(at("1970-01-01T01:00:01+01:00"), Ok(1_000));
        let now = Timestamp::from(SystemTime::now()).as_millis();
        let ago = now - at("2h").unwrap();
        assert!((7_190_000..=7_200_000).contains(&ago), "{ago}");
        for wrong in ["", "2", "yesterday", "-2h"] {
            assert!(at(wrong).is_err(), "{wrong}");
        }
    }
}
