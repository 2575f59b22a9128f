//! `dispatcher show`: the data of an event, as its sender sent it.

use std::io::{IsTerminal as _, Write as _};
use std::path::Path;

use super::ask::{self, Ask};
use super::exit::Failure;
use super::out;
use super::pretty::pretty;
use crate::model::printable;

/// Print the data of an event
///
/// As it was sent, with its spaces and numbers as they were; text in another encoding is in UTF-8, without a byte order
/// mark. At a terminal, JSON is indented and control characters are escaped.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct ShowArgs {
    #[command(flatten)]
    ask: Ask,
    /// An event; `events` shows ids
    id: String,
    /// The bytes as they are stored, also at a terminal
    #[arg(long)]
    raw: bool,
}

pub(super) fn run(args: &ShowArgs, config: Option<&Path>) -> Result<(), Failure> {
    let data = args.ask.daemon(config)?.bytes(&ask::path("/data", [("id", args.id.as_str())]))?;
    let mut output = std::io::stdout();
    if args.raw || !output.is_terminal() {
        out::keep(output.write_all(&data).and_then(|()| output.flush()));
        return Ok(());
    }
    out::line(&match std::str::from_utf8(&data) {
        Ok(text) => for_people(text),
        Err(_) => format!("not text: {} bytes; --raw prints them as they are", data.len()),
    });
    Ok(())
}

/// A tab indents lines of XML and forms; it cannot do harm.
const TAB: &str = "    ";

fn for_people(text: &str) -> String {
    let pretty = pretty(text);
    let text = pretty.as_deref().unwrap_or(text);
    let shown = text.lines().map(|line| printable(&line.replace('\t', TAB)));
    shown.collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_indented_and_no_text_can_steer_the_terminal() {
        for (text, shown) in [
            (r#"{"a":1}"#, "{\n  \"a\": 1\n}"),
            ("plain\r\ntext \u{1b}[2J", "plain\ntext \\u{1b}[2J"),
            ("<a>\n\t<b>é</b>\u{7}\n</a>", "<a>\n    <b>é</b>\\u{7}\n</a>"),
            ("\"\u{202e}x\"", "\"\\u{202e}x\""),
        ] {
            assert_eq!(for_people(text), shown);
        }
    }
}
