//! Target plugin `twilio-sms`: sends one SMS for a digest of events, by Twilio's REST API.
//!
//! The text is the target's message, which includes the count of events; it is cut to a number of segments. A
//! response with a `sid` means that Twilio has accepted the message, not that it has reached a phone.
//!
//! The daemon makes each number in `to` a recipient with deliveries of its own. If a call has several numbers
//! nevertheless, each gets its message once: the verdict is the worst failure, and its progress says which
//! numbers already have the message.
//!
//! Twilio has no idempotency key. A request without a response may have become an SMS: it is marked as maybe
//! sent, and the target's `retry.maybe_sent` decides whether it is sent again.

#![deny(unsafe_code)]

mod alphabet;
mod recipients;
mod settings;
mod sid;
mod text;
mod verdict;

use dispatcher_plugin_api::RequestBuilder;
use dispatcher_plugin_api::prelude::*;

use recipients::Done;
pub use settings::Settings;
use settings::{Checked, ProbeResource};
use verdict::{Kind, SendFailure, Sent};

/// Most failures of recipients that one reason lists.
const REASONS_MAX: usize = 3;
const USER_AGENT: &str = concat!("dispatcher-twilio-sms/", env!("CARGO_PKG_VERSION"));

/// A Twilio account with a sender and its recipients.
#[derive(Debug)]
pub struct TwilioSms {
    settings: Checked,
    host: Host,
}

impl Target for TwilioSms {
    type Settings = Settings;

    fn create(settings: Settings, host: Host) -> Result<Self, Invalid> {
        Ok(Self { settings: settings.checked()?, host })
    }

    /// Reads the account, or the list of messages where there is an API key. Sends no SMS.
    async fn probe(&self) -> Option<Verdict> {
        let resource = &self.settings.probe;
        let url = match resource {
            ProbeResource::Account(url) => url.as_str(),
            ProbeResource::Messages(url) => url,
        };
        let answer = match self.with_credentials(self.host.get(url)).send().await {
            Ok(answer) => answer,
            Err(error) => return Some(Err(error.into())),
        };
        let (status, after) = (answer.status(), answer.retry_after());
        let outcome = verdict::read_probe(resource, status, after, answer.body())?;
        Some(match outcome {
            Ok(()) => Ok(Receipt::none()),
            Err(failure) => Err(failure.into()),
        })
    }
}

impl Together for TwilioSms {
    async fn deliver(&self, digest: Digest<'_>) -> Verdict {
        let otherwise = match digest.events().iter().next() {
            Some(event) => format!("{} {}", event.event_type(), event.id()),
            None => format!("event {}", digest.key()),
        };
        let text =
            text::compose(digest.message(), digest.count(), &otherwise, self.settings.segments_max);
        let mut done = Done::read(digest.progress());
        let (mut sent, mut failed) = (Vec::new(), Vec::new());
        for number in &self.settings.to {
            if done.has(number) {
                continue;
            }
            match self.send(number, &text).await {
                Ok(message) => {
                    done.add(number);
                    sent.push((number.as_str(), message));
                }
                Err(failure) => {
                    // Throttling or a wrong account would fail the other numbers too.
                    let affects_all = failure.kind >= Kind::Throttled;
                    failed.push((number.as_str(), failure));
                    if affects_all {
                        break;
                    }
                }
            }
        }
        if failed.is_empty() {
            return Ok(receipt(&sent, text::segments(&text)));
        }
        // A failed attempt has no receipt, so log what was sent.
        for (number, message) in &sent {
            let fields: [(&str, &dyn std::fmt::Display); 2] =
                [("to", number), ("sid", &message.sid)];
            self.host.log(Level::Info, "message sent, but not to all recipients", &fields);
        }
        Err(failure(&failed, self.settings.to.len(), done.bytes(&self.settings.to)))
    }
}

impl TwilioSms {
    async fn send(&self, number: &str, text: &str) -> Result<Sent, SendFailure> {
        let Checked { url, sender, .. } = &self.settings;
        let request = self.with_credentials(self.host.post(url)).form([
            ("To", number),
            sender.field(),
            ("Body", text),
        ]);
        match request.send().await {
            Ok(answer) => {
                verdict::read(answer.status(), answer.retry_after(), answer.body(), answer.cut())
            }
            Err(error) => Err(SendFailure {
                kind: Kind::Retry,
                reason: error.to_string(),
                after: None,
                maybe_sent: !matches!(error, HttpError::NotSent(_)),
            }),
        }
    }
}

impl TwilioSms {
    fn with_credentials(&self, request: RequestBuilder) -> RequestBuilder {
        let Checked { user, password, .. } = &self.settings;
        request
            .basic(user, password.expose())
            .header("accept", "application/json")
            .header("user-agent", USER_AGENT)
    }
}

impl From<SendFailure> for Failure {
    fn from(failed: SendFailure) -> Self {
        let SendFailure { kind, reason, after, maybe_sent } = failed;
        let failure = match kind {
            Kind::Reject => Self::reject(reason),
            Kind::Throttled => Self::throttled(reason, after),
            Kind::Broken => Self::broken(reason),
            Kind::Retry => Self::retry(reason),
        };
        let failure = match after {
            Some(after) => failure.after(after),
            None => failure,
        };
        if maybe_sent { failure.maybe_sent() } else { failure }
    }
}

/// The id of the first message; the ids of further ones are in the fields.
fn receipt(sent: &[(&str, Sent)], segments: usize) -> Receipt {
    let Some(((number, first), others)) = sent.split_first() else { return Receipt::none() };
    let segments = first.segments.unwrap_or(segments as u64);
    let mut receipt = Receipt::id(&first.sid).with("to", number).with("segments", segments);
    if let Some(cut) = &first.cut {
        receipt = receipt.with("response", cut);
    }
    if let Some(status) = &first.status {
        receipt = receipt.with("status", status);
    }
    others.iter().fold(receipt, |receipt, (number, sent)| receipt.with(number, &sent.sid))
}

/// The verdict for all recipients: the worst failure.
fn failure(failed: &[(&str, SendFailure)], recipients: usize, progress: Vec<u8>) -> Failure {
    let mut reasons: Vec<_> = failed
        .iter()
        .take(REASONS_MAX)
        .map(|(number, failure)| format!("to {number}: {}", failure.reason))
        .collect();
    if let more @ 1.. = failed.len().saturating_sub(REASONS_MAX) {
        reasons.push(format!("and {more} more"));
    }
    let mut reason = reasons.join("; ");
    if recipients > 1 {
        reason = format!("{} of {recipients} recipients failed: {reason}", failed.len());
    }
    let worst = SendFailure {
        kind: failed.iter().map(|(_, failure)| failure.kind).max().unwrap_or(Kind::Retry),
        reason,
        after: failed.iter().filter_map(|(_, failure)| failure.after).max(),
        maybe_sent: failed.iter().any(|(_, failure)| failure.maybe_sent),
    };
    Failure::from(worst).progress(progress)
}

export_target!(
    TwilioSms,
    name = "twilio-sms",
    together,
    description = "Sends SMS by Twilio",
    fan_out = "to"
);

#[cfg(test)]
mod tests;
