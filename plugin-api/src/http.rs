//! HTTP requests that the daemon makes for a plugin, and the meaning of their responses.

use std::fmt::{self, Display};
use std::time::{Duration, SystemTime};

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::settings::percent_encode;
use crate::{Failure, Host, Receipt, Verdict, time};

/// Most bytes of a response's body that a failure's text quotes.
const QUOTED_BYTES_MAX: usize = 300;

/// The request that the host gets.
pub(crate) struct Outgoing {
    pub(crate) method: String,
    pub(crate) url: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

/// The response that the host returns.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    /// Why the body is not complete.
    pub(crate) cut: Option<String>,
}

/// Why no response came.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum HttpError {
    /// No byte of the request was sent: unknown host, connection refused, TLS error, denied address, deadline.
    /// Sending again is harmless.
    NotSent(String),
    /// Bytes were sent and no response came: the destination may have acted on them.
    Ambiguous(String),
}

impl Display for HttpError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotSent(reason) | Self::Ambiguous(reason) => f.write_str(reason),
        }
    }
}

impl std::error::Error for HttpError {}

impl From<HttpError> for Failure {
    /// [`Failure::retry`], with [`maybe_sent`](Failure::maybe_sent) if bytes were sent.
    fn from(error: HttpError) -> Self {
        match error {
            HttpError::NotSent(reason) => Self::retry(reason),
            HttpError::Ambiguous(reason) => Self::retry(reason).maybe_sent(),
        }
    }
}

/// Builds a request; [`send`](Self::send) sends it.
#[must_use = "a request does nothing before it is sent"]
pub struct RequestBuilder {
    host: Host,
    request: Outgoing,
    mistake: Option<String>,
}

impl RequestBuilder {
    pub(crate) fn new(host: Host, method: &str, url: &str) -> Self {
        let (method, url) = (method.to_owned(), url.to_owned());
        let request = Outgoing { method, url, headers: Vec::new(), body: Vec::new() };
        Self { host, request, mistake: None }
    }

    /// Adds a header field.
    pub fn header(mut self, name: &str, value: impl Into<String>) -> Self {
        self.request.headers.push((name.to_owned(), value.into()));
        self
    }

    /// `Authorization: Bearer …`.
    pub fn bearer(self, token: &str) -> Self {
        self.header("authorization", format!("Bearer {token}"))
    }

    /// `Authorization: Basic …`.
    pub fn basic(self, user: &str, password: &str) -> Self {
        let encoded = base64(format!("{user}:{password}").as_bytes());
        self.header("authorization", format!("Basic {encoded}"))
    }

    /// The body, sent unchanged; set its type with [`header`](Self::header).
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.request.body = body.into();
        self
    }

    /// The body as JSON, with its content type.
    pub fn json(mut self, body: &impl Serialize) -> Self {
        match serde_json::to_vec(body) {
            Ok(body) => self.body(body).header("content-type", "application/json"),
            Err(error) => {
                self.mistake = Some(format!("the body cannot be converted to JSON: {error}"));
                self
            }
        }
    }

    /// The body as an HTML form (`application/x-www-form-urlencoded`), with its content type. A name may occur
    /// more than once.
    pub fn form<N: AsRef<str>, V: AsRef<str>>(
        self,
        fields: impl IntoIterator<Item = (N, V)>,
    ) -> Self {
        let mut body = String::new();
        for (name, value) in fields {
            if !body.is_empty() {
                body.push('&');
            }
            percent_encode(name.as_ref(), &mut body);
            body.push('=');
            percent_encode(value.as_ref(), &mut body);
        }
        self.body(body).header("content-type", "application/x-www-form-urlencoded")
    }

    /// Sends it. The daemon gives up shortly before the attempt times out, so that the plugin can still decide.
    /// Of the body of the response at most 1 MiB is read, for at most 5 s: see [`Response::cut`].
    ///
    /// # Errors
    /// No response came; with `?` the error becomes a [`Failure`].
    pub async fn send(self) -> Result<Response, HttpError> {
        if let Some(mistake) = self.mistake {
            return Err(HttpError::NotSent(mistake));
        }
        let answer = self.host.services().http(self.request);
        answer.await.map(Response)
    }
}

impl fmt::Debug for RequestBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RequestBuilder").field("method", &self.request.method).finish()
    }
}

/// The response of the destination.
pub struct Response(Answer);

impl Response {
    /// Such as 200.
    #[must_use]
    pub const fn status(&self) -> u16 {
        self.0.status
    }

    /// The first field of that name, in any case.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut headers = self.0.headers.iter();
        headers.find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// Why the body is only the start of what was to come: it was too long, too slow, or incomplete. `None`: it is
    /// complete. The status is valid all the same.
    #[must_use]
    pub fn cut(&self) -> Option<&str> {
        self.0.cut.as_deref()
    }

    /// The body, unchanged.
    #[must_use]
    pub fn body(&self) -> &[u8] {
        &self.0.body
    }

