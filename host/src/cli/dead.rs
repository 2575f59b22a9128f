//! `dead`, `pause` and `resume`: changing what the running daemon delivers. What would happen is
//! counted and shown before it does.

use std::io::{BufRead as _, IsTerminal as _};
use std::path::Path;
use std::time::SystemTime;

use super::ask::Daemon;
use super::exit::Failure;
use super::{out, see};
use crate::admin::PAGE_MAX;
use crate::admin::wire::{Chosen, Count, DeadPage, Pause, Resume};
use crate::model::{Timestamp, printable};

#[derive(Clone, Debug, clap::Subcommand)]
pub(super) enum DeadCommand {
    /// List dead letters: what is not tried any more, and why
    List {
        /// Only of this target
        #[arg(long)]
        target: Option<String>,
        /// For scripts
        #[arg(long)]
        json: bool,
    },
    /// Tell a dead letter's story, with its data
    Show {
        id: String,
        /// For scripts
        #[arg(long)]
        json: bool,
    },
    /// Deliver dead letters again; attempts start anew
    ///
    /// With --target also any other event that is kept: it is delivered to that target.
    Replay(Choice),
    /// Take dead letters off the list
    Drop(Choice),
}

#[derive(Clone, Debug, clap::Args)]
pub(super) struct Choice {
    /// Ids of events
    #[arg(value_name = "ID", required_unless_present = "all", conflicts_with = "all")]
    ids: Vec<String>,
    /// Only of this target
    #[arg(long)]
    target: Option<String>,
    /// Every dead letter
    #[arg(long)]
    all: bool,
    /// Do not ask
    #[arg(long)]
    yes: bool,
}

/// Make a target's deliveries wait until `resume`
///
/// They are kept; nothing is given up meanwhile. Outlives a restart.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct PauseArgs {
    target: String,
    /// Shown to whoever looks
    #[arg(long, default_value = "")]
    reason: String,
}

/// Let a paused or broken target's deliveries go out
///
/// Shows how many wait. When some do, says whether they are wanted: --held, --since, or the answer to
/// a question at the terminal.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct ResumeArgs {
    target: String,
    /// What waited goes out, too
    #[arg(long)]
    held: bool,
    /// Of what waited, only what came since: 2h, or 2026-01-31T08:00:00Z; the rest is dead letters
    #[arg(long, value_name = "TIME", value_parser = time)]
    since: Option<Timestamp>,
}

impl DeadCommand {
    pub(super) fn run(&self, config: Option<&Path>) -> Result<(), Failure> {
        match self {
            Self::List { target, json } => list(target.as_deref(), *json, config),
            Self::Show { id, json } => see::show(id, true, *json, config),
            Self::Replay(choice) => choice.run("/dead/replay", ["replay", "replayed"], config),
            Self::Drop(choice) => choice.run("/dead/drop", ["drop", "dropped"], config),
        }
    }
}

fn list(target: Option<&str>, json: bool, config: Option<&Path>) -> Result<(), Failure> {
    let query = target.map_or_else(String::new, |target| format!("target={target}&"));
    let page: DeadPage = Daemon::find(config)?.get(&format!("/dead?{query}max={PAGE_MAX}"))?;
    if json {
        return see::json(&page);
    }
    if page.letters.is_empty() {
        out::line("there is no dead letter");
        return Ok(());
    }
    let head = ["EVENT", "TARGET", "COUNT", "ATTEMPTS", "SINCE", "REASON"];
    let mut rows = vec![head.map(str::to_owned)];
    let mut shown = 0;
    for letter in page.letters {
        shown += letter.count;
        let (count, attempts) = (letter.count.to_string(), letter.attempts.to_string());
        rows.push([letter.event, letter.target, count, attempts, letter.time, letter.reason]);
    }
    out::line(&out::table(&rows));
    if shown < page.total {
        out::line(&format!("… and {} more", page.total - shown));
    }
    Ok(())
}

