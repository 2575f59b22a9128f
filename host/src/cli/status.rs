//! `status`, `tail`, `refused` and `explain`: looking at the running daemon.

use std::path::Path;

use serde_json::Value;

use super::ask::Daemon;
use super::exit::Failure;
use super::{out, reload};
use crate::admin::wire::{EventStory, Explained, Refusal, Status, TargetStory};
use crate::model::printable;

/// Show how the daemon is, and each source and target
///
/// One sentence first. Ends with 1 when something needs a person: a target that does not work, or a
/// dead letter.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct StatusArgs {
    /// For scripts
    #[arg(long)]
    json: bool,
}

/// Follow what comes in and goes out
#[derive(Clone, Debug, clap::Args)]
pub(super) struct TailArgs {
    /// End after so many lines
    #[arg(long, value_name = "N")]
    count: Option<u64>,
    /// A JSON object a line
    #[arg(long)]
    json: bool,
}

/// List the last 100 refused requests of a source, and why
///
/// Kept in memory since the start. `-` as SOURCE shows requests to paths that are no source's.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct RefusedArgs {
    /// Else of all sources
    source: Option<String>,
    /// For scripts
    #[arg(long)]
    json: bool,
}

/// Tell what became of an event, or why a request was refused
///
/// ID is an event's (the daemon's answer and `tail` show it) or a refused request's (`refused` shows
/// it, and the sender has it in x-request-id).
#[derive(Clone, Debug, clap::Args)]
pub(super) struct ExplainArgs {
    id: String,
    /// For scripts
    #[arg(long)]
    json: bool,
}

pub(super) fn status(args: &StatusArgs, config: Option<&Path>) -> Result<bool, Failure> {
    let status: Status = Daemon::find(config)?.get("/status")?;
    if args.json {
        json(&status)?;
    } else {
        out::line(&show_status(&status));
    }
    Ok(status.well)
}

fn show_status(status: &Status) -> String {
    let never = || "not since the start".to_owned();
    let mut sources = vec![["SOURCE", "LAST EVENT", "REFUSED", "ADDRESS"].map(str::to_owned)];
    sources.extend(status.sources.iter().map(|source| {
        let last = source.last_event.clone().unwrap_or_else(never);
        [source.name.clone(), last, source.refused.to_string(), source.address.clone()]
    }));
    let head = ["TARGET", "PENDING", "RETRYING", "DEAD", "LAST DELIVERY", "STATE"];
    let mut targets = vec![head.map(str::to_owned)];
    targets.extend(status.targets.iter().map(|target| {
        let [pending, retrying, dead] =
            [target.pending, target.retrying, target.dead].map(|count| count.to_string());
        let last = target.last_delivery.clone().unwrap_or_else(never);
        [target.name.clone(), pending, retrying, dead, last, target.state.clone()]
    }));
    let state = printable(&status.state);
    let reload = status.reload.as_ref().map(|reload| format!("\n\n{}", reload::show(reload)));
    let (sources, targets) = (out::table(&sources), out::table(&targets));
    format!("{state}\n\n{sources}\n\n{targets}{}", reload.unwrap_or_default())
}

pub(super) fn tail(args: &TailArgs, config: Option<&Path>) -> Result<(), Failure> {
    let mut left = args.count.unwrap_or(u64::MAX);
    if left == 0 {
        return Ok(());
    }
    Daemon::find(config)?.lines("/tail", |line| {
        let read = if args.json {
            out::is_read(line)
        } else {
            out::is_read(
                &serde_json::from_str(line).map_or_else(|_| printable(line), |line| told(&line)),
            )
        };
        left -= 1;
        read && left > 0
    })
}

fn told(line: &Value) -> String {
    let text = |key: &str| {
        let value = &line[key];
        printable(&value.as_str().map_or_else(|| value.to_string(), str::to_owned))
    };
    let time = text("time");
    match line["what"].as_str().unwrap_or_default() {
        "event" => {
            let targets = line["targets"].as_array().map(Vec::as_slice).unwrap_or_default();
            let names: Vec<_> = targets.iter().filter_map(Value::as_str).map(printable).collect();
            let to = if names.is_empty() { "no target".to_owned() } else { names.join(", ") };
            let (id, source) = (text("event"), text("source"));
            let (severity, title) = (text("severity"), text("title"));
            format!("{time} event     {id} {source} → {to}  {severity}: {title}")
        }
        "refused" => {
            let source = line["source"].as_str().map_or_else(|| "-".to_owned(), printable);
            let (status, reason) = (text("status"), text("reason"));
            format!("{time} refused   {} {source} {status} {reason}", text("request"))
        }
        "delivered" => {
            let (id, attempt) = (text("event"), text("attempt"));
            let (target, took) = (text("target"), text("took_ms"));
            format!("{time} delivered {id} → {target}  attempt {attempt}, {took} ms")
        }
        "failed" => {
            let (id, attempt) = (text("event"), text("attempt"));
            let (target, reason) = (text("target"), text("reason"));
            format!("{time} failed    {id} → {target}  attempt {attempt}: {reason}")
        }
        "missed" => format!("{time} … {} were too fast to be shown", text("count")),
        _ => printable(&line.to_string()),
    }
}

