//! The `settings` of a target and their checks. Nothing is opened.

use dispatcher_plugin_api::prelude::*;

use crate::recipients::{To, is_e164, not_e164};
use crate::sid::is_sid;
use crate::text::SEGMENTS_MAX;

/// Two segments are 306 characters, or 134 where one is not in GSM-7.
const SEGMENTS_DEFAULT: u8 = 2;
/// Longest sender that is a name.
const NAME_BYTES_MAX: usize = 11;
/// Version and first part of the paths of Twilio's API.
const API: &str = "2010-04-01";

/// The `settings` of a target.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(crate = "serde", deny_unknown_fields)]
pub struct Settings {
    /// The account: AC and 32 hexadecimal digits, on the first page of Twilio's console.
    #[schemars(regex(pattern = "^AC[0-9a-fA-F]{32}$"))]
    account_sid: String,
    /// The account's token. Not needed with an API key.
    auth_token: Option<Secret>,
    /// An API key instead of the token: SK and 32 hexadecimal digits. Better, because it can be revoked alone.
    #[schemars(regex(pattern = "^SK[0-9a-fA-F]{32}$"))]
    api_key: Option<String>,
    /// The secret of the API key.
    api_key_secret: Option<Secret>,
    /// The sender: a phone number of the account such as "+15005550006", a short code, or a name of at most
    /// 11 letters, digits and spaces where the country allows it.
    from: Option<String>,
    /// Instead of `from`, a messaging service that chooses the sender: MG and 32 hexadecimal digits.
    #[schemars(regex(pattern = "^MG[0-9a-fA-F]{32}$"))]
    messaging_service_sid: Option<String>,
    /// The recipients: a phone number with its country code, such as "+33612345678", or a list of them. Each
    /// has its own deliveries.
    to: To,
    /// Longest message, in segments of 153 characters each, or of 67 where one of them is not in GSM-7.
    /// Twilio charges per segment. The rest is cut off.
    #[serde(default = "segments_default")]
    #[schemars(range(min = 1, max = 10))]
    segments_max: u8,
    /// The address of Twilio's API: another region, a proxy or a test server.
    #[serde(default = "api_base_default")]
    api_base: HttpUrl,
}

const fn segments_default() -> u8 {
    SEGMENTS_DEFAULT
}

fn api_base_default() -> HttpUrl {
    HttpUrl::from_static("https://api.twilio.com")
}

/// The sender that Twilio shows.
#[derive(Debug)]
pub(crate) enum Sender {
    From(String),
    MessagingService(String),
}

impl Sender {
    /// Name and value in the form.
    pub(crate) fn field(&self) -> (&'static str, &str) {
        match self {
            Self::From(from) => ("From", from),
            Self::MessagingService(sid) => ("MessagingServiceSid", sid),
        }
    }
}

/// What a probe reads: it must exist, and these credentials must have access to it.
#[derive(Debug)]
pub(crate) enum ProbeResource {
    /// The account itself, which says whether it is active.
    Account(HttpUrl),
    /// The list of messages, because most API keys have no access to the account.
    Messages(String),
}

/// Valid settings.
#[derive(Debug)]
pub(crate) struct Checked {
    /// Where to post messages.
    pub(crate) url: HttpUrl,
    /// Read by a probe.
    pub(crate) probe: ProbeResource,
    pub(crate) user: String,
    pub(crate) password: Secret,
    pub(crate) sender: Sender,
    pub(crate) to: Vec<String>,
    pub(crate) segments_max: u8,
}

impl Settings {
    pub(crate) fn checked(self) -> Result<Checked, Invalid> {
        let mut mistakes = Mistakes::default();
        if !is_sid(&self.account_sid, &["AC"]) {
            let hint = match self.account_sid.get(..2) {
                Some("SK") => ": this is an API key; put it into api_key",
                _ => "",
            };
            let reason = format!("not AC and 32 hexadecimal digits{hint}");
            mistakes.add(Invalid::at("account_sid", reason));
        }
        if !(1..=SEGMENTS_MAX).contains(&self.segments_max) {
            let reason = format!("must be between 1 and {SEGMENTS_MAX} segments");
            mistakes.add(Invalid::at("segments_max", reason));
        }
        let urls = mistakes.keep(self.urls());
        let sender = mistakes.keep(sender(self.from, self.messaging_service_sid));
        let from = match &sender {
            Some(Sender::From(from)) => Some(from.as_str()),
            _ => None,
        };
        let to = self.to.checked(from, &mut mistakes);
        let key = (self.api_key, self.api_key_secret);
        let credentials = mistakes.keep(credentials(self.account_sid, self.auth_token, key));
        let segments_max = self.segments_max;
        let checked = urls.zip(sender).zip(credentials);
        let checked = checked.map(|(((url, probe), sender), (user, password))| Checked {
            url,
            probe,
            user,
            password,
            sender,
            to,
            segments_max,
        });
        mistakes.finish(checked)
    }

