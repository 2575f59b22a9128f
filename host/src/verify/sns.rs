//! Messages of Amazon SNS, signed over some values of the body with a certificate that SNS publishes.
//!
//! The signed text has line breaks between names and values, and no escapes. It can be read in one way only, because of the
//! values just `Message` may have a line break: from its end on, each line is then known. A name that is there twice is
//! refused. The address of the certificate is compared with the one of the topic's region, to the letter, and the topic is
//! one of the configured ones, so a request chooses only which certificate of that region counts.

use super::published::{CERTIFICATE, KeyKind, KeySet, KeyWanted, RsaHash};
use super::scheme::Unit;
use super::topics::Sns;
use super::{SnsRefusal, VerifyRefusal, codec, json, stamp};
use crate::model::Request;

/// Greatest age of a message, in seconds. SNS gives up after an hour; a copy is recognized for longer than this.
pub const SNS_AGE_MAX_S: u32 = 12 * 3_600;
/// Furthest in the future that a message may be, in seconds.
pub const SNS_AHEAD_MAX_S: u32 = 300;
/// Longest signature, in bytes: RSA with 8192 bits.
const SIGNATURE_BYTES_MAX: usize = 1_024;

/// What is read of a body, in the order of [`Message::read`].
const NAMES: [&str; 11] = [
    "/Type",
    "/MessageId",
    "/TopicArn",
    "/Timestamp",
    "/Message",
    "/Subject",
    "/SubscribeURL",
    "/Token",
    "/SignatureVersion",
    "/Signature",
    "/SigningCertURL",
];
/// What a signature covers in every kind of message, besides `Subject`.
pub(super) const COVERED: [&str; 6] =
    ["/Type", "/MessageId", "/TopicArn", "/Timestamp", "/Message", "/Subject"];

/// A message whose values are as they must be; its signature is not checked yet.
pub(super) struct Message {
    signed: String,
    signature: Vec<u8>,
    hash: RsaHash,
    pub(super) wanted: KeyWanted,
    /// The address that confirms the subscription that it asks about.
    pub(super) confirm: Option<String>,
}

