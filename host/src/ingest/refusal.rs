//! Why a request is refused: the status, the text for the log, and the text for the sender.
//!
//! The text for the log may name limits, places and reasons. Of the sender's own text it shows only the path,
//! escaped and truncated. The text for the sender says what the sender can change, and nothing else.

use std::borrow::Cow;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use http::{Method, StatusCode};

use super::decode::DecodeError;
use super::settings::without_slash;
use crate::egress::KeyMissing;
use crate::normalize::Malformed;
use crate::store::AppendError;
use crate::telemetry::Shortage;
use crate::verify::VerifyRefusal;

/// Longest part of a path that is shown or compared, in bytes.
const PATH_BYTES_MAX: usize = 128;
/// A known path with at most this many edits is suggested.
const NEAR_EDITS_MAX: usize = 2;

/// When a sender should try again whose body gave way to others, in seconds.
const GAVE_WAY_WAIT_S: u64 = 5;

/// Why a request is refused.
#[derive(Debug)]
pub(super) enum RequestRefusal {
    /// No source has this path. `near`: the path that was probably meant.
    Path {
        path: String,
        near: Option<String>,
    },
    /// As `Path`, while the configuration changes or just after: it may not be the last word.
    PathInChange {
        path: String,
    },
    Method {
        allowed: Vec<Method>,
    },
    /// The source cannot verify anything.
    Unusable {
        reason: Arc<str>,
    },
    Unverified(VerifyRefusal),
    /// The sender's published key is not here.
    KeyMissing(KeyMissing),
    /// Not in the source's `allow`.
    Address {
        client: IpAddr,
    },
    /// The source has an `allow`, but the sender's address is unknown.
    UnknownAddress,
    /// Above the source's rate limit.
    Rate {
        wait: Duration,
    },
    TooLong {
        bytes_max: usize,
    },
    Malformed(Malformed),
    /// The content encoding is not supported.
    Encoding,
    /// The content encoding has no mark in the body, and the sender takes any body.
    UnmarkedEncoding,
    /// The body is not valid in its content encoding.
    InvalidEncoding(&'static str),
    SlowBody {
        seconds: u64,
    },
    /// Arrived at less than this on average, in bytes per second.
    SlowRate {
        rate_min: u64,
    },
    /// Its bytes were taken back to make room for others, because it arrived slowly.
    GaveWay,
    IncompleteBody(String),
    BytesInFlight {
        bytes_max: usize,
    },
    Store(AppendError),
}

impl RequestRefusal {
    pub(super) const fn undecoded(error: DecodeError, bytes_max: usize) -> Self {
        match error {
            DecodeError::Unsupported => Self::Encoding,
            DecodeError::Unmarked => Self::UnmarkedEncoding,
            DecodeError::Invalid(encoding) => Self::InvalidEncoding(encoding),
            DecodeError::TooLong => Self::TooLong { bytes_max },
        }
    }

    /// `known`: the paths of all sources.
    pub(super) fn unknown_path<'a>(path: &str, known: impl Iterator<Item = &'a String>) -> Self {
        let near = near(path, known).cloned();
        let path = path.chars().take(PATH_BYTES_MAX).collect();
        Self::Path { path, near }
    }

    /// The same while the configuration changes, or just after.
    pub(super) fn while_changing(self) -> Self {
        match self {
            Self::Path { path, .. } => Self::PathInChange { path },
            other => other,
        }
    }

