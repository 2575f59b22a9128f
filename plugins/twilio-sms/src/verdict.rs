//! The meaning of Twilio's response to a new message: accepted, or a kind of failure.
//!
//! The HTTP status decides whether to retry, because Twilio splits and renames its codes. A code decides only
//! within 4xx, where the status says too little: whether the cause is the recipient, the account and its
//! sender, or the rate. An unknown code affects only the one message, and rejects it only with a status that says that
//! the same request would get the same answer. Any other answer may come from a proxy, so the message is sent again.
//!
//! Responses are not trusted: any bytes are read without a panic, and a failure quotes little of them.

use std::time::Duration;

use dispatcher_plugin_api::serde_json::{self, Value};

use crate::settings::ProbeResource;
use crate::sid::is_sid;

/// A longer response is ignored: Twilio's have about 1 kB. The daemon reads no more than this.
const ANSWER_BYTES_MAX: usize = 1024 * 1024;
/// Most characters of Twilio's message that a reason quotes.
const MESSAGE_CHARS_MAX: usize = 300;
/// Twilio's words are shorter. A longer one may repeat what was sent, including credentials.
const WORD_BYTES_MAX: usize = 80;
/// Longest status that a receipt stores.
const STATUS_BYTES_MAX: usize = 32;
/// Where Twilio explains its codes.
const HELP: &str = "https://www.twilio.com/docs/";
const HELP_BYTES_MAX: usize = 120;

/// Twilio has accepted the message, but not delivered it yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Sent {
    /// Empty if the response ended before it.
    pub(crate) sid: String,
    /// Why the response is not complete.
    pub(crate) cut: Option<String>,
    /// `queued` or `accepted`.
    pub(crate) status: Option<String>,
    /// Counted by Twilio; `None` while unknown.
    pub(crate) segments: Option<u64>,
}

/// The kind of a failure, the mildest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    /// Never send this message to this recipient.
    Reject,
    /// Send this message again later.
    Retry,
    /// Send nothing for a while.
    Throttled,
    /// Send nothing until a person fixes the target.
    Broken,
}

/// Twilio did not accept the message, or it is unknown whether it did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SendFailure {
    pub(crate) kind: Kind,
    pub(crate) reason: String,
    pub(crate) after: Option<Duration>,
    pub(crate) maybe_sent: bool,
}

/// Too much at once, for the account or for the sender. 14107 is a limit of 30 seconds.
const THROTTLED: [u64; 7] = [14_107, 20_429, 21_611, 30_001, 60_728, 63_017, 63_038];

/// The account, its credentials, its sender or its messaging service: no message can be sent.
const BROKEN: [u64; 17] = [
    10_001, // the account is not active
    20_003, 20_005, 20_006, 20_008, // credentials, account, permission, test credentials
    20_404, // no such account
    21_212, 21_601, 21_603, 21_606, 21_659, 21_660, // the sender
    21_701, 21_703, 21_704, 21_705, // the messaging service
    30_002, // the account is suspended
];

/// Only the recipient: unknown number, not a mobile phone, unsubscribed, region not enabled.
const RECIPIENT: [u64; 7] = [21_211, 21_408, 21_608, 21_610, 21_612, 21_614, 21_635];

/// `retry_after` is that of the response, `cut` the reason why its body is not complete. A success counts without the
/// whole body, because sending again would be a second message.
pub(crate) fn read(
    status: u16,
    retry_after: Option<Duration>,
    body: &[u8],
    cut: Option<&str>,
) -> Result<Sent, SendFailure> {
    let answer = parse(body);
    if (200..300).contains(&status) {
        let sent = taken(status, &answer);
        return match (sent, cut) {
            (Err(SendFailure { kind: Kind::Retry, .. }), Some(cut)) => {
                let (sid, cut) = (String::new(), Some(cut.to_owned()));
                Ok(Sent { sid, cut, status: None, segments: None })
            }
            (sent, _) => sent,
        };
    }
    Err(not_taken(status, retry_after, &answer))
}

/// What a probe's answer means. `None`: the credentials are valid but have no access to what was
/// read, so it says nothing about messages.
pub(crate) fn read_probe(
    resource: &ProbeResource,
    status: u16,
    retry_after: Option<Duration>,
    body: &[u8],
) -> Option<Result<(), SendFailure>> {
    let answer = parse(body);
    let broken = |reason: String| {
        Err(SendFailure { kind: Kind::Broken, reason, after: None, maybe_sent: false })
    };
    let is_success = (200..300).contains(&status);
    Some(match resource {
        ProbeResource::Messages(_) if status == 403 => return None,
        ProbeResource::Account(_) if is_success && is_sid(text(&answer, "sid"), &["AC"]) => {
            match text(&answer, "status") {
                "active" => Ok(()),
                "suspended" => broken("the account is suspended; see Twilio's console".to_owned()),
                _ => broken("the account is not active; see Twilio's console".to_owned()),
            }
        }
        ProbeResource::Messages(_) if is_success && answer["messages"].is_array() => Ok(()),
        _ if is_success => {
            broken(format!("{status} was answered, but not by Twilio's API; check api_base"))
        }
        _ => Err(not_taken(status, retry_after, &answer)),
    })
}

fn parse(body: &[u8]) -> Value {
    let body = body.get(..=ANSWER_BYTES_MAX).map_or(body, |_| &[]);
    serde_json::from_slice(body).unwrap_or_default()
}

fn text<'a>(answer: &'a Value, key: &str) -> &'a str {
    answer[key].as_str().unwrap_or_default()
}