impl Message {
    /// Reads the message of a request and checks all but its signature.
    pub(super) fn read(sns: &Sns, request: &Request) -> Result<Self, VerifyRefusal> {
        let values = json::values_at(&request.body, &NAMES);
        let found = |name: &'static str| -> Result<Option<&str>, SnsRefusal> {
            let place = NAMES.iter().position(|one| one.strip_prefix('/') == Some(name));
            match place.and_then(|place| values.get(place)) {
                Some(Ok(value)) => Ok(value.as_deref()),
                _ => Err(SnsRefusal::Field { name }),
            }
        };
        let text = |name: &'static str, fits: &dyn Fn(&str) -> bool| {
            let value = found(name)?.filter(|value| fits(value));
            value.ok_or(SnsRefusal::Field { name })
        };
        let is_line = |text: &str| !text.contains(['\n', '\r']);
        let is_word = |text: &str| {
            (1..=1_024).contains(&text.len())
                && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
        };
        let is_kind = |text: &str| {
            ["Notification", "SubscriptionConfirmation", "UnsubscribeConfirmation"].contains(&text)
        };
        let kind = text("Type", &is_kind)?;
        let id = text("MessageId", &is_word)?;
        let topic = text("TopicArn", &is_line)?;
        if !sns.topics.iter().any(|one| one == topic) {
            return Err(SnsRefusal::Topic.into());
        }
        let host = Sns::host(topic).ok_or(SnsRefusal::Topic)?;
        let at = text("Timestamp", &is_line)?;
        check_time(at, request)?;
        let message = text("Message", &|_| true)?;
        let hash = match text("SignatureVersion", &|version| ["1", "2"].contains(&version))? {
            "1" => RsaHash::Sha1,
            _ => RsaHash::Sha256,
        };
        let mut signature = vec![0; SIGNATURE_BYTES_MAX];
        let length = codec::unbase64_into(text("Signature", &is_line)?.as_bytes(), &mut signature);
        signature.truncate(length.ok_or(SnsRefusal::Field { name: "Signature" })?);
        let place = text("SigningCertURL", &is_line)?;
        if !is_certificate(place, &host) {
            return Err(SnsRefusal::Place { host }.into());
        }
        let mut confirm = None;
        let mut lines = vec![("Message", message), ("MessageId", id)];
        if kind == "Notification" {
            let subject = found("Subject")?;
            if subject.is_some_and(|subject| !is_line(subject)) {
                return Err(SnsRefusal::Subject.into());
            }
            lines.extend(subject.map(|subject| ("Subject", subject)));
            lines.extend([("Timestamp", at), ("TopicArn", topic), ("Type", kind)]);
        } else {
            let url = text("SubscribeURL", &is_line)?;
            if !is_confirmation(url, &host) {
                return Err(SnsRefusal::SubscribePlace { host }.into());
            }
            let token = text("Token", &is_word)?;
            lines.extend([("SubscribeURL", url), ("Timestamp", at), ("Token", token)]);
            lines.extend([("TopicArn", topic), ("Type", kind)]);
            confirm = (kind == "SubscriptionConfirmation").then(|| url.to_owned());
            if found("Subject")?.is_some() {
                // It would not be covered.
                return Err(SnsRefusal::Field { name: "Subject" }.into());
            }
        }
        let signed = lines.iter().map(|(name, value)| format!("{name}\n{value}\n")).collect();
        let wanted = KeyWanted {
            place: place.into(),
            id: CERTIFICATE.to_owned(),
            kind: KeyKind::Certificate,
        };
        Ok(Self { signed, signature, hash, wanted, confirm })
    }

    /// Checks the signature with the certificate that is published.
    pub(super) fn check(&self, keys: Option<&KeySet>, request: &Request) -> Result<(), SnsRefusal> {
        let place = &self.wanted.place;
        let key = keys.filter(|keys| keys.place() == place);
        let key = key.and_then(|keys| keys.named(CERTIFICATE).next());
        let key = key.ok_or_else(|| SnsRefusal::NotHere { place: place.to_string() })?;
        if !key.is_valid_at(request.received_at) {
            return Err(SnsRefusal::Validity { place: place.to_string() });
        }
        let verifies = key.verifies_rsa(self.hash, self.signed.as_bytes(), &self.signature);
        if verifies { Ok(()) } else { Err(SnsRefusal::Mismatch) }
    }

    /// What only the owner of the private key can change.
    pub(super) fn signed(&self) -> &str {
        &self.signed
    }
}

fn check_time(text: &str, request: &Request) -> Result<(), VerifyRefusal> {
    let at = stamp::millis(Unit::Rfc3339, text.as_bytes());
    let at = at.ok_or(SnsRefusal::Field { name: "Timestamp" })?;
    let now = i64::try_from(request.received_at.as_millis()).unwrap_or(i64::MAX);
    let age_s = (now - at) / 1_000;
    if age_s > i64::from(SNS_AGE_MAX_S) {
        return Err(VerifyRefusal::Stale { age_s: age_s.unsigned_abs(), max_s: SNS_AGE_MAX_S });
    }
    if -age_s > i64::from(SNS_AHEAD_MAX_S) {
        let ahead_s = age_s.unsigned_abs();
        return Err(VerifyRefusal::Future { ahead_s, max_s: SNS_AHEAD_MAX_S });
    }
    Ok(())
}

/// What is behind `https://HOST`, to the letter: no port, no user, no other spelling of the host.
fn behind_host<'u>(url: &'u str, host: &str) -> Option<&'u str> {
    url.strip_prefix("https://")?.strip_prefix(host)
}

fn is_certificate(url: &str, host: &str) -> bool {
    let name = behind_host(url, host)
        .and_then(|path| path.strip_prefix("/SimpleNotificationService-"))
        .and_then(|name| name.strip_suffix(".pem"));
    name.is_some_and(|name| {
        (1..=64).contains(&name.len()) && name.bytes().all(|byte| byte.is_ascii_alphanumeric())
    })
}

fn is_confirmation(url: &str, host: &str) -> bool {
    let query = behind_host(url, host).and_then(|path| path.strip_prefix("/?"));
    query.is_some_and(|query| {
        query.starts_with("Action=ConfirmSubscription&")
            && query.len() <= 2_048
            && query.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"=&:%._~-".contains(&byte))
    })
}

#[cfg(test)]
mod tests;
