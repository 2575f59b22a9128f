//! A list of events in the columns of a terminal.

use super::terminal::{cut, padded, width};
use crate::admin::wire::EventLine;
use crate::model::printable;

const HEAD: [&str; 6] = ["ID", "TIME", "SOURCE", "SEVERITY", "TYPE", "TITLE"];
/// Between two columns.
const GAP: &str = "  ";
/// Where a source and a type are cut at the earliest.
const LEAST: usize = 6;
/// What the title keeps if others can be cut.
const TITLE_LEAST: usize = 20;
/// Length of a date in RFC 3339, and of a time of day in seconds.
const DATE_CHARS: usize = "2021-02-08".len();
const CLOCK_CHARS: usize = "12:45:00".len();

/// One line for each event below a head, without a line break at the end. `today`: the date in UTC, which is left out of times.
/// `columns`: of the terminal; `None`: nothing is cut.
pub(super) fn table(events: &[EventLine], today: &str, columns: Option<usize>) -> String {
    let all_today = events.iter().all(|event| event.received.starts_with(today));
    let rows: Vec<[String; 6]> =
        events.iter().map(|event| row(event, all_today, columns)).collect();
    let rows = std::iter::once(HEAD.map(str::to_owned)).chain(rows).collect::<Vec<_>>();
    let mut widths: [usize; 6] =
        std::array::from_fn(|column| rows.iter().map(|row| width(&row[column])).max().unwrap_or(0));
    if let Some(columns) = columns
        && !fit(&mut widths, columns)
    {
        return stacked(&rows[1..], columns);
    }
    let line = |row: &[String; 6]| {
        let cells = row.iter().zip(widths).map(|(cell, width)| padded(&cut(cell, width), width));
        cells.collect::<Vec<_>>().join(GAP).trim_end().to_owned()
    };
    rows.iter().map(line).collect::<Vec<_>>().join("\n")
}

/// Two lines for each event: the id takes most of a narrow terminal.
fn stacked(rows: &[[String; 6]], columns: usize) -> String {
    let lines = rows.iter().map(|[id, time, source, severity, kind, title]| {
        let rest = [severity, source, kind, title].map(String::as_str).join(" ");
        format!("{id}  {time}\n{GAP}{}", cut(&rest, columns.saturating_sub(GAP.len())))
    });
    lines.collect::<Vec<_>>().join("\n")
}

fn row(event: &EventLine, all_today: bool, columns: Option<usize>) -> [String; 6] {
    let time = match columns {
        None => event.received.clone(),
        Some(_) => short(&event.received, all_today),
    };
    let [source, kind, title] =
        [&event.source, &event.event_type, &event.title].map(|text| printable(text));
    [event.id.clone(), time, source, event.severity.clone(), kind, title]
}

/// `12:45:00`, after month and day unless it is of today.
fn short(time: &str, all_today: bool) -> String {
    let clock = time.get(DATE_CHARS + 1..DATE_CHARS + 1 + CLOCK_CHARS).unwrap_or(time);
    match time.get("2021-".len()..DATE_CHARS).filter(|_| !all_today) {
        Some(date) => format!("{date} {clock}"),
        None => clock.to_owned(),
    }
}

/// Shortens type, source and title until the line fits, if it can. The id is needed whole.
fn fit(widths: &mut [usize; 6], columns: usize) -> bool {
    const SOURCE: usize = 2;
    const KIND: usize = 4;
    const TITLE: usize = 5;
    let gaps = GAP.len() * (HEAD.len() - 1);
    let over = |widths: &[usize; 6]| (widths.iter().sum::<usize>() + gaps).saturating_sub(columns);
    for (column, least) in [(TITLE, TITLE_LEAST), (KIND, LEAST), (SOURCE, LEAST), (TITLE, LEAST)] {
        let spare = widths[column].saturating_sub(least);
        widths[column] -= spare.min(over(widths));
    }
    over(widths) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(day: &str, source: &str, kind: &str, title: &str) -> EventLine {
        EventLine {
            id: "01KB5XG3ZJ0003N0000000400A".to_owned(),
            received: format!("2026-11-{day}T12:45:00.363Z"),
            source: source.to_owned(),
            severity: "critical".to_owned(),
            event_type: kind.to_owned(),
            title: title.to_owned(),
            targets: Vec::new(),
        }
    }

    #[test]
    fn lines_fit_into_the_terminal_and_keep_the_id() {
        let events = [
            event("28", "github", "pull_request.review_requested", "A pull request has a title"),
            event(
                "27",
                "a-source-with-a-long-name",
                "ping",
                "\u{1b}[2J 日本語 日本語 日本語 日本語",
            ),
        ];
        for columns in [78, 80, 100, 120] {
            let shown = table(&events, "2026-11-28", Some(columns));
            for line in shown.lines().skip(1) {
                assert!(width(line) <= columns, "{columns}: {line}");
                assert!(line.starts_with("01KB5XG3ZJ0003N0000000400A  11-2"), "{line}");
            }
        }
        assert_eq!(
            table(&events[..1], "2026-11-28", Some(40)),
            "01KB5XG3ZJ0003N0000000400A  12:45:00\n  critical github pull_request.review_r…"
        );
        let shown = table(&events, "2026-11-28", None);
        assert!(shown.contains("pull_request.review_requested") && !shown.contains('…'), "{shown}");
        assert!(
            shown.contains("2026-11-28T12:45:00.363Z") && shown.contains("\\u{1b}[2J"),
            "{shown}"
        );
    }

    #[test]
    fn the_date_is_left_out_if_all_are_of_today() {
        let events = [event("28", "github", "ping", "Zen")];
        let shown = table(&events, "2026-11-28", Some(80));
        assert_eq!(
            shown,
            "ID                          TIME      SOURCE  SEVERITY  TYPE  TITLE\n\
             01KB5XG3ZJ0003N0000000400A  12:45:00  github  critical  ping  Zen"
        );
        assert!(table(&events, "2026-11-29", Some(80)).contains("  11-28 12:45:00  "));
    }
}
