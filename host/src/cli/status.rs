//! `dispatcher status`: whether the daemon works, with every source and target.

use std::path::Path;
use std::time::Duration;

use super::ask::Ask;
use super::exit::Failure;
use super::{out, reload, terminal};
use crate::admin::wire::Status;
use crate::model::printable;

/// Show whether the daemon works, with each source and target
///
/// The first line sums up. Exits with 1 when something needs attention, such as a target that does
/// not work or a dead letter.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct StatusArgs {
    #[command(flatten)]
    ask: Ask,
    /// Show it again every 2 s, or so many, until Ctrl-C
    #[arg(long, value_name = "SECONDS", num_args = 0..=1, default_missing_value = "2")]
    #[arg(value_parser = clap::value_parser!(u64).range(1..=3_600))]
    watch: Option<u64>,
    /// For scripts
    #[arg(long)]
    json: bool,
}

/// Clears the terminal and goes to its first line.
const CLEAR: &str = "\u{1b}[H\u{1b}[2J";

pub(super) fn run(args: &StatusArgs, config: Option<&Path>) -> Result<bool, Failure> {
    let daemon = args.ask.daemon(config)?;
    let Some(seconds) = args.watch else {
        let status: Status = daemon.get("/status")?;
        if args.json {
            out::json(&status)?;
        } else {
            out::line(&show(&status));
        }
        return Ok(status.well);
    };
    let clear = if terminal::columns().is_some() { CLEAR } else { "" };
    loop {
        // A daemon that restarts is seen again.
        let shown = daemon.get::<Status>("/status");
        let shown = match (&shown, args.json) {
            (Ok(status), true) => Some(serde_json::to_string(status).map_err(Failure::new)?),
            (Ok(status), false) => Some(format!("{clear}{}", show(status))),
            (Err(failure), true) => {
                // Standard output has only JSON.
                out::error(&failure.text);
                None
            }
            (Err(failure), false) => Some(format!("{clear}{}", failure.text)),
        };
        if shown.is_some_and(|shown| !out::is_read(&shown)) {
            return Ok(true);
        }
        std::thread::sleep(Duration::from_secs(seconds));
    }
}

fn show(status: &Status) -> String {
    let never = || "none since the start".to_owned();
    let head = ["SOURCE", "LAST EVENT", "DUPLICATES", "REFUSED", "ADDRESS"];
    let mut sources = vec![head.map(str::to_owned)];
    sources.extend(status.sources.iter().map(|source| {
        let last = source.last_event.clone().unwrap_or_else(|| "none".to_owned());
        let [duplicates, refused] =
            [source.duplicates, source.refused as u64].map(|n| n.to_string());
        [source.name.clone(), last, duplicates, refused, source.address.clone()]
    }));
    let head = ["TARGET", "PENDING", "RETRYING", "DEAD", "LAST DELIVERY", "STATE"];
    let mut targets = vec![head.map(str::to_owned)];
    targets.extend(status.targets.iter().map(|target| {
        let [pending, retrying, dead] =
            [target.pending, target.retrying, target.dead].map(|count| count.to_string());
        let last = target.last_delivery.clone().unwrap_or_else(never);
        [target.name.clone(), pending, retrying, dead, last, target.state.clone()]
    }));
    let mut parts = vec![printable(&status.state), out::table(&sources), out::table(&targets)];
    let mut counters = vec![["TARGET", "COUNTER", "COUNT"].map(str::to_owned)];
    for target in &status.targets {
        let of_target = target.counters.iter();
        counters
            .extend(of_target.map(|(name, n)| [target.name.clone(), name.clone(), n.to_string()]));
    }
    if counters.len() > 1 {
        parts.push(out::table(&counters));
    }
    parts.extend(
        status
            .config
            .as_ref()
            .map(|in_force| format!("configuration {}", reload::in_force(in_force))),
    );
    parts.extend(status.reload.as_ref().map(reload::show));
    parts.join("\n\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admin::wire::{Condition, TargetStatus};

    #[test]
    fn counters_are_shown_only_where_a_plugin_counts() {
        let target = TargetStatus {
            name: "sms".into(),
            state: "works".into(),
            kind: Condition::Works,
            pending: 0,
            retrying: 0,
            dead: 0,
            last_delivery: None,
            last_error: None,
            counters: [("segments_sent".to_owned(), 7)].into(),
        };
        let status = |targets| Status {
            state: "the target works".into(),
            well: true,
            sources: Vec::new(),
            targets,
            config: None,
            reload: None,
            overload: [].into(),
            last_overload: None,
            log_lines_dropped: 0,
        };
        let shown = show(&status(vec![target.clone()]));
        assert!(
            shown.ends_with("TARGET  COUNTER        COUNT\nsms     segments_sent  7"),
            "{shown}"
        );
        let without = TargetStatus { counters: [].into(), ..target };
        assert!(!show(&status(vec![without])).contains("COUNTER"));
    }
}
