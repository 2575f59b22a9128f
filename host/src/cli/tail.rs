//! `dispatcher tail`: follows what the daemon receives and delivers.

use std::path::Path;
use std::time::SystemTime;

use clap::builder::RangedU64ValueParser;

use super::ask::{self, Ask};
use super::exit::Failure;
use super::out;
use crate::admin::wire::TailLine;
use crate::model::{Timestamp, counted, printable};

/// Follow what is received and delivered
///
/// Begins with the last ten events and refusals.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct TailArgs {
    #[command(flatten)]
    ask: Ask,
    /// End after this many lines of what happens from now on
    #[arg(long, value_name = "N", value_parser = RangedU64ValueParser::<u64>::new().range(1..))]
    count: Option<u64>,
    /// Begin with so many lines of before, at most 100; default: 10, with --json 0
    #[arg(long, value_name = "N", value_parser = RangedU64ValueParser::<usize>::new().range(..=LAST_MAX))]
    last: Option<usize>,
    /// One JSON object a line
    #[arg(long)]
    json: bool,
}

/// Most lines of before that the daemon sends.
const LAST_MAX: u64 = crate::admin::LAST_MAX as u64;
/// Lines of before that people see.
const LAST_DEFAULT: usize = 10;

pub(super) fn run(args: &TailArgs, config: Option<&Path>) -> Result<(), Failure> {
    let mut left = args.count.unwrap_or(u64::MAX);
    let began = Timestamp::from(SystemTime::now()).to_string();
    let last = args.last.unwrap_or(if args.json { 0 } else { LAST_DEFAULT }).to_string();
    args.ask.daemon(config)?.lines(&ask::path("/tail", [("last", last.as_str())]), |text| {
        let line = serde_json::from_str::<TailLine>(text);
        let is_of_before = line.as_ref().is_ok_and(|line| {
            matches!(line, TailLine::Incomplete { .. }) || line.time() < began.as_str()
        });
        let is_read = if args.json { out::is_read(text) } else { out::is_read(&show(text)) };
        left -= u64::from(!is_of_before);
        is_read && left > 0
    })
}

/// One line for people; no text of a sender can steer the terminal.
fn show(line: &str) -> String {
    let text = match serde_json::from_str(line) {
        Ok(line) => words(line),
        Err(_) => format!("unknown line (is the daemon newer than this program?): {line}"),
    };
    printable(&text)
}

fn words(line: TailLine) -> String {
    match line {
        TailLine::Event { time, source, event, severity, title, duplicate: true, .. } => {
            format!("{time} duplicate {event} {source}, not delivered again  {severity}: {title}")
        }
        TailLine::Event { time, source, event, severity, title, targets, .. } => {
            let to = if targets.is_empty() { "no target".to_owned() } else { targets.join(", ") };
            format!("{time} event     {event} {source} → {to}  {severity}: {title}")
        }
        TailLine::Refused { time, request, source, status, reason } => {
            let source = source.as_deref().unwrap_or("-");
            format!("{time} refused   {request} {source} {status} {reason}")
        }
        TailLine::Delivered { time, target, event, attempt, took_ms } => {
            format!("{time} delivered {event} → {target}  attempt {attempt}, {took_ms} ms")
        }
        TailLine::Failed { time, target, event, attempt, reason } => {
            format!("{time} failed    {event} → {target}  attempt {attempt}: {reason}")
        }
        TailLine::Missed { time, count } => {
            format!("{time} … {} skipped", counted(count, "line", "lines"))
        }
        TailLine::Incomplete { time, reason } => {
            format!("{time} … earlier events may be missing: {reason}")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_senders_text_cannot_steer_the_terminal() {
        let line = serde_json::json!({
            "time": "t", "what": "event", "request": "r", "event": "01", "source": "s",
            "severity": "error", "title": "\u{1b}[2Jx\nforged", "targets": ["a\u{202e}"],
        });
        let shown = show(&line.to_string());
        assert!(shown.contains("\\u{1b}[2Jx\\nforged") && !shown.contains('\n'), "{shown}");
        assert!(!shown.chars().any(|c| c.is_control() || c == '\u{202e}'), "{shown}");
    }

    #[test]
    fn a_duplicate_is_marked_and_names_no_target() {
        let line = |duplicate: bool| {
            serde_json::json!({
                "time": "t", "what": "event", "request": "r", "event": "01", "source": "s",
                "severity": "error", "title": "x", "targets": ["a"], "duplicate": duplicate,
            })
        };
        assert_eq!(show(&line(false).to_string()), "t event     01 s → a  error: x");
        let marked = show(&line(true).to_string());
        assert_eq!(marked, "t duplicate 01 s, not delivered again  error: x");
    }

    #[test]
    fn skipped_lines_are_counted_and_an_unknown_line_is_shown_as_it_came() {
        let shown = show(r#"{"what":"missed","time":"t","count":5}"#);
        assert_eq!(shown, "t … 5 lines skipped");
        let shown = show(r#"{"what":"incomplete","time":"t","reason":"a\nb"}"#);
        assert_eq!(shown, "t … earlier events may be missing: a\\nb");
        for line in [r#"{"what":"sneezed","time":"t"}"#, "\u{1b}"] {
            let shown = show(line);
            assert!(
                shown.starts_with("unknown line") && shown.ends_with(&printable(line)),
                "{shown}"
            );
        }
    }
}
