//! `dispatcher dead`: lists, shows, replays and drops dead letters. What would change is counted and
//! shown first.

use std::path::Path;

use clap::builder::NonEmptyStringValueParser;

use super::ask::{self, Ask};
use super::confirm::confirm;
use super::exit::Failure;
use super::explain::{self, ExplainArgs};
use super::out;
use crate::admin::PAGE_MAX;
use crate::admin::wire::{Count, DeadPage, Selection};
use crate::model::printable;

#[derive(Clone, Debug, clap::Subcommand)]
pub(super) enum DeadCommand {
    /// List dead letters: deliveries that were given up, and why
    List(ListArgs),
    /// Show the event of a dead letter, with its data
    Show(ExplainArgs),
    /// Deliver dead letters again, starting with attempt 1
    ///
    /// With --target also any other stored event: it is delivered to that target.
    Replay(ChangeArgs),
    /// Remove dead letters from the list
    Drop(ChangeArgs),
}

#[derive(Clone, Debug, clap::Args)]
pub(super) struct ListArgs {
    #[command(flatten)]
    ask: Ask,
    /// Only of this target
    #[arg(long, value_parser = NonEmptyStringValueParser::new())]
    target: Option<String>,
    /// For scripts
    #[arg(long)]
    json: bool,
}

/// Which dead letters.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct ChangeArgs {
    #[command(flatten)]
    ask: Ask,
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

#[derive(Clone, Copy)]
enum Change {
    Replay,
    Drop,
}

impl Change {
    const fn path(self) -> &'static str {
        match self {
            Self::Replay => "/dead/replay",
            Self::Drop => "/dead/drop",
        }
    }

    const fn verb(self) -> &'static str {
        match self {
            Self::Replay => "replay",
            Self::Drop => "drop",
        }
    }

    const fn done(self) -> &'static str {
        match self {
            Self::Replay => "replayed",
            Self::Drop => "dropped",
        }
    }
}

impl DeadCommand {
    pub(super) fn run(&self, config: Option<&Path>) -> Result<(), Failure> {
        match self {
            Self::List(args) => list(args, config),
            Self::Show(args) => explain::run(args, true, config),
            Self::Replay(args) => change(Change::Replay, args, config),
            Self::Drop(args) => change(Change::Drop, args, config),
        }
    }
}

fn list(args: &ListArgs, config: Option<&Path>) -> Result<(), Failure> {
    let max = PAGE_MAX.to_string();
    let target = args.target.iter().map(|target| ("target", target.as_str()));
    let path = ask::path("/dead", target.chain([("max", max.as_str())]));
    let page: DeadPage = args.ask.daemon(config)?.get(&path)?;
    if let Some(damage) = &page.damage {
        let more = "`dispatcher store check` says more";
        out::error(&format!("dead letters may be missing here: {damage}; {more}"));
    }
    if args.json {
        return out::json(&page);
    }
    if page.letters.is_empty() {
        out::line(NONE);
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

const NONE: &str = "no dead letters";

fn change(change: Change, args: &ChangeArgs, config: Option<&Path>) -> Result<(), Failure> {
    let daemon = args.ask.daemon(config)?;
    let selection = |dry| Selection {
        target: args.target.clone(),
        events: args.ids.clone(),
        all: args.all,
        dry,
    };
    let Count { count, reasons, .. } = daemon.post(change.path(), &selection(true))?;
    if count == 0 && args.all {
        out::line(NONE);
        return Ok(());
    }
    if count == 0 {
        return Err(not_done(&reasons));
    }
    if count > 1 && !args.yes {
        confirm(&format!("{} {count} dead letters", change.verb()), "add --yes")?;
    }
    let Count { count, reasons, .. } = daemon.post(change.path(), &selection(false))?;
    out::line(&format!("{}: {count}", change.done()));
    if reasons.is_empty() { Ok(()) } else { Err(not_done(&reasons)) }
}

/// With these ids nothing was done.
fn not_done(reasons: &[String]) -> Failure {
    let reasons: Vec<String> = reasons.iter().map(|reason| printable(reason)).collect();
    Failure::new(format!(
        "{}\n  `dispatcher dead list` shows the dead letters",
        reasons.join("\n  ")
    ))
}
