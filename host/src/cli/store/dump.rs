//! `store dump`.

use std::path::Path;

use serde_json::Value;

use super::bar::Bar;
use super::{DataFolder, failed};
use crate::cli::exit::Failure;
use crate::cli::out;
use crate::model::printable;
use crate::store::embedded::tools::{self, DumpOptions};

/// Show the records of the log, one per line
///
/// Changes nothing and works while the daemon runs.
#[derive(Clone, Debug, clap::Args)]
pub(in crate::cli) struct DumpArgs {
    #[command(flatten)]
    data_folder: DataFolder,
    /// Only of this segment, such as seg-0000000000000000.log
    #[arg(long, value_name = "NAME")]
    segment: Option<String>,
    /// Only from this position in the log, in bytes from its beginning
    #[arg(long, value_name = "LSN", default_value_t = 0)]
    from: u64,
    /// One JSON object per line, with the whole record
    #[arg(long)]
    json: bool,
    /// Include the data of events and the headers of requests, which may contain secrets
    #[arg(long, requires = "json")]
    bodies: bool,
}

pub(super) fn run(args: &DumpArgs, config: Option<&Path>) -> Result<(), Failure> {
    let folder = args.data_folder.path(config)?;
    let options =
        DumpOptions { segment: args.segment.clone(), from_lsn: args.from, bodies: args.bodies };
    // On one terminal, lines and bar would overwrite each other.
    let mut bar =
        (!std::io::IsTerminal::is_terminal(&std::io::stdout())).then(|| Bar::new("reading"));
    let mut progress = |done, all| {
        if let Some(bar) = &mut bar {
            bar.show(done, all);
        }
    };
    let dumped = tools::dump(&folder, &options, &mut progress, &mut |line| {
        out::is_read(&if args.json { line.to_string() } else { show(&line) })
    });
    drop(bar);
    dumped.map_err(failed)
}

/// A record in one line, for people.
fn show(line: &Value) -> String {
    let number = |key: &str| line[key].as_u64().unwrap_or_default();
    let text = |value: &Value| printable(value.as_str().unwrap_or_default());
    let list = |value: &Value| value.as_array().map_or(&[][..], Vec::as_slice).to_vec();
    let kind = line["kind"].as_str().unwrap_or_default();
    let what = match kind {
        "request" => {
            let events = list(&line["events"]);
            let first = events
                .first()
                .map(|event| format!(" {} {}", text(&event["event"]), text(&event["title"])));
            format!(
                "{} from {}, {} events{}",
                text(&line["received"]),
                text(&line["source"]),
                events.len(),
                first.unwrap_or_default()
            )
        }
        "settlements" => {
            let each = list(&line["targets"]).into_iter().map(|target| {
                let (delivered, others) = (list(&target["delivered"]), list(&target["others"]));
                format!(
                    "{}: {} delivered, {} others",
                    text(&target["target"]),
                    delivered.len(),
                    others.len()
                )
            });
            format!("{} {}", text(&line["at"]), each.collect::<Vec<_>>().join("; "))
        }
        "damage" => text(&line["what"]),
        "registry" => printable(&line["targets"].to_string()),
        "checkpoint" => format!("{} targets", list(&line["targets"]).len()),
        _ if line["record"].is_object() => {
            format!("{} {}", text(&line["target"]), printable(&line["record"].to_string()))
        }
        _ => String::new(),
    };
    let place =
        format!("{:>12} {} {:>9}", number("lsn"), text(&line["segment"]), number("offset_bytes"));
    format!("{place} {:>8} {kind:<11} {what}", number("frame_bytes")).trim_end().to_owned()
}
