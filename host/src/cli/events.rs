//! `dispatcher events`: finds stored events, and so the ids that other commands take.

use std::path::Path;
use std::time::SystemTime;

use clap::builder::PossibleValuesParser;

use super::ask::{self, Ask, Daemon};
use super::event_table::table;
use super::exit::Failure;
use super::given::time;
use super::{out, terminal};
use crate::admin::wire::{EventLine, EventPage, FateKind};
use crate::model::{Severity, Timestamp, counted};

/// Events shown unless `--max` says otherwise.
const MAX_DEFAULT: usize = 50;
/// Characters of a date in RFC 3339.
const DATE_CHARS: usize = 10;

/// Find stored events, newest first
///
/// `show ID` prints the data of one, `explain ID` says what became of it. Times are in UTC; the short form of a
/// terminal leaves out the year, and the date of today.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct EventsArgs {
    #[command(flatten)]
    ask: Ask,
    /// Only of this source
    #[arg(long)]
    source: Option<String>,
    /// Only of types that match, such as 'push' or 'pull_request.*'; with ! in front, of others
    #[arg(long, value_name = "PATTERN")]
    r#type: Option<String>,
    /// Only of this severity or a worse one: info, warning, error, critical
    #[arg(long, value_name = "MIN", hide_possible_values = true)]
    #[arg(value_parser = PossibleValuesParser::new(Severity::ALL.map(Severity::as_str)))]
    severity: Option<String>,
    /// Only what this target got, or with --state what became of it there
    #[arg(long)]
    target: Option<String>,
    /// waiting, retrying, delivered, dead, dropped or not-routed, at any target
    #[arg(long, hide_possible_values = true)]
    #[arg(value_parser = PossibleValuesParser::new(FateKind::ALL.map(FateKind::as_str)))]
    state: Option<String>,
    /// Only what was received since: 2h, or 2026-01-31T08:00:00Z
    #[arg(long, value_name = "TIME", value_parser = time)]
    since: Option<Timestamp>,
    /// Only with this text in the title or the data, in any case
    #[arg(long)]
    text: Option<String>,
    /// Most events; default: 50
    #[arg(long, value_name = "N", default_value_t = MAX_DEFAULT, hide_default_value = true)]
    max: usize,
    /// One JSON object a line
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &EventsArgs, config: Option<&Path>) -> Result<(), Failure> {
    let found = find(args, &args.ask.daemon(config)?)?;
    if args.json {
        found.events.iter().try_for_each(out::json)?;
    } else if found.events.is_empty() {
        out::line("no such events");
    } else {
        let today = Timestamp::from(SystemTime::now()).to_string();
        let today = today.get(..DATE_CHARS).unwrap_or_default();
        out::line(&table(&found.events, today, terminal::columns()));
    }
    found.notes.iter().for_each(|note| out::error(note));
    Ok(())
}

struct Found {
    events: Vec<EventLine>,
    /// For standard error.
    notes: Vec<String>,
}

fn find(args: &EventsArgs, daemon: &Daemon) -> Result<Found, Failure> {
    let (mut found, mut unreadable) = (Found { events: Vec::new(), notes: Vec::new() }, 0);
    let mut before = None;
    while found.events.len() < args.max {
        let left = (args.max - found.events.len()).to_string();
        let since = args.since.map(|since| since.as_millis().to_string());
        let query = [
            ("source", args.source.as_deref()),
            ("type", args.r#type.as_deref()),
            ("severity", args.severity.as_deref()),
            ("target", args.target.as_deref()),
            ("state", args.state.as_deref()),
            ("since_ms", since.as_deref()),
            ("text", args.text.as_deref()),
            ("before", before.as_deref()),
            ("max", Some(left.as_str())),
        ];
        let query = query.into_iter().filter_map(|(name, value)| Some((name, value?)));
        let page: EventPage = daemon.get(&ask::path("/events", query))?;
        found.events.extend(page.events);
        unreadable += page.unreadable;
        before = page.next;
        if before.is_none() {
            break;
        }
        if page.is_cut && args.since.is_none() {
            let back_to = page.back_to.unwrap_or_default();
            found.notes.push(format!("searched back to {back_to}; --since TIME goes further"));
            break;
        }
    }
    if unreadable > 0 {
        let places = counted(unreadable, "place", "places");
        found.notes.push(format!(
            "{places} of the log cannot be read; `dispatcher store check` says more"
        ));
    }
    Ok(found)
}