impl Choice {
    fn run(
        &self,
        path: &str,
        [verb, done]: [&str; 2],
        config: Option<&Path>,
    ) -> Result<(), Failure> {
        let daemon = Daemon::find(config)?;
        let chosen = |dry| Chosen {
            target: self.target.clone(),
            events: self.ids.clone(),
            all: self.all,
            dry,
        };
        let Count { count, .. } = daemon.post(path, &chosen(true))?;
        if count == 0 {
            let none = "no dead letter is meant by that; `dispatcher dead list` shows them";
            return if self.all { out_none() } else { Err(Failure::new(none)) };
        }
        if count > 1 && !self.yes {
            let letters = format!("{verb} {count} dead letters");
            confirm(&letters, "add --yes")?;
        }
        let Count { count, .. } = daemon.post(path, &chosen(false))?;
        out::line(&format!("{done}: {count}"));
        Ok(())
    }
}

fn out_none() -> Result<(), Failure> {
    out::line("there is no dead letter");
    Ok(())
}

pub(super) fn pause(args: &PauseArgs, config: Option<&Path>) -> Result<(), Failure> {
    let asked = Pause { target: args.target.clone(), reason: args.reason.clone() };
    let Count { count, .. } = Daemon::find(config)?.post("/pause", &asked)?;
    let target = printable(&args.target);
    out::line(&format!("{target} is paused; {} until `dispatcher resume {target}`", wait(count)));
    Ok(())
}

pub(super) fn resume(args: &ResumeArgs, config: Option<&Path>) -> Result<(), Failure> {
    let daemon = Daemon::find(config)?;
    let since_ms = args.since.map(Timestamp::as_millis);
    let asked = |dry| Resume { target: args.target.clone(), since_ms, dry };
    let Count { count, .. } = daemon.post("/resume", &asked(true))?;
    out::line(&wait(count));
    if count > 0 && !args.held && args.since.is_none() {
        confirm("send them now", "add --held to send them, or --since TIME to skip older ones")?;
    }
    let Count { count, skipped } = daemon.post("/resume", &asked(false))?;
    let target = printable(&args.target);
    let skipped = match skipped {
        0 => String::new(),
        n => format!("; {n} became dead letters"),
    };
    out::line(&format!("{target} is resumed; {count} go out{skipped}"));
    Ok(())
}

fn wait(count: u64) -> String {
    match count {
        0 => "nothing waits".to_owned(),
        1 => "1 delivery waits".to_owned(),
        n => format!("{n} deliveries wait"),
    }
}

/// Asks at the terminal; without one, says what to add to the command.
fn confirm(what: &str, add: &str) -> Result<(), Failure> {
    if !std::io::stdin().is_terminal() {
        return Err(Failure::usage(format!("to {what}, {add}")));
    }
    out::error(&format!("{what}? [y/N]"));
    let mut answer = String::new();
    std::io::stdin().lock().read_line(&mut answer)?;
    if matches!(answer.trim(), "y" | "Y" | "yes") {
        return Ok(());
    }
    Err(Failure::new("nothing was changed"))
}

/// A moment, or how long ago.
fn time(text: &str) -> Result<Timestamp, String> {
    let millis = |millis: i64| u64::try_from(millis).ok().map(Timestamp::from_millis);
    let moment = text.parse::<jiff::Timestamp>().ok().map(jiff::Timestamp::as_millisecond);
    if let Some(moment) = moment {
        return millis(moment).ok_or_else(|| "before 1970".to_owned());
    }
    let ago = text.parse::<jiff::SignedDuration>().map_err(|_| {
        "neither a time such as 2026-01-31T08:00:00Z nor how long ago, such as 2h".to_owned()
    })?;
    let now = Timestamp::from(SystemTime::now()).as_millis();
    let ago = u64::try_from(ago.as_millis()).map_err(|_| "in the future".to_owned())?;
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
