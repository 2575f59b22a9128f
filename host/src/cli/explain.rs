//! `dispatcher explain`: what happened to an event, or why a request was refused.

use std::path::Path;

use super::ask::{self, Ask};
use super::exit::Failure;
use super::out;
use crate::admin::wire::{EventStory, Explained, FateKind, Refusal, TargetStory};
use crate::model::{OWN_SOURCE, printable};

/// Explain what happened to an event, or why a request was refused
///
/// ID is that of an event (in the daemon's answer and in `tail`) or of a refused request (in `refused`,
/// and in the header x-request-id of the answer to the sender).
#[derive(Clone, Debug, clap::Args)]
pub(super) struct ExplainArgs {
    #[command(flatten)]
    pub(super) ask: Ask,
    /// An event, or a refused request
    pub(super) id: String,
    /// For scripts
    #[arg(long)]
    pub(super) json: bool,
}

/// `with_data`: print the event's data, too.
pub(super) fn run(
    args: &ExplainArgs,
    with_data: bool,
    config: Option<&Path>,
) -> Result<(), Failure> {
    let id = &args.id;
    if id.is_empty() || !id.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return Err(Failure::usage(format!("{id:?} is not a valid id")));
    }
    let data = with_data.then_some(("data", "1"));
    let path = ask::path("/explain", [("id", id.as_str())].into_iter().chain(data));
    let explained: Explained = args.ask.daemon(config)?.get(&path)?;
    if args.json {
        return out::json(&explained);
    }
    out::line(&match explained {
        Explained::Event(story) => show_event(&story),
        Explained::Refusal(refusal) => show_refusal(&refusal),
    });
    Ok(())
}

fn show_refusal(refusal: &Refusal) -> String {
    let Refusal { time, source, from, status, reason, request } = refusal;
    format!(
        "request {request} from {} to source {} was refused with {status} at {time}: {}\n\
         nothing of it was stored",
        printable(from),
        printable(source),
        printable(reason)
    )
}

fn show_event(story: &EventStory) -> String {
    let EventStory { id, received, source, verified, scheme, secret, severity, .. } = story;
    let (source, scheme) = (printable(source), printable(scheme));
    let (title, kind) = (printable(&story.title), printable(&story.event_type));
    // No sender can have this source.
    let verified_line = if source == OWN_SOURCE {
        "  verified  not needed: the daemon made it".to_owned()
    } else {
        format!("  verified  {verified} by scheme {scheme}, secret {secret}")
    };
    let mut lines = vec![
        format!("event {id}"),
        format!("  received  {received} from {source}"),
        verified_line,
        format!("  content   {severity} {kind}: {title}"),
    ];
    if story.targets.iter().all(|target| target.fate == FateKind::NotRouted) {
        lines.push("  routed to no target".to_owned());
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
    let fate = match story.fate {
        FateKind::NotRouted => "not routed: ",
        // The text begins with the fate.
        FateKind::Waiting
        | FateKind::Retrying
        | FateKind::Delivered
        | FateKind::Dead
        | FateKind::Dropped => "",
    };
    let mut lines = vec![format!("  → {}  {fate}{text}", printable(&story.target))];
    for attempt in &story.attempts {
        if attempt.replayed {
            lines.push("      replayed: attempts count from one again".to_owned());
        }
        let reason = match attempt.reason.as_str() {
            "" => String::new(),
            reason => format!(": {}", printable(reason)),
        };
        lines.push(format!(
            "      attempt {} at {}: {}{reason}{}",
            attempt.number,
            attempt.time,
            printable(&attempt.verdict),
            if attempt.uncounted { " (not counted)" } else { "" },
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
