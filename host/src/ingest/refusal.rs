//! Why a request is refused: what the log says, what the sender is told, and with which status.
//!
//! The log's text may name limits, places and reasons; of the sender's own text it shows only a path,
//! escaped and cut. The answer's text says what the sender can change, and nothing else.

use std::borrow::Cow;
use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use http::{Method, StatusCode};

use super::decode::Undecoded;
use super::limits::seconds;
use super::without_slash;
use crate::normalize::Malformed;
use crate::store::AppendError;
use crate::verify::VerifyRefusal;

/// Longest part of a path that is shown or compared, in bytes.
const PATH_BYTES_MAX: usize = 128;
/// How many letters may differ in a near miss.
const NEAR_EDITS_MAX: usize = 2;

#[derive(Debug)]
pub(super) enum Refusal {
    Path {
        path: String,
        near: Option<String>,
    },
    Method {
        allowed: Vec<Method>,
    },
    Unverified(VerifyRefusal),
    /// Not on the source's allow-list.
    Address {
        client: IpAddr,
    },
    /// There is an allow-list, and no telling.
    UnknownAddress,
    /// More often than the source's rate.
    Rate {
        wait: Duration,
    },
    /// Requests of this address fail too often.
    Failing {
        client: IpAddr,
        wait: Duration,
    },
    TooLong {
        bytes_max: usize,
    },
    Malformed(Malformed),
    Coding,
    BrokenCoding(&'static str),
    SlowBody {
        seconds: u64,
    },
    BrokenBody(String),
    BytesInFlight {
        bytes_max: usize,
    },
    Store(AppendError),
}

impl Refusal {
    pub(super) const fn undecoded(undecoded: Undecoded, bytes_max: usize) -> Self {
        match undecoded {
            Undecoded::Unknown => Self::Coding,
            Undecoded::Broken(coding) => Self::BrokenCoding(coding),
            Undecoded::TooLong => Self::TooLong { bytes_max },
        }
    }

    /// `known` are the paths of all sources.
    pub(super) fn unknown_path<'a>(path: &str, known: impl Iterator<Item = &'a String>) -> Self {
        let near = near(path, known).cloned();
        let path = path.chars().take(PATH_BYTES_MAX).collect();
        Self::Path { path, near }
    }

