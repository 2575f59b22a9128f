//! `dispatcher try`: sends one event to one target, or only asks whether it would accept one.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;

use super::exit::Failure;
use super::{find, out, sample};
use crate::app::{self, Attempt, Probe};
use crate::config::{self, Config, TargetConfig};
use crate::model::{
    EventId, FailureKind, Headers, Receipt, Shape, StoredEvent, Timestamp, printable,
};
use crate::normalize::{self, Input, Sample, Sender};

/// Send one sample event to one target, and show the result
///
/// Loads the target's plugin and delivers one event for real: a text message
/// reaches a phone. Needs no running daemon, stores nothing, ignores the route
/// and tries once. Works for a disabled target, too. Exits with 0 when the event
/// was delivered.
///
/// With --connect it sends nothing: the plugin checks credentials and addresses
/// only. Exits with 0 when the target would accept deliveries, and with 1 when it
/// would not or the plugin cannot tell.
///
///   dispatcher try oncall-sms
///   dispatcher try oncall-sms --connect
///   dispatcher try audit-log --sample sqreen/http_scan
#[derive(Clone, Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(super) struct TryArgs {
    /// The target, by its name in the configuration.
    target: String,
    /// Only check whether the target would accept deliveries; send nothing.
    #[arg(long, conflicts_with = "sample")]
    connect: bool,
    /// A built-in event; default: the first of the target's first source.
    #[arg(long, value_name = "NAME")]
    sample: Option<String>,
}

/// Tries and prints; returns whether the target took, or would take, the event.
pub(super) fn run(args: &TryArgs, config: Option<&Path>) -> Result<bool, Failure> {
    let config = find::load(config)?;
    let target = target(&config, &args.target)?;
    if args.connect {
        return connect(&config, target);
    }
    let (source, sender) = source(&config, target, args.sample.as_deref())?;
    let sample = sample::of(sender, args.sample.as_deref())?;
    let event = Arc::new(event(source, sender, sample)?);
    out::line(&show_target(target));
    let title = printable(&event.attributes.title);
    out::line(&format!("event    {}: {title}", sample.name));
    let attempts = app::attempt(&config, target, &event)
        .map_err(|reason| cannot_try(target, &reason.to_string()))?;
    for attempt in &attempts {
        out::line(&show_attempt(attempt));
    }
    Ok(attempts.iter().all(|attempt| attempt.verdict.is_ok()))
}

fn connect(config: &Config, target: &TargetConfig) -> Result<bool, Failure> {
    out::line(&show_target(target));
    let probes =
        app::connect(config, target).map_err(|reason| cannot_try(target, &reason.to_string()))?;
    for probe in &probes {
        out::line(&show_probe(probe));
    }
    Ok(probes.iter().all(|probe| matches!(probe.verdict, Some(Ok(_)))))
}

/// A reason of several lines is a list.
fn cannot_try(target: &TargetConfig, reason: &str) -> Failure {
    let reason = match reason.contains('\n') {
        true => format!("\n{reason}").replace('\n', "\n  "),
        false => format!(" {reason}"),
    };
    Failure::new(format!("cannot try target `{}`:{reason}", target.name))
}

fn target<'c>(config: &'c Config, name: &str) -> Result<&'c TargetConfig, Failure> {
    config.target(name).ok_or_else(|| {
        let names = || config.targets.iter().map(|target| &*target.name);
        Failure::usage(find::unknown("target", name, names))
    })
}

/// The source that the event seems to come from: one whose sender has the sample, or else the first in
/// the target's route.
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
        Failure::new("no source is configured; choose a sample with --sample SENDER/NAME")
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
    let input = Input::example(&headers, &body);
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

fn show_target(target: &TargetConfig) -> String {
    let disabled = if target.enabled { "" } else { "; disabled, so `run` sends nothing to it" };
    format!("target   {} ({}{disabled})", target.name, printable(&target.plugin))
}

fn show_attempt(attempt: &Attempt) -> String {
    let mut lines = Vec::new();
    lines.extend(attempt.value.iter().map(|value| format!("to       {}", printable(value))));
    match &attempt.verdict {
        Ok(receipt) => {
            lines.push("verdict  delivered".to_owned());
            let fields = show_receipt(receipt).unwrap_or_else(|| "none".to_owned());
            lines.push(format!("receipt  {fields}"));
        }
        Err(failure) => {
            let kind = failure.kind.as_str();
            lines.push(format!("verdict  {kind}: {}", printable(&failure.reason)));
            lines.push(format!("then     {}", consequence(failure.kind, failure.after)));
            if failure.maybe_sent {
                lines.push("         it may have arrived nevertheless".to_owned());
            }
        }
    }
    lines.push(show_time(attempt.took));
    lines.join("\n")
}

fn show_probe(probe: &Probe) -> String {
    let mut lines = Vec::new();
    lines.extend(probe.value.iter().map(|value| format!("to       {}", printable(value))));
    lines.push(match &probe.verdict {
        Some(Ok(_)) => "connect  deliveries would be accepted; nothing was sent".to_owned(),
        Some(Err(failure)) => {
            let (kind, reason) = (failure.kind.as_str(), printable(&failure.reason));
            format!("connect  deliveries would fail ({kind}): {reason}")
        }
        None => "connect  unknown: this plugin cannot check without sending".to_owned(),
    });
    if let Some(Ok(receipt)) = &probe.verdict {
        lines.extend(show_receipt(receipt).map(|fields| format!("answer   {fields}")));
    }
    lines.push(show_time(probe.took));
    lines.join("\n")
}

fn show_receipt(receipt: &Receipt) -> Option<String> {
    let fields = receipt.fields.iter().map(|(name, value)| format!("{name}={value}"));
    let all: Vec<String> = receipt.id.iter().cloned().chain(fields).collect();
    (!all.is_empty()).then(|| printable(&all.join(" ")))
}

/// What the daemon would do after this failure.
fn consequence(kind: FailureKind, after: Option<Duration>) -> String {
    let after = after.map(config::show_duration);
    let time =
        |word: &str| after.as_ref().map_or_else(String::new, |after| format!("{word}{after}"));
    match kind {
        FailureKind::Retry => format!("the daemon would retry it{}", time(" after ")),
        FailureKind::Reject => "the daemon would make it a dead letter".to_owned(),
        FailureKind::Throttled => {
            format!("the daemon would send nothing to this target for a while{}", time(": "))
        }
        FailureKind::Broken => {
            "the daemon would hold all deliveries to this target until `resume`".to_owned()
        }
    }
}

fn show_time(took: Duration) -> String {
    format!("time     {:.1} ms", took.as_secs_f64() * 1000.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Failure as Failed, Verdict};

    fn probe(verdict: Option<Verdict>) -> String {
        show_probe(&Probe { value: None, verdict, took: Duration::from_millis(2) })
    }

    #[test]
    fn a_probe_says_whether_deliveries_would_be_accepted_and_why_not() {
        let receipt = Receipt { id: None, fields: vec![("account".into(), "active".into())] };
        let shown = probe(Some(Ok(receipt)));
        assert!(shown.starts_with("connect  deliveries would be accepted"), "{shown}");
        assert!(shown.contains("\nanswer   account=active\n"), "{shown}");
        let shown = probe(Some(Err(Failed::new(FailureKind::Broken, "401: wrong\ntoken"))));
        let expected = "connect  deliveries would fail (broken): 401: wrong\\ntoken\n";
        assert!(shown.starts_with(expected), "{shown}");
        assert_eq!(
            probe(None),
            "connect  unknown: this plugin cannot check without sending\ntime     2.0 ms"
        );
    }
}