    pub(super) const fn status(&self) -> StatusCode {
        match self {
            Self::Path { .. } => StatusCode::NOT_FOUND,
            Self::Method { .. } => StatusCode::METHOD_NOT_ALLOWED,
            Self::Unverified(_) => StatusCode::UNAUTHORIZED,
            Self::Address { .. } | Self::UnknownAddress => StatusCode::FORBIDDEN,
            Self::Rate { .. } => StatusCode::TOO_MANY_REQUESTS,
            Self::TooLong { .. }
            | Self::Malformed(Malformed::TooMany { .. } | Malformed::TooLongInUtf8 { .. })
            | Self::Store(AppendError::TooLarge { .. }) => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Malformed(_) | Self::IncompleteBody(_) | Self::InvalidEncoding(_) => {
                StatusCode::BAD_REQUEST
            }
            Self::Encoding | Self::UnmarkedEncoding => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::SlowBody { .. } | Self::SlowRate { .. } | Self::GaveWay => {
                StatusCode::REQUEST_TIMEOUT
            }
            Self::PathInChange { .. }
            | Self::Unusable { .. }
            | Self::KeyMissing(_)
            | Self::BytesInFlight { .. }
            | Self::Store(_) => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    /// Whether the daemon is the cause, and not the sender.
    pub(super) const fn is_ours(&self) -> bool {
        match self {
            Self::PathInChange { .. } => false,
            Self::KeyMissing(missing) => missing.is_failure,
            _ => matches!(self.status(), StatusCode::SERVICE_UNAVAILABLE),
        }
    }

    /// What there was too little of, if that is why.
    pub(super) const fn shortage(&self) -> Option<Shortage> {
        match self {
            Self::BytesInFlight { .. } | Self::GaveWay => Some(Shortage::BytesInFlight),
            Self::Store(AppendError::Overloaded) => Some(Shortage::Disk),
            Self::Rate { .. } => Some(Shortage::Rate),
            _ => None,
        }
    }

    /// Whether the body arrived too slowly.
    pub(super) const fn is_slow(&self) -> bool {
        matches!(self.status(), StatusCode::REQUEST_TIMEOUT)
    }

    /// Whether the store has no room. The store itself logs why, and when it has room again.
    pub(super) const fn is_full(&self) -> bool {
        matches!(self, Self::Store(AppendError::Full { .. }))
    }

    /// How long the sender should wait, in seconds, if that is known.
    pub(super) fn wait_s(&self) -> Option<u64> {
        match self {
            Self::Rate { wait } => Some(whole_seconds(*wait)),
            Self::GaveWay => Some(GAVE_WAY_WAIT_S),
            Self::KeyMissing(missing) => Some(whole_seconds(missing.wait)),
            _ => None,
        }
    }

    /// The text for the sender.
    pub(super) fn answer(&self) -> Cow<'static, str> {
        match self {
            Self::Path { .. } => "unknown path".into(),
            Self::PathInChange { .. } => "unknown path at the moment; try again later".into(),
            Self::Method { .. } => "method not allowed".into(),
            Self::Unusable { .. } => {
                "requests cannot be verified at the moment; try again later".into()
            }
            // Naming the check that failed would help a forger.
            Self::Unverified(_) => "the signature is missing or wrong".into(),
            Self::KeyMissing(_) => {
                "cannot verify the request at the moment; try again later".into()
            }
            Self::Address { .. } | Self::UnknownAddress => "this address is not allowed".into(),
            Self::Rate { .. } => "too many requests; try again later".into(),
            Self::TooLong { bytes_max } => {
                format!("the body is longer than {bytes_max} bytes").into()
            }
            Self::Malformed(malformed) => malformed.to_string().into(),
            Self::Encoding => {
                "unsupported content encoding; supported: gzip, deflate, br and zstd".into()
            }
            Self::UnmarkedEncoding => {
                "unsupported content encoding; supported here: gzip, zstd and deflate in the zlib format".into()
            }
            Self::InvalidEncoding(encoding) => format!("the body is not valid {encoding}").into(),
            Self::SlowBody { .. } => "the body took too long".into(),
            Self::SlowRate { rate_min } => format!(
                "the body arrived too slowly: at least {rate_min} bytes per second are required"
            )
            .into(),
            Self::GaveWay => {
                "the body arrived too slowly while many others arrived; try again later".into()
            }
            Self::IncompleteBody(_) => "the body is incomplete".into(),
            Self::Store(AppendError::TooLarge { .. }) => "the request is too large to store".into(),
            Self::BytesInFlight { .. } | Self::Store(_) => {
                "cannot store the request at the moment; try again later".into()
            }
        }
    }
}

/// The text for the log.
impl fmt::Display for RequestRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Path { path, near: None } => write!(f, "no source has the path {path:?}"),
            Self::Path { path, near: Some(near) } => {
                write!(f, "no source has the path {path:?}; did you mean {near:?}?")
            }
            Self::PathInChange { path } => {
                write!(f, "no source has the path {path:?}; the configuration is changing, or changed a moment ago")
            }
            Self::Method { allowed } => {
                let names: Vec<_> = allowed.iter().map(Method::as_str).collect();
                write!(f, "the method is not {}", names.join(" or "))
            }
            Self::Unusable { reason } => {
                write!(f, "the source cannot verify any request: {reason}; repair that and run: dispatcher reload")
            }
            Self::Unverified(refused) => refused.fmt(f),
            Self::KeyMissing(missing) => missing.fmt(f),
            Self::Address { client } => write!(f, "{client} is not in the source's `allow`"),
            Self::UnknownAddress => f.write_str(
                "the source has an `allow`, but the sender's address is unknown: X-Forwarded-For and \
                 Forwarded contradict each other",
            ),
            Self::Rate { wait } => {
                write!(f, "above the source's rate limit; accepted again in {} s", whole_seconds(*wait))
            }
            Self::TooLong { bytes_max } => {
                write!(f, "the body is longer than the source's limit of {bytes_max} bytes")
            }
            Self::Malformed(malformed) => malformed.fmt(f),
            Self::Encoding => f.write_str(
                "unsupported content encoding; supported: gzip, deflate, br and zstd, at most two of them",
            ),
            Self::UnmarkedEncoding => f.write_str(
                "br and raw deflate are not supported by a sender that takes any body, because its signature \
                 does not cover the header; supported: gzip, zstd and deflate in the zlib format",
            ),
            Self::InvalidEncoding(encoding) => write!(f, "the body is not valid {encoding}"),
            Self::SlowBody { seconds } => write!(f, "the body did not arrive within {seconds} s"),
            Self::SlowRate { rate_min } => write!(
                f,
                "the body arrived at less than {rate_min} bytes per second on average (server.body_rate_min)"
            ),
            Self::GaveWay => f.write_str(
                "the body arrived slowly, and its room was needed for others (server.in_flight_max)",
            ),
            Self::IncompleteBody(reason) => write!(f, "the body is incomplete: {reason:?}"),
            Self::BytesInFlight { bytes_max } => {
                write!(
                    f,
                    "all bodies in flight would need more than {bytes_max} bytes, and the source has used up its own part"
                )
            }
            Self::Store(error) => write!(f, "cannot be stored: {error}"),
        }
    }
}

