//! `dispatcher reload`: the running daemon reads its configuration again and reports the outcome.

use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use super::ask::{Ask, Daemon, path};
use super::exit::Failure;
use super::out;
use crate::admin::wire::{InForce, Reload, Status};
use crate::model::printable;

/// Have the running daemon read its configuration again
///
/// Does the same as SIGHUP and shows the outcome: all of it is in force, with its hash and generation, which
/// `status` and the health address show too; or nothing was changed, every
/// problem is shown, and the exit code is 1. A configuration that loses its last source or target,
/// such as an empty file, is refused without `--allow-empty`. `dispatcher run --help` describes what happens
/// to targets, and which keys need a restart.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct ReloadArgs {
    #[command(flatten)]
    ask: Ask,
    /// Also bring a configuration without any source or target into force
    #[arg(long)]
    allow_empty: bool,
    /// Wait up to so long for a daemon that is starting, for a script that has just restarted it
    #[arg(long, value_name = "SECONDS", num_args = 0..=1, default_missing_value = "30")]
    #[arg(value_parser = clap::value_parser!(u64).range(1..=3_600))]
    wait: Option<u64>,
    /// For scripts
    #[arg(long)]
    json: bool,
}

/// Time between two looks for a daemon that is starting.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

pub(super) fn reload(args: &ReloadArgs, config: Option<&Path>) -> Result<bool, Failure> {
    let allow = args.allow_empty.then_some(("allow_empty", "yes"));
    let daemon = args.ask.daemon(config)?;
    if let Some(seconds) = args.wait {
        wait_for_start(&daemon, Duration::from_secs(seconds))?;
    }
    let reload: Reload = daemon.post(&path("/reload", allow), &())?;
    if args.json {
        out::json(&reload)?;
    } else {
        out::line(&show(&reload));
    }
    Ok(reload.refused.is_none())
}

/// Waits until a configuration is in force.
fn wait_for_start(daemon: &Daemon, longest: Duration) -> Result<(), Failure> {
    let began = Instant::now();
    loop {
        let status = daemon.get::<Status>("/status");
        if status.as_ref().is_ok_and(|status| status.config.is_some()) {
            return Ok(());
        }
        if began.elapsed() >= longest {
            return status.map(|_| ());
        }
        thread::sleep(LOOK_AGAIN);
    }
}

/// What a reload did, over several lines.
pub(super) fn show(reload: &Reload) -> String {
    let time = printable(&reload.time);
    if let Some(refused) = &reload.refused {
        let problems = reload.problems.trim_end();
        return format!("{problems}\n\nreload refused at {time}: {}", printable(refused));
    }
    let mut text = format!("reloaded at {time}");
    if let Some(config) = &reload.config {
        text.push_str(&format!("\n  in force   {}", in_force(config)));
    }
    for (what, names) in [
        ("started  ", &reload.started),
        ("replaced ", &reload.replaced),
        ("ended    ", &reload.ended),
    ] {
        if !names.is_empty() {
            text.push_str(&format!("\n  {what}  {}", printable(&names.join(", "))));
        }
    }
    for warning in &reload.warnings {
        text.push_str(&format!("\n  warning: {}", printable(warning)));
    }
    for key in &reload.restart {
        text.push_str(&format!("\n  {} needs a restart; all else is in force", printable(key)));
    }
    text
}

/// `0123456789abcdef, generation 2, since …`.
pub(super) fn in_force(config: &InForce) -> String {
    let InForce { hash, generation, since } = config;
    format!("{}, generation {generation}, since {}", printable(hash), printable(since))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_happened_is_shown() {
        let nothing = Reload { time: "12:00".to_owned(), ..Reload::default() };
        assert_eq!(show(&nothing), "reloaded at 12:00");
        let list = |name: &str| vec![name.to_owned(), "b".to_owned()];
        let much =
            Reload { replaced: list("a"), restart: vec!["home".to_owned()], ..nothing.clone() };
        let lines = ["  replaced   a, b", "  home needs a restart; all else is in force"];
        assert_eq!(show(&much).lines().skip(1).collect::<Vec<_>>(), lines);
        let refused = Some("1 error; nothing was changed".to_owned());
        let refused = Reload { refused, problems: "error: no\n ^^\n\n".to_owned(), ..nothing };
        let shown = "error: no\n ^^\n\nreload refused at 12:00: 1 error; nothing was changed";
        assert_eq!(show(&refused), shown);
    }
}
