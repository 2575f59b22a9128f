//! Target plugin `http`: sends each event as one HTTP request, its data exactly as the sender wrote it.
//!
//! The header fields say the same for each attempt at an event (`webhook-id`, `idempotency-key`), so that
//! who receives it can tell that it came twice; only `webhook-timestamp` is the attempt's own. The
//! daemon pools the connections, bounds the answer, and decides by its status what happens next.

use std::collections::BTreeMap;
use std::time::{SystemTime, UNIX_EPOCH};

use dispatcher_plugin_api::prelude::*;

/// Most header fields of one's own.
const HEADERS_MAX: usize = 32;
/// Longest value of such a field.
const VALUE_BYTES_MAX: usize = 4096;
/// Fields that this plugin writes, and those with which the daemon frames a request.
const RESERVED: [&str; 14] = [
    "content-type",
    "idempotency-key",
    "webhook-id",
    "webhook-timestamp",
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

/// What stands under `settings` of a target.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(crate = "serde", deny_unknown_fields)]
pub struct Settings {
    /// Where each event is sent.
    url: HttpUrl,
    /// How.
    #[serde(default)]
    method: Method,
    /// Further header fields, such as `authorization = "env:HOOK_TOKEN"`.
    #[serde(default)]
    #[schemars(with = "BTreeMap<String, String>")]
    headers: BTreeMap<String, Secret>,
}

/// The methods that carry a body and change something.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema)]
#[serde(crate = "serde", rename_all = "UPPERCASE")]
pub enum Method {
    /// The usual one.
    #[default]
    Post,
    /// For those that ask for it.
    Put,
}

/// One address that gets every event.
#[derive(Debug)]
pub struct Http {
    settings: Settings,
    host: Host,
}

impl Target for Http {
    type Settings = Settings;

    fn create(settings: Settings, host: Host) -> Result<Self, Invalid> {
        check(&settings.headers)?;
        Ok(Self { settings, host })
    }
}

impl Each for Http {
    async fn deliver(&self, event: Event<'_>) -> Verdict {
        let Settings { url, method, headers } = &self.settings;
        let request = match method {
            Method::Post => self.host.post(url),
            Method::Put => self.host.put(url),
        };
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let request = request
            .header("content-type", "application/json")
            .header("webhook-id", event.id())
            .header("webhook-timestamp", now.as_secs().to_string())
            .header("idempotency-key", event.id());
        let request = headers
            .iter()
            .fold(request, |request, (name, value)| request.header(name, value.expose()));
        request.body(event.data()).send().await?.verdict()
    }
}

/// Refuses what the daemon would not send, so that `check` tells it and not the first event.
fn check(headers: &BTreeMap<String, Secret>) -> Result<(), Invalid> {
    if headers.len() > HEADERS_MAX {
        return Err(Invalid::at("headers", format_args!("more than {HEADERS_MAX} header fields")));
    }
    for (name, value) in headers {
        let refuse = |reason: &str| Err(Invalid::at(format!("headers.{name}"), reason));
        let token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
        if name.is_empty() || !name.bytes().all(token) {
            return refuse("no name of a header field: it has letters, digits and - only");
        }
        if RESERVED.iter().any(|reserved| name.eq_ignore_ascii_case(reserved)) {
            return refuse("is written by dispatcher itself: remove it");
        }
        let value = value.expose();
        if value.len() > VALUE_BYTES_MAX {
            return refuse("its value is longer than 4096 bytes");
        }
        if !value.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic()) {
            return refuse("its value has a line break or a character that is not ASCII");
        }
    }
    Ok(())
}

export_target!(Http, name = "http", each, description = "Sends each event as an HTTP request");

#[cfg(test)]
mod tests;