    /// The body read as `T`.
    ///
    /// # Errors
    /// [`Failure::retry`] with [`maybe_sent`](Failure::maybe_sent), because a response came.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, Failure> {
        serde_json::from_slice(self.body()).map_err(|error| {
            let status = self.status();
            Failure::retry(format_args!(
                "the response ({status}) is not the expected JSON: {error}"
            ))
            .maybe_sent()
        })
    }

    /// The usual meaning of the status: 2xx delivered; 429 throttled; 401, 403 and 410 broken; 400, 413, 415 and
    /// 422 reject, because the same request would get the same answer; anything else retry. Uses `Retry-After`, in seconds or as a date.
    ///
    /// # Errors
    /// The failure, which quotes the start of the body.
    pub fn verdict(&self) -> Verdict {
        if (200..=299).contains(&self.status()) {
            return Ok(self
                .cut()
                .map_or_else(Receipt::none, |cut| Receipt::none().with("response", cut)));
        }
        let mut why = match self.quote() {
            text if text.is_empty() => format!("answered {}", self.status()),
            text => format!("answered {}: {text}", self.status()),
        };
        if let Some(cut) = self.cut() {
            why += &format!(" ({cut})");
        }
        let failure = match self.status() {
            429 => return Err(Failure::throttled(why, self.retry_after())),
            401 | 403 | 410 => Failure::broken(why),
            400 | 413 | 415 | 422 => Failure::reject(why),
            300..=399 => Failure::retry(why + " (redirects are not followed)"),
            _ => Failure::retry(why),
        };
        Err(match self.retry_after() {
            Some(after) => failure.after(after),
            None => failure,
        })
    }

    fn quote(&self) -> String {
        let body = self.body();
        let text = String::from_utf8_lossy(&body[..body.len().min(QUOTED_BYTES_MAX)]);
        text.trim().to_owned()
    }

    /// `Retry-After` as a time from now; `None` if it is absent or not valid.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        wait(self.header("retry-after")?, now.as_secs())
    }
}

impl fmt::Debug for Response {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Response").field("status", &self.status()).finish()
    }
}

/// `Retry-After` as a time from now.
fn wait(text: &str, now_s: u64) -> Option<Duration> {
    let text = text.trim();
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let seconds = match is_number {
        // The daemon bounds it.
        true => text.parse().unwrap_or(u64::MAX),
        false => time::http_date(text)?.saturating_sub(now_s),
    };
    Some(Duration::from_secs(seconds))
}

/// The standard alphabet, padded.
fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let byte = |at: usize| u32::from(chunk.get(at).copied().unwrap_or(0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for digit in 0..4 {
            let index = (bits >> (18 - 6 * digit)) & 63;
            let letter = char::from(ALPHABET[index as usize]);
            text.push(if digit <= chunk.len() { letter } else { '=' });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn response(status: u16, headers: &[(&str, &str)], body: &str) -> Response {
        let headers = headers.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        Response(Answer { status, headers, body: body.as_bytes().to_vec(), cut: None })
    }

    #[test]
    fn a_status_means_the_same_for_every_plugin() {
        for status in 200..=299 {
            assert_eq!(response(status, &[], "x").verdict(), Ok(Receipt::none()));
        }
        let table = [
            (408, Failure::retry("answered 408: no")),
            (425, Failure::retry("answered 425: no")),
            (500, Failure::retry("answered 500: no")),
            (503, Failure::retry("answered 503: no")),
            (401, Failure::broken("answered 401: no")),
            (403, Failure::broken("answered 403: no")),
            (410, Failure::broken("answered 410: no")),
            (400, Failure::reject("answered 400: no")),
            (413, Failure::reject("answered 413: no")),
            (415, Failure::reject("answered 415: no")),
            (422, Failure::reject("answered 422: no")),
            (404, Failure::retry("answered 404: no")),
            (405, Failure::retry("answered 405: no")),
            (302, Failure::retry("answered 302: no (redirects are not followed)")),
            (429, Failure::throttled("answered 429: no", None)),
            (700, Failure::retry("answered 700: no")),
        ];
        // What is in no table is tried again.
        for status in (100..200).chain(300..=999) {
            let known = table.iter().find(|(known, _)| *known == status);
            let words =
                if (300..400).contains(&status) { " (redirects are not followed)" } else { "" };
            let retry = || Failure::retry(format_args!("answered {status}: no{words}"));
            let expected = known.map_or_else(retry, |(_, expected)| expected.clone());
            assert_eq!(response(status, &[], " no\n").verdict(), Err(expected));
        }
    }

    #[test]
    fn a_body_that_is_not_complete_is_reported_and_changes_no_verdict() {
        let cut = |status| {
            let mut response = response(status, &[], "ha");
            response.0.cut = Some("the connection was lost within its body: eof".to_owned());
            response.verdict()
        };
        assert_eq!(
            cut(200),
            Ok(Receipt::none().with("response", "the connection was lost within its body: eof"))
        );
        let expected =
            Failure::reject("answered 400: ha (the connection was lost within its body: eof)");
        assert_eq!(cut(400), Err(expected));
    }

    #[test]
    fn retry_after_is_used() {
        let after = [("Retry-After", "120")];
        let two_minutes = Duration::from_secs(120);
        assert_eq!(
            response(429, &after, "").verdict(),
            Err(Failure::throttled("answered 429", Some(two_minutes)))
        );
        assert_eq!(
            response(503, &after, "").verdict(),
            Err(Failure::retry("answered 503").after(two_minutes))
        );
        let date = "Sun, 06 Nov 1994 08:49:37 GMT";
        assert_eq!(wait(date, 784_111_717), Some(Duration::from_secs(60)));
        assert_eq!(wait(date, 784_111_999), Some(Duration::ZERO));
        for text in ["", "soon", "-5", "+5", "1.5", "Fri, 31 Dec 9999"] {
            assert_eq!(wait(text, 0), None, "{text}");
        }
        for text in ["18446744073709551616", "999999999999999999999999"] {
            assert_eq!(wait(text, 0), Some(Duration::from_secs(u64::MAX)), "{text}");
        }
        let last = wait("Fri, 31 Dec 9999 23:59:59 GMT", 0);
        assert_eq!(last, Some(Duration::from_secs(253_402_300_799)));
    }

    #[test]
    fn base64_has_the_test_vectors_of_rfc_4648() {
        let vectors =
            [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foobar", "Zm9vYmFy")];
        for (plain, encoded) in vectors {
            assert_eq!(base64(plain.as_bytes()), encoded);
        }
    }
}