pub(super) fn refused(args: &RefusedArgs, config: Option<&Path>) -> Result<(), Failure> {
    let query = match &args.source {
        Some(source) if source.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-') => {
            format!("/refused?source={source}")
        }
        Some(source) => return Err(Failure::usage(format!("{source:?} is no name of a source"))),
        None => "/refused".to_owned(),
    };
    let refusals: Vec<Refusal> = Daemon::find(config)?.get(&query)?;
    if args.json {
        return json(&refusals);
    }
    if refusals.is_empty() {
        out::line("nothing was refused since the start");
        return Ok(());
    }
    let mut rows =
        vec![["TIME", "SOURCE", "FROM", "STATUS", "REQUEST", "REASON"].map(str::to_owned)];
    rows.extend(refusals.into_iter().map(|refusal| {
        let Refusal { time, source, from, status, reason, request } = refusal;
        [time, source, from, status.to_string(), request, reason]
    }));
    out::line(&out::table(&rows));
    Ok(())
}

pub(super) fn explain(args: &ExplainArgs, config: Option<&Path>) -> Result<(), Failure> {
    show(&args.id, false, args.json, config)
}

/// Prints the story of an id, with the event's data if wanted.
pub(super) fn show(
    id: &str,
    data: bool,
    as_json: bool,
    config: Option<&Path>,
) -> Result<(), Failure> {
    if id.is_empty() || !id.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return Err(Failure::usage(format!("{id:?} is no id")));
    }
    let data = if data { "&data=1" } else { "" };
    let explained: Explained = Daemon::find(config)?.get(&format!("/explain?id={id}{data}"))?;
    if as_json {
        return json(&explained);
    }
    out::line(&match explained {
        Explained::Event(story) => show_event(&story),
        Explained::Refusal(Refusal { time, source, from, status, reason, request }) => format!(
            "request {request} from {} to source {} was refused with {status} at {time}: {}\n\
             nothing of it was kept",
            printable(&from),
            printable(&source),
            printable(&reason)
        ),
    });
    Ok(())
}

fn show_event(story: &EventStory) -> String {
    let EventStory { id, received, source, verified, scheme, secret, severity, .. } = story;
    let (source, scheme) = (printable(source), printable(scheme));
    let (title, kind) = (printable(&story.title), printable(&story.event_type));
    let mut lines = vec![
        format!("event {id}"),
        format!("  received  {received} from {source}"),
        format!("  verified  {verified} by scheme {scheme}, secret {secret}"),
        format!("  is        {severity} {kind}: {title}"),
    ];
    if story.targets.iter().all(|target| target.fate == "not-routed") {
        lines.push("  no target was to get it".to_owned());
    }
    for target in &story.targets {
        lines.extend(show_target(target));
    }
    if let Some(data) = &story.data {
        lines.push(format!("  data      {}", printable(data)));
    }
    lines.join("\n")
}

fn show_target(story: &TargetStory) -> Vec<String> {
    let text = printable(&story.text);
    let routed = if story.fate == "not-routed" { "not routed: " } else { "" };
    let mut lines = vec![format!("  → {}  {routed}{text}", printable(&story.target))];
    for attempt in &story.attempts {
        lines.push(format!(
            "      attempt {} at {}: {}: {}",
            attempt.number,
            attempt.time,
            printable(&attempt.verdict),
            printable(&attempt.reason)
        ));
    }
    if let Some(receipt) = &story.receipt {
        lines.push(format!("      receipt {}", printable(receipt)));
    }
    for (name, value) in &story.receipt_fields {
        lines.push(format!("      {}: {}", printable(name), printable(value)));
    }
    lines
}

pub(super) fn json(value: &impl serde::Serialize) -> Result<(), Failure> {
    // JSON escapes control characters by itself.
    out::line(&serde_json::to_string(value).map_err(Failure::new)?);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_senders_text_cannot_steer_the_terminal() {
        let line = serde_json::json!({
            "time": "t", "what": "event", "event": "01", "source": "s", "severity": "error",
            "title": "\u{1b}[2Jx\nforged", "targets": ["a\u{202e}"],
        });
        let shown = told(&line);
        assert!(shown.contains("\\u{1b}[2Jx\\nforged") && !shown.contains('\n'), "{shown}");
        assert!(!shown.chars().any(|c| c.is_control() || c == '\u{202e}'), "{shown}");
    }
}
