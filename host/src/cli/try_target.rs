//! `dispatcher try`: does a target let us in?

use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;

use super::exit::Failure;
use super::{find, out, sample};
use crate::app::{self, Attempt};
use crate::config::{self, Config, TargetConfig};
use crate::model::{EventId, FailureKind, Headers, Shape, StoredEvent, Timestamp, printable};
use crate::normalize::{self, Input, Repetition, Sample, Sender};

/// Send one sample event to one target, and show its answer
///
/// Loads the target's plugin and gives it one event, for real: a text message arrives on a telephone.
/// Needs no running daemon, stores nothing, asks no route and tries once. A disabled target can be
/// tried too. Ends with 0 when the event was delivered.
///
///   dispatcher try oncall-sms
///   dispatcher try audit-log --sample sqreen/http_scan
#[derive(Clone, Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(super) struct TryArgs {
    /// The target, by its name in the configuration.
    target: String,
    /// A built-in event; the first of the target's first source without this.
    #[arg(long, value_name = "NAME")]
    sample: Option<String>,
}

/// Tries and prints; gives whether it was delivered.
pub(super) fn run(args: &TryArgs, config: Option<&Path>) -> Result<bool, Failure> {
    let config = find::load(config)?;
    let target = target(&config, &args.target)?;
    let (source, sender) = source(&config, target, args.sample.as_deref())?;
    let sample = sample::of(sender, args.sample.as_deref())?;
    let event = Arc::new(event(source, sender, sample)?);
    out::line(&head(target, sample, &event));
    let attempts = app::attempt(&config, target, &event).map_err(|reason| {
        // Several lines are a list.
        let reason = match reason.contains('\n') {
            true => format!("\n{reason}").replace('\n', "\n  "),
            false => format!(" {reason}"),
        };
        Failure::new(format!("target `{}` cannot be tried:{reason}", target.name))
    })?;
    for attempt in &attempts {
        out::line(&show(attempt));
    }
    Ok(attempts.iter().all(|attempt| attempt.verdict.is_ok()))
}

fn target<'c>(config: &'c Config, name: &str) -> Result<&'c TargetConfig, Failure> {
    config.target(name).ok_or_else(|| {
        let names = || config.targets.iter().map(|target| &*target.name);
        let meant = config::near(name, names()).map(|near| format!("; did you mean `{near}`?"));
        let (meant, name) = (meant.unwrap_or_default(), printable(name));
        Failure::usage(format!("no target `{name}`{meant} (targets are {})", config::list(names())))
    })
}

/// The source that the event seems to be from: one whose sender has the sample, and else the first that
/// the target's route names.
fn source<'c>(
    config: &'c Config,
    target: &'c TargetConfig,
    sample: Option<&str>,
) -> Result<(&'c str, &'c Sender), Failure> {
    let sources = || config.ingest.sources.iter();
    if let Some((sender, _)) = sample.and_then(config::vendors::sample) {
        let from = sources().find(|source| source.sender.name == sender.name);
        return Ok((from.map_or(&sender.name, |source| &source.name), sender));
    }
    let routed = target.route.rules.iter().flat_map(|rule| &rule.sources).next();
    let named = routed.and_then(|name| sources().find(|source| source.name == *name));
    let source = named.or_else(|| sources().next());
    source.map(|source| (&*source.name, &*source.sender)).ok_or_else(|| {
        Failure::new("no source is configured: name a sample with --sample SENDER/NAME")
    })
}

/// The sample's first event, as it would be stored.
fn event(source: &str, sender: &Sender, sample: &'static Sample) -> Result<StoredEvent, Failure> {
    let (fields, body) = sample::fresh(sample)?;
    let (mut headers, body) = (http::HeaderMap::new(), Bytes::from(body));
    for (name, value) in &fields {
        if let Ok(value) = value.parse() {
            headers.insert(*name, value);
        }
    }
    let input =
        Input { headers: &headers, query: None, body: &body, repetition: Repetition::Unknown };
    let events = normalize::normalize(sender, input)
        .map_err(|malformed| Failure::new(format!("sample {}: {malformed}", sample.name)))?;
    let event = events.into_iter().find(|event| event.shape == Shape::Object);
    let event = event.ok_or_else(|| Failure::new(format!("sample {} is empty", sample.name)))?;
    let received_at = Timestamp::from(SystemTime::now());
    Ok(StoredEvent {
        id: EventId::new(received_at, 0, 0),
        source: source.into(),
        received_at,
        headers: Arc::new(Headers::default()),
        attributes: event.attributes,
        data: event.data,
    })
}

fn head(target: &TargetConfig, sample: &Sample, event: &StoredEvent) -> String {
    let disabled =
        if target.enabled { "" } else { "; enabled = false, so that `run` sends nothing to it" };
    format!(
        "target   {} ({}{disabled})\nevent    {}: {}",
        target.name,
        printable(&target.plugin),
        sample.name,
        printable(&event.attributes.title)
    )
}

fn show(attempt: &Attempt) -> String {
    let mut lines = Vec::new();
    if let Some(value) = &attempt.value {
        lines.push(format!("to       {}", printable(value)));
    }
    match &attempt.verdict {
        Ok(receipt) => {
            lines.push("verdict  delivered".to_owned());
            let fields = receipt.fields.iter().map(|(name, value)| format!("{name}={value}"));
            let all: Vec<String> = receipt.id.iter().cloned().chain(fields).collect();
            let all = if all.is_empty() { "none given".to_owned() } else { all.join(" ") };
            lines.push(format!("receipt  {}", printable(&all)));
        }
        Err(failure) => {
            let kind = failure.kind.as_str();
            lines.push(format!("verdict  {kind}: {}", printable(&failure.reason)));
            let after = failure.after.map(config::show_duration);
            let wait = |word: &str| {
                after.as_ref().map_or_else(String::new, |after| format!("{word}{after}"))
            };
            let then = match failure.kind {
                FailureKind::Retry => format!("the daemon would try it again{}", wait(" after ")),
                FailureKind::Reject => "the daemon would keep it as a dead letter".to_owned(),
                FailureKind::Throttled => {
                    format!("the daemon would send nothing to it for a while{}", wait(": "))
                }
                FailureKind::Broken => {
                    "the daemon would stop sending to it and keep everything".to_owned()
                }
            };
            lines.push(format!("then     {then}"));
            if failure.maybe_sent {
                lines.push("         it may have arrived all the same".to_owned());
            }
        }
    }
    lines.push(format!("time     {:.1} ms", attempt.took.as_secs_f64() * 1000.0));
    lines.join("\n")
}
