//! `dispatcher events`: finds stored events, and so the ids that other commands take.

use std::path::Path;
use std::time::SystemTime;

use clap::builder::{PossibleValuesParser, RangedU64ValueParser};

use super::ask::{self, Ask, Daemon};
use super::event_table::table;
use super::exit::Failure;
use super::given::time;
use super::{out, terminal};
use crate::admin::wire::{EventLine, EventPage, FateKind};
use crate::model::{Severity, Timestamp, counted};

/// Events shown unless `--max` says otherwise.
const MAX_DEFAULT: usize = 50;
/// Most events of a table, which is made in memory.
const TABLE_MAX: usize = 10_000;
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
    /// Most events; default: 50. Without --json at most 10,000
    #[arg(long, value_name = "N", default_value_t = MAX_DEFAULT, hide_default_value = true)]
    #[arg(value_parser = RangedU64ValueParser::<usize>::new().range(1..))]
    max: usize,
    /// One JSON object a line
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &EventsArgs, config: Option<&Path>) -> Result<(), Failure> {
    if args.max > TABLE_MAX && !args.json {
        let (given, most) = (args.max, TABLE_MAX);
        return Err(Failure::usage(format!("--max {given}: at most {most} without --json")));
    }
    let daemon = args.ask.daemon(config)?;
    let (mut events, mut notes) = (Vec::new(), Vec::new());
    if args.json {
        let print = |event: EventLine| {
            let text = serde_json::to_string(&event).map_err(Failure::new)?;
            Ok(out::is_read(&text))
        };
        find(args, &daemon, &mut notes, print)?;
    } else {
        let keep = |event| {
            events.push(event);
            Ok(true)
        };
        find(args, &daemon, &mut notes, keep)?;
        let today = Timestamp::from(SystemTime::now()).to_string();
        let today = today.get(..DATE_CHARS).unwrap_or_default();
        out::line(&match events.is_empty() {
            true => "no such events".to_owned(),
            false => table(&events, today, terminal::columns()),
        });
    }
    notes.iter().for_each(|note| out::error(note));
    Ok(())
}

/// Asks for pages until there are enough events, or none is left, or `take` wants no more. `notes`: for standard error.
fn find(
    args: &EventsArgs,
    daemon: &Daemon,
    notes: &mut Vec<String>,
    mut take: impl FnMut(EventLine) -> Result<bool, Failure>,
) -> Result<(), Failure> {
    let (mut left, mut unreadable, mut before) = (args.max, 0, None::<String>);
    let since = args.since.map(|since| since.as_millis().to_string());
    loop {
        let max = left.to_string();
        let query = [
            ("source", args.source.as_deref()),
            ("type", args.r#type.as_deref()),
            ("severity", args.severity.as_deref()),
            ("target", args.target.as_deref()),
            ("state", args.state.as_deref()),
            ("since_ms", since.as_deref()),
            ("text", args.text.as_deref()),
            ("before", before.as_deref()),
            ("max", Some(max.as_str())),
        ];
        let query = query.into_iter().filter_map(|(name, value)| Some((name, value?)));
        let page: EventPage = daemon.get(&ask::path("/events", query))?;
        unreadable += page.unreadable;
        left = left.saturating_sub(page.events.len());
        for event in page.events {
            if !take(event)? {
                return Ok(());
            }
        }
        before = page.next;
        if left == 0 || before.is_none() {
            break;
        }
        if page.is_cut && args.since.is_none() {
            let back_to = page.back_to.unwrap_or_default();
            notes.push(format!("searched back to {back_to}; --since TIME goes further"));
            break;
        }
    }
    if unreadable > 0 {
        let places = counted(unreadable, "place", "places");
        let more = "`dispatcher store check` says more";
        notes.push(format!("{places} of the log cannot be read; {more}"));
    }
    Ok(())
}
