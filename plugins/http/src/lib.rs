//! Target plugin `http`: sends each event as one HTTP request, its data exactly as the sender wrote it.
//!
//! What the event is stands in the header fields of a CloudEvent in binary mode (`ce-id`, `ce-source`, `ce-type` and others).
//! With `signing_secret` the request is signed as Standard Webhooks describes.
//!
//! `webhook-id` and `idempotency-key` are the same for each attempt at an event, so that the receiver can
//! recognize a duplicate; only `webhook-timestamp` belongs to the attempt. The daemon pools the connections and
//! limits the response; the status of the response decides what happens next.
//!
//! There is no probe: no request to an unknown address is sure to change nothing, so the plugin cannot
//! tell.

#![deny(unsafe_code)]

mod cloud_event;
mod signature;

use std::collections::{BTreeMap, BTreeSet};
use std::time::{SystemTime, UNIX_EPOCH};

use dispatcher_plugin_api::prelude::*;

/// Most header fields in the settings.
const HEADERS_MAX: usize = 32;
/// Longest value of such a field.
const VALUE_BYTES_MAX: usize = 4096;
/// Most bytes of all such fields, names and values. The daemon sends at most 16 KiB of fields, and what an event is can take
/// more than half of it.
const HEADERS_BYTES_MAX: usize = 6 * 1024;
/// Fields that this plugin or the daemon's HTTP client sets.
const RESERVED: [&str; 15] = [
    "content-type",
    "idempotency-key",
    "webhook-id",
    "webhook-timestamp",
    signature::NAME,
    "connection",
    "content-length",
    "expect",
    "host",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// The `settings` of a target.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(crate = "serde", deny_unknown_fields)]
pub struct Settings {
    /// Where each event is sent.
    url: HttpUrl,
    /// The method of the request.
    #[serde(default)]
    method: Method,
    /// Further header fields, such as `authorization = "env:HOOK_TOKEN"`.
    #[serde(default)]
    #[schemars(with = "BTreeMap<String, String>")]
    headers: BTreeMap<String, Secret>,
    /// Signs each request (`webhook-signature`, Standard Webhooks): whsec_ and the base64 of 24 to 64 random bytes, best as
    /// `env:NAME`. The receiver checks it with the same secret.
    signing_secret: Option<Secret>,
}

/// The methods that send a body.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema)]
#[serde(crate = "serde", rename_all = "UPPERCASE")]
pub enum Method {
    /// The usual one.
    #[default]
    Post,
    /// For receivers that require it.
    Put,
}

/// An address that gets every event.
#[derive(Debug)]
pub struct Http {
    settings: Settings,
    key: Option<signature::Key>,
    host: Host,
}

impl Target for Http {
    type Settings = Settings;

    fn create(settings: Settings, host: Host) -> Result<Self, Invalid> {
        let mut mistakes = Mistakes::default();
        check(&settings.headers, &mut mistakes);
        let key = settings.signing_secret.as_ref().map(|secret| {
            signature::Key::new(secret).map_err(|error| Invalid::at("signing_secret", error))
        });
        let key = key.transpose().map_err(|mistake| mistakes.add(mistake)).ok().flatten();
        mistakes.finish(Some(Self { settings, key, host }))
    }
}

impl Each for Http {
    async fn deliver(&self, event: Event<'_>) -> Verdict {
        let Settings { url, method, headers, .. } = &self.settings;
        let request = match method {
            Method::Post => self.host.post(url),
            Method::Put => self.host.put(url),
        };
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let request = request
            .header("content-type", event.content_type())
            .header("webhook-id", event.id())
            .header("webhook-timestamp", now.to_string())
            .header("idempotency-key", event.id());
        let signed = self.key.as_ref().and_then(|key| key.sign(event.id(), now, event.data()));
        let signed = signed.map(|value| (signature::NAME, value));
        let own = cloud_event::fields(event).into_iter().chain(signed);
        let request = own.fold(request, |request, (name, value)| request.header(name, value));
        let request = headers
            .iter()
            .fold(request, |request, (name, value)| request.header(name, value.expose()));
        request.body(event.data()).send().await?.verdict()
    }
}

/// Refuses headers that the daemon would not send, so that `check` reports them, not the first delivery.
fn check(headers: &BTreeMap<String, Secret>, mistakes: &mut Mistakes) {
    if headers.len() > HEADERS_MAX {
        let reason = format_args!("more than {HEADERS_MAX} header fields");
        mistakes.add(Invalid::at("headers", reason));
    }
    let bytes: usize = headers.iter().map(|(name, value)| name.len() + value.expose().len()).sum();
    if bytes > HEADERS_BYTES_MAX {
        let reason =
            format_args!("more than {HEADERS_BYTES_MAX} bytes of names and values: shorten them");
        mistakes.add(Invalid::at("headers", reason));
    }
    let mut names = BTreeSet::new();
    for (name, value) in headers.iter().take(HEADERS_MAX) {
        let mut refuse =
            |reason: &str| mistakes.add(Invalid::at(format!("headers.{name}"), reason));
        let token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
        if name.is_empty() || !name.bytes().all(token) {
            refuse("not a valid name of a header field: use letters, digits and -");
        } else if RESERVED
            .iter()
            .chain(&cloud_event::NAMES)
            .any(|reserved| name.eq_ignore_ascii_case(reserved))
        {
            refuse("is set by dispatcher: remove it");
        } else if !names.insert(name.to_ascii_lowercase()) {
            refuse("is there twice, in upper and lower case: remove one of them");
        }
        let value = value.expose();
        if value.len() > VALUE_BYTES_MAX {
            refuse("its value is longer than 4096 bytes: shorten it");
        } else if !value.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic()) {
            refuse("its value must be ASCII without line breaks");
        }
    }
}

export_target!(Http, name = "http", each, description = "Sends each event as an HTTP request");

#[cfg(test)]
mod tests;