/// A time in whole seconds for `Retry-After`, rounded up.
pub(super) fn whole_seconds(wait: Duration) -> u64 {
    wait.as_secs() + u64::from(wait.subsec_nanos() > 0)
}

/// The known path that was probably meant: one with a typing error, other case, or a part more or less.
fn near<'a>(path: &str, known: impl Iterator<Item = &'a String>) -> Option<&'a String> {
    if path.len() > PATH_BYTES_MAX {
        return None;
    }
    let path = unescaped(path).to_ascii_lowercase();
    let path = without_slash(&path);
    if path.is_empty() {
        return None;
    }
    let distance = |known: &str| {
        let known_lower = known.to_ascii_lowercase();
        if known_lower.is_empty() {
            return None;
        }
        let below = path.strip_prefix(&*known_lower).is_some_and(|rest| rest.starts_with('/'));
        if below || path.ends_with(&known_lower) {
            return Some(0);
        }
        if known_lower.len().abs_diff(path.len()) > NEAR_EDITS_MAX {
            return None;
        }
        let edits = strsim::levenshtein(path, &known_lower);
        // In a short path, two other letters make another word.
        (edits <= NEAR_EDITS_MAX && 2 * edits < path.len()).then_some(edits)
    };
    let near = known.filter_map(|known| Some((distance(known)?, known)));
    near.min().map(|(_, known)| known)
}

/// The path with its escapes decoded, and without empty parts. No source has such a path.
fn unescaped(path: &str) -> String {
    let (mut bytes, mut rest) = (Vec::with_capacity(path.len()), path.as_bytes());
    while let Some((first, behind)) = rest.split_first() {
        let code = behind.get(..2).and_then(|digits| std::str::from_utf8(digits).ok());
        let code = code.and_then(|digits| u8::from_str_radix(digits, 16).ok());
        let (byte, behind) = match (first, code) {
            (b'%', Some(code)) => (code, &behind[2..]),
            _ => (*first, behind),
        };
        if byte != b'/' || bytes.last() != Some(&b'/') {
            bytes.push(byte);
        }
        rest = behind;
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_that_is_written_in_another_way_is_suggested() {
        let known = ["/hooks/github".to_owned()];
        for path in [
            "//hooks/github",
            "/hooks//github/",
            "/hooks%2Fgithub",
            "/hooks/%67ithub",
            "/HOOKS%2fGitHub",
        ] {
            assert_eq!(near(path, known.iter()), Some(&known[0]), "{path}");
        }
        for path in ["/%", "/%zz", "/%e9%", "//", "/%2f"] {
            assert_eq!(near(path, known.iter()), None, "{path}");
        }
    }

    #[test]
    fn a_similar_path_is_suggested() {
        let known: Vec<String> =
            ["/sqreen", "/github", "/a/b", ""].iter().map(|path| (*path).to_owned()).collect();
        for (path, expected) in [
            ("/sqren", Some("/sqreen")),
            ("/Sqreen", Some("/sqreen")),
            ("/sqreen/events", Some("/sqreen")),
            ("/webhooks/sqreen/", Some("/sqreen")),
            ("//sqreen", Some("/sqreen")),
            ("/gihtub", Some("/github")),
            ("/.env", None),
            ("/wp-login.php", None),
            ("/x", None),
            ("/", None),
            (&"/sqreen".repeat(50), None),
        ] {
            assert_eq!(near(path, known.iter()).map(String::as_str), expected, "{path}");
        }
    }

    #[test]
    fn a_senders_path_cannot_forge_a_log_line() {
        let path = "/\u{1b}[31m\u{202e}\n".to_owned() + &"x".repeat(1000);
        let line = RequestRefusal::unknown_path(&path, std::iter::empty()).to_string();
        assert!(line.starts_with(r#"no source has the path "/\u{1b}[31m\u{202e}\nxxx"#), "{line}");
        assert!(line.len() < 300);
    }
}
