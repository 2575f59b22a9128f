//! `dispatcher events`: finds stored events, and so the ids that other commands take.

use std::path::Path;
use std::time::SystemTime;

use clap::builder::{NonEmptyStringValueParser, PossibleValuesParser, RangedU64ValueParser};

use super::ask::{self, Ask, Daemon};
use super::event_table::table;
use super::exit::Failure;
use super::given::time;
use super::{out, terminal};
use crate::admin::wire::{EventLine, EventPage, FateKind, Unread};
use crate::model::{Severity, Timestamp};

/// Events shown unless `--max` says otherwise.
const MAX_DEFAULT: usize = 50;
/// Most events of a table, which is made in memory.
const TABLE_MAX: usize = 10_000;
/// Without `--since`, most pages with few events of a search for what became of events. Each looks at 1,000 events, and at
/// all that waits for their targets.
const SPARSE_PAGES_MAX: usize = 50;
/// A page with fewer events than that has few.
const SPARSE_EVENTS: usize = 100;
/// Characters of a date in RFC 3339.
const DATE_CHARS: usize = 10;

/// Find stored events, newest first
///
/// In the order of the log: the daemon's own events may be some milliseconds out of order. `show ID` prints the data of one, `explain ID` says what became of it. Times are in UTC; the short form of a
/// terminal leaves out the year, and the date of today.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct EventsArgs {
    #[command(flatten)]
    ask: Ask,
    /// Only of this source
    #[arg(long, value_parser = NonEmptyStringValueParser::new())]
    source: Option<String>,
    /// Only of types that match, such as 'push' or 'pull_request.*'; with ! in front, of others
    #[arg(long, value_name = "PATTERN", value_parser = NonEmptyStringValueParser::new())]
    r#type: Option<String>,
    /// Only of this severity or a worse one: info, warning, error, critical
    #[arg(long, value_name = "MIN", hide_possible_values = true)]
    #[arg(value_parser = PossibleValuesParser::new(Severity::ALL.map(Severity::as_str)))]
    severity: Option<String>,
    /// Only what this target got, or with --state what became of it there
    #[arg(long, value_parser = NonEmptyStringValueParser::new())]
    target: Option<String>,
    /// waiting, retrying, delivered, dead or dropped at a target; or not-routed: to no target, with --target not to that one
    #[arg(long, hide_possible_values = true)]
    #[arg(value_parser = PossibleValuesParser::new(FateKind::ALL.map(FateKind::as_str)))]
    state: Option<String>,
    /// Only what was received since: 2h, 7d or 2026-01-31T08:00:00Z
    #[arg(long, value_name = "TIME", value_parser = time)]
    since: Option<Timestamp>,
    /// Only with this text in the title, type, subject or data, in any case
    #[arg(long, value_parser = NonEmptyStringValueParser::new())]
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
        let unread = find(args, &daemon, &mut notes, keep)?;
        let today = Timestamp::from(SystemTime::now()).to_string();
        let today = today.get(..DATE_CHARS).unwrap_or_default();
        out::line(&match (events.is_empty(), unread.is_nothing()) {
            (true, true) => "no such events".to_owned(),
            (true, false) => "no such events in what can be read".to_owned(),
            (false, _) => table(&events, today, terminal::columns()),
        });
    }
    notes.iter().for_each(|note| out::error(note));
    Ok(())
}

/// Asks for pages until there are enough events, or none is left, or `take` wants no more. `notes`: for standard error.
/// Returns what cannot be read.
fn find(
    args: &EventsArgs,
    daemon: &Daemon,
    notes: &mut Vec<String>,
    mut take: impl FnMut(EventLine) -> Result<bool, Failure>,
) -> Result<Unread, Failure> {
    let (mut left, mut unread, mut before) = (args.max, Unread::default(), None::<String>);
    let mut reach = Reach::default();
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
        left = left.saturating_sub(page.events.len());
        let is_end = reach.add(&page, args.target.is_some() || args.state.is_some());
        unread.add(page.unread);
        for event in page.events {
            if !take(event)? {
                return Ok(unread);
            }
        }
        before = page.next;
        if left == 0 || before.is_none() {
            break;
        }
        if is_end && args.since.is_none() {
            notes.push(reach.note());
            break;
        }
    }
    if !unread.is_nothing() {
        notes.push(unread.to_string());
    }
    Ok(unread)
}

/// How far a search without `--since` has come.
#[derive(Debug, Default)]
struct Reach {
    back_to: Option<String>,
    /// Pages that found few events.
    sparse: usize,
}

impl Reach {
    /// Whether the search ends behind this page. `by_fate`: the page looked at what became of a limited number of events.
    fn add(&mut self, page: &EventPage, by_fate: bool) -> bool {
        self.back_to = page.back_to.clone().or(self.back_to.take());
        self.sparse += usize::from(by_fate && page.events.len() < SPARSE_EVENTS);
        page.is_cut || self.sparse >= SPARSE_PAGES_MAX
    }

    fn note(&self) -> String {
        match &self.back_to {
            Some(back_to) => format!("searched back to {back_to}; --since TIME goes further"),
            None => "searched only the end of the log; --since TIME goes further".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(is_cut: bool, back_to: Option<&str>) -> EventPage {
        let back_to = back_to.map(str::to_owned);
        let unread = Unread::default();
        EventPage { events: Vec::new(), next: None, is_cut, back_to, unread }
    }

    #[test]
    fn a_search_says_how_far_it_came_also_if_its_last_page_had_no_request() {
        let mut reach = Reach::default();
        assert!(reach.add(&page(true, None), false));
        assert!(reach.note().starts_with("searched only the end"), "{}", reach.note());
        assert!(!reach.add(&page(false, Some("2026-01-31")), false));
        assert!(reach.add(&page(true, None), false));
        assert!(reach.note().starts_with("searched back to 2026-01-31;"), "{}", reach.note());
    }

    #[test]
    fn a_search_by_what_became_of_events_ends_after_many_pages_that_found_few() {
        let (mut reach, mut other) = (Reach::default(), Reach::default());
        for pages in 1..=SPARSE_PAGES_MAX {
            assert_eq!(reach.add(&page(false, None), true), pages == SPARSE_PAGES_MAX);
            assert!(!other.add(&page(false, None), false));
        }
    }
}