    /// Where to post messages, and what a probe reads.
    fn urls(&self) -> Result<(HttpUrl, ProbeResource), Invalid> {
        let url = self.account_url()?.join(&["Messages.json"]);
        let probe = match self.api_key {
            Some(_) => ProbeResource::Messages(format!("{}?PageSize=1", url.as_str())),
            None => ProbeResource::Account(self.api_base.join(&[
                API,
                "Accounts",
                &format!("{}.json", self.account_sid),
            ])),
        };
        Ok((url, probe))
    }

    fn account_url(&self) -> Result<HttpUrl, Invalid> {
        let base = self.api_base.as_str().trim_end_matches('/');
        if base.contains('?') || base.ends_with(API) || base.ends_with(".json") {
            let reason = format!(
                "must have only scheme and host, such as \"https://api.twilio.com\": /{API}/… is added"
            );
            return Err(Invalid::at("api_base", reason));
        }
        Ok(self.api_base.join(&[API, "Accounts", &self.account_sid]))
    }
}

fn sender(from: Option<String>, service: Option<String>) -> Result<Sender, Invalid> {
    match (from, service) {
        (Some(_), Some(_)) => {
            let reason = "set together with from: keep one of the two";
            Err(Invalid::at("messaging_service_sid", reason))
        }
        (None, None) => Err(Invalid::new(
            "from is missing: set it to a number of the account, or set messaging_service_sid",
        )),
        (Some(from), None) if is_sid(&from, &["MG"]) => {
            Err(Invalid::at("from", "is a messaging service: put it into messaging_service_sid"))
        }
        (Some(from), None) if is_e164(&from) || is_short_code(&from) || is_name(&from) => {
            Ok(Sender::From(from))
        }
        (Some(from), None) => {
            let reason = not_e164(&from) + "; or a short code, or a name of at most 11 letters";
            Err(Invalid::at("from", reason))
        }
        (None, Some(sid)) if is_sid(&sid, &["MG"]) => Ok(Sender::MessagingService(sid)),
        (None, Some(_)) => {
            Err(Invalid::at("messaging_service_sid", "not MG and 32 hexadecimal digits"))
        }
    }
}

fn is_short_code(text: &str) -> bool {
    (3..=8).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit())
}

fn is_name(text: &str) -> bool {
    (1..=NAME_BYTES_MAX).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b" -_&+".contains(&byte))
        && text.bytes().any(|byte| byte.is_ascii_alphabetic())
        && text.trim() == text
}

/// User and password of the requests.
fn credentials(
    account_sid: String,
    auth_token: Option<Secret>,
    api_key: (Option<String>, Option<Secret>),
) -> Result<(String, Secret), Invalid> {
    match (auth_token, api_key) {
        (Some(token), (None, None)) => Ok((account_sid, usable("auth_token", token)?)),
        (None, (Some(key), Some(secret))) => {
            if is_sid(&key, &["SK"]) {
                return Ok((key, usable("api_key_secret", secret)?));
            }
            Err(Invalid::at("api_key", "not SK and 32 hexadecimal digits"))
        }
        (None, (Some(_), None)) => Err(Invalid::at("api_key", "needs api_key_secret: set it too")),
        (None, (None, Some(_))) => Err(Invalid::at("api_key_secret", "needs api_key: set it too")),
        (None, (None, None)) => {
            Err(Invalid::new("auth_token is missing: set it, or set api_key and api_key_secret"))
        }
        (Some(_), _) => Err(Invalid::at(
            "auth_token",
            "set together with an API key: keep auth_token alone, or api_key and api_key_secret",
        )),
    }
}

/// A pasted secret often ends with a line break or a space.
fn usable(key: &str, secret: Secret) -> Result<Secret, Invalid> {
    let text = secret.expose();
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        let reason = "must not be empty, and must be ASCII without spaces and line breaks";
        return Err(Invalid::at(key, reason));
    }
    Ok(secret)
}

#[cfg(test)]
mod tests;