fn not_taken(status: u16, retry_after: Option<Duration>, answer: &Value) -> SendFailure {
    let code = number(answer, "code");
    let (kind, hint) = kind(status, code);
    let after = match (kind, code) {
        (Kind::Throttled, Some(14_107)) => retry_after.or(Some(Duration::from_secs(30))),
        (Kind::Throttled | Kind::Retry, _) => retry_after,
        (Kind::Reject | Kind::Broken, _) => None,
    };
    let reason = reason(status, code, answer) + hint;
    // A gateway that got no answer does not know what happened behind it.
    SendFailure { kind, reason, after, maybe_sent: matches!(status, 502 | 504) }
}

fn kind(status: u16, code: Option<u64>) -> (Kind, &'static str) {
    match (status, code) {
        (429, _) => (Kind::Throttled, ""),
        (400..=499, Some(code)) if THROTTLED.contains(&code) => (Kind::Throttled, ""),
        (401, _) => (Kind::Broken, "; check account_sid, auth_token, api_key and api_key_secret"),
        (400..=499, Some(code)) if RECIPIENT.contains(&code) => (Kind::Reject, ""),
        (402 | 403 | 407, _) => (Kind::Broken, ""),
        (400..=499, Some(code)) if BROKEN.contains(&code) => (Kind::Broken, ""),
        (400 | 413 | 415 | 422, _) => (Kind::Reject, ""),
        (404, _) => (Kind::Retry, "; check account_sid and api_base"),
        (405 | 410, _) => (Kind::Retry, "; check api_base"),
        (300..=399, _) => (
            Kind::Retry,
            "; redirects are not followed: api_base is not the address of Twilio's API",
        ),
        _ => (Kind::Retry, ""),
    }
}

/// After a status of 2xx: a body without a message's sid did not come from Twilio.
fn taken(status: u16, answer: &Value) -> Result<Sent, SendFailure> {
    let sid = answer["sid"].as_str().filter(|sid| is_sid(sid, &["SM", "MM"]));
    let Some(sid) = sid else {
        let reason = format!(
            "Twilio answered {status} without the sid of a message, so the message may have been sent; check \
             api_base"
        );
        return Err(SendFailure { kind: Kind::Retry, reason, after: None, maybe_sent: true });
    };
    let state = answer["status"].as_str().filter(|state| {
        (1..=STATUS_BYTES_MAX).contains(&state.len())
            && state.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
    });
    if let Some(state @ ("failed" | "undelivered" | "canceled")) = state {
        return Err(failed(sid, state, answer));
    }
    Ok(Sent {
        sid: sid.to_owned(),
        cut: None,
        status: state.map(str::to_owned),
        segments: number(answer, "num_segments").filter(|segments| *segments > 0),
    })
}

/// Twilio created the message, but it will not arrive.
fn failed(sid: &str, state: &str, answer: &Value) -> SendFailure {
    let code = number(answer, "error_code");
    let kind = match code {
        Some(code) if THROTTLED.contains(&code) => Kind::Throttled,
        Some(code) if BROKEN.contains(&code) => Kind::Broken,
        _ => Kind::Reject,
    };
    let mut reason = format!("Twilio accepted message {sid}, but its status is {state}");
    explain(&mut reason, code, answer["error_message"].as_str(), None);
    SendFailure { kind, reason, after: None, maybe_sent: false }
}

fn reason(status: u16, code: Option<u64>, answer: &Value) -> String {
    let mut reason = format!("Twilio answered {status}");
    let message = answer["message"].as_str();
    // The newer form of RFC 9457.
    let message = message.or(answer["detail"].as_str()).or(answer["title"].as_str());
    let help = answer["more_info"].as_str().or(answer["type"].as_str());
    if code.is_none() && message.is_none() {
        reason.push_str(" without a reason");
    }
    explain(&mut reason, code, message, help);
    reason
}

/// Adds the code, the message and the page that explains them.
fn explain(reason: &mut String, code: Option<u64>, message: Option<&str>, help: Option<&str>) {
    if let Some(code) = code {
        *reason += &format!(", code {code}");
    }
    let message = message.map(quoted).filter(|message| !message.is_empty());
    if let Some(message) = message {
        *reason += &format!(": {message}");
    }
    let ours = |help: &&str| {
        help.starts_with(HELP)
            && help.len() <= HELP_BYTES_MAX
            && help.bytes().all(|byte| byte.is_ascii_graphic())
    };
    match (help.filter(ours), code) {
        (Some(help), _) => *reason += &format!(" ({help})"),
        (None, Some(code)) => *reason += &format!(" ({HELP}errors/{code})"),
        (None, None) => {}
    }
}

/// On one line, bounded, without words that may be secrets.
fn quoted(text: &str) -> String {
    let short = |word| if str::len(word) > WORD_BYTES_MAX { "[…]" } else { word };
    let mut words =
        text.split(|c: char| c.is_whitespace() || c.is_control()).filter(|w| !w.is_empty());
    let mut quoted = String::new();
    let mut room = MESSAGE_CHARS_MAX;
    for word in words.by_ref().map(short) {
        let chars = word.chars().count() + usize::from(!quoted.is_empty());
        if chars > room {
            quoted.push_str(" …");
            break;
        }
        room -= chars;
        if !quoted.is_empty() {
            quoted.push(' ');
        }
        quoted.push_str(word);
    }
    quoted
}

/// Twilio sends some numbers as text.
fn number(answer: &Value, key: &str) -> Option<u64> {
    let value = &answer[key];
    value.as_u64().or_else(|| value.as_str()?.parse().ok())
}

#[cfg(test)]
mod tests;