    pub(super) const fn status(&self) -> StatusCode {
        match self {
            Self::Path { .. } => StatusCode::NOT_FOUND,
            Self::Method { .. } => StatusCode::METHOD_NOT_ALLOWED,
            Self::Unverified(_) => StatusCode::UNAUTHORIZED,
            Self::Address { .. } | Self::UnknownAddress => StatusCode::FORBIDDEN,
            Self::Rate { .. } | Self::Failing { .. } => StatusCode::TOO_MANY_REQUESTS,
            Self::TooLong { .. }
            | Self::Malformed(Malformed::TooMany)
            | Self::Store(AppendError::TooLarge { .. }) => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Malformed(_) | Self::BrokenBody(_) | Self::BrokenCoding(_) => {
                StatusCode::BAD_REQUEST
            }
            Self::Coding => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::SlowBody { .. } => StatusCode::REQUEST_TIMEOUT,
            Self::BytesInFlight { .. } | Self::Store(_) => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    /// Whether the cause lies here and not with the sender.
    pub(super) const fn is_ours(&self) -> bool {
        matches!(self.status(), StatusCode::SERVICE_UNAVAILABLE)
    }

    /// Whether there is no room. The store has said why in the log, and says when there is.
    pub(super) const fn is_full(&self) -> bool {
        matches!(self, Self::Store(AppendError::Full { .. }))
    }

    /// How long the sender is asked to wait, in seconds, where that is known.
    pub(super) fn wait_s(&self) -> Option<u64> {
        match self {
            Self::Rate { wait } | Self::Failing { wait, .. } => Some(seconds(*wait)),
            _ => None,
        }
    }

    /// What the sender is told.
    pub(super) fn answer(&self) -> Cow<'static, str> {
        match self {
            Self::Path { .. } => "nothing is received at this path".into(),
            Self::Method { .. } => "this method is not used here".into(),
            // Which check failed would help a forger.
            Self::Unverified(_) => "the signature is missing or wrong".into(),
            Self::Address { .. } | Self::UnknownAddress => {
                "requests from this address are not taken here".into()
            }
            Self::Rate { .. } | Self::Failing { .. } => {
                "too many requests; send it again later".into()
            }
            Self::TooLong { bytes_max } => {
                format!("the body is longer than {bytes_max} bytes").into()
            }
            Self::Malformed(malformed) => malformed.to_string().into(),
            Self::Coding => "the body may be compressed by gzip, deflate, br or zstd".into(),
            Self::BrokenCoding(coding) => format!("the body is no whole {coding}").into(),
            Self::SlowBody { .. } => "the body took too long".into(),
            Self::BrokenBody(_) => "the body did not arrive whole".into(),
            Self::Store(AppendError::TooLarge { .. }) => "the request is too large to store".into(),
            Self::BytesInFlight { .. } | Self::Store(_) => {
                "cannot be stored at the moment; send it again later".into()
            }
        }
    }
}

/// For the log.
impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Path { path, near: None } => write!(f, "no source has the path {path:?}"),
            Self::Path { path, near: Some(near) } => {
                write!(f, "no source has the path {path:?}; did you mean {near:?}?")
            }
            Self::Method { allowed } => {
                let names: Vec<_> = allowed.iter().map(Method::as_str).collect();
                write!(f, "the method is not {}", names.join(" or "))
            }
            Self::Unverified(refused) => refused.fmt(f),
            Self::Address { client } => write!(f, "{client} is not on the source's allow-list"),
            Self::UnknownAddress => f.write_str(
                "there is an allow-list, and the sender's address is unknown: X-Forwarded-For and \
                 Forwarded contradict one another",
            ),
            Self::Rate { wait } => {
                write!(f, "more often than the source's rate; room in {} s", seconds(*wait))
            }
            Self::Failing { client, wait } => write!(
                f,
                "requests of {client} failed verification more often than the source's rate; it is heard \
                 again in {} s",
                seconds(*wait)
            ),
            Self::TooLong { bytes_max } => {
                write!(f, "the body is longer than this source takes, {bytes_max} bytes")
            }
            Self::Malformed(malformed) => malformed.fmt(f),
            Self::Coding => f.write_str(
                "its content-encoding is not known here: gzip, deflate, br and zstd are, two at most",
            ),
            Self::BrokenCoding(coding) => write!(f, "the body is no whole {coding}"),
            Self::SlowBody { seconds } => write!(f, "the body did not arrive within {seconds} s"),
            Self::BrokenBody(reason) => write!(f, "the body did not arrive whole: {reason:?}"),
            Self::BytesInFlight { bytes_max } => {
                write!(
                    f,
                    "bodies in flight would hold more than {bytes_max} bytes, and this source has used its part"
                )
            }
            Self::Store(error) => write!(f, "cannot be stored: {error}"),
        }
    }
}

/// The known path that was probably meant: a typing error, other case, or with something around it.
fn near<'a>(path: &str, known: impl Iterator<Item = &'a String>) -> Option<&'a String> {
    let path = without_slash(path).to_ascii_lowercase();
    if path.is_empty() || path.len() > PATH_BYTES_MAX {
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
        let edits = strsim::levenshtein(&path, &known_lower);
        // In a short path two other letters make another word.
        (edits <= NEAR_EDITS_MAX && 2 * edits < path.len()).then_some(edits)
    };
    let near = known.filter_map(|known| Some((distance(known)?, known)));
    near.min().map(|(_, known)| known)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_near_miss_names_what_was_meant() {
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
    fn a_senders_path_cannot_forge_a_line() {
        let path = "/\u{1b}[31m\u{202e}\n".to_owned() + &"x".repeat(1000);
        let line = Refusal::unknown_path(&path, std::iter::empty()).to_string();
        assert!(line.starts_with(r#"no source has the path "/\u{1b}[31m\u{202e}\nxxx"#), "{line}");
        assert!(line.len() < 300);
    }
}
