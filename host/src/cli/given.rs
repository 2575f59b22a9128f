//! Reads arguments that several commands take: an address, a body, a time.

use std::io::{self, IsTerminal as _, Read as _};
use std::time::SystemTime;

use super::exit::Failure;
use super::out;
use crate::model::Timestamp;

/// Longest body read, in bytes.
const BODY_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Splits an address into the part before its path, and the path with its query.
pub(super) fn address(url: Option<&str>) -> Result<(Option<String>, String), Failure> {
    let Some(url) = url else { return Ok((None, "/".to_owned())) };
    let wrong = || Failure::usage("--url must be https://HOST/PATH");
    let start = url.find("://").ok_or_else(wrong)? + 3;
    let end = url[start..].find(['/', '?']).map_or(url.len(), |at| start + at);
    let (base, path) = url.split_at(end);
    let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
    Ok((Some(base.to_owned()), path))
}

/// Reads the body from standard input. At a terminal it says so, because nothing would show that it waits.
pub(super) fn body_from_input() -> Result<Vec<u8>, Failure> {
    let mut input = io::stdin().lock();
    if input.is_terminal() {
        out::error("waiting for the body on standard input; Ctrl-D ends it (or: < FILE)");
    }
    read_body(&mut input, "standard input")
}

/// Reads a whole file or standard input.
pub(super) fn read_body(from: &mut dyn io::Read, name: &str) -> Result<Vec<u8>, Failure> {
    let mut body = Vec::new();
    io::Read::take(from, BODY_BYTES_MAX as u64 + 1)
        .read_to_end(&mut body)
        .map_err(|error| Failure::new(format!("cannot read {name}: {error}")))?;
    if body.len() > BODY_BYTES_MAX {
        return Err(Failure::new(format!("{name} has more than {BODY_BYTES_MAX} bytes")));
    }
    Ok(body)
}

/// Why an argument of `--since` is not valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum InvalidTime {
    #[error("write a time such as 2026-01-31T08:00:00Z, or how long ago, such as 2h or 7d")]
    Form,
    #[error("before 1970")]
    Before1970,
    #[error("in the future")]
    Future,
}

/// A moment, or how long ago it was.
pub(super) fn time(text: &str) -> Result<Timestamp, InvalidTime> {
    let moment = text.parse::<jiff::Timestamp>().ok().map(jiff::Timestamp::as_millisecond);
    if let Some(moment) = moment {
        let millis = u64::try_from(moment).map_err(|_| InvalidTime::Before1970)?;
        return Ok(Timestamp::from_millis(millis));
    }
    let ago = text.parse::<jiff::Span>().map_err(|_| InvalidTime::Form)?;
    let ago = ago.to_duration(jiff::SpanRelativeTo::days_are_24_hours());
    let ago = ago.map_err(|_| InvalidTime::Form)?;
    let now = Timestamp::from(SystemTime::now()).as_millis();
    let ago = u64::try_from(ago.as_millis()).map_err(|_| InvalidTime::Future)?;
    Ok(Timestamp::from_millis(now.saturating_sub(ago)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_split_at_its_path() {
        for (url, base, path) in [
            ("https://a.example/x?y=1", "https://a.example", "/x?y=1"),
            ("https://a.example", "https://a.example", "/"),
            ("http://u:p@a.example:80?x=1", "http://u:p@a.example:80", "/?x=1"),
        ] {
            assert_eq!(address(Some(url)).unwrap(), (Some(base.to_owned()), path.to_owned()));
        }
        assert!(address(Some("a.example/x")).is_err());
    }

    #[test]
    fn a_time_is_a_moment_or_how_long_ago() {
        let at = |text| time(text).map(Timestamp::as_millis);
        assert_eq!(at("1970-01-01T00:00:01Z"), Ok(1_000));
        assert_eq!(at("1970-01-01T01:00:01+01:00"), Ok(1_000));
        let now = Timestamp::from(SystemTime::now()).as_millis();
        let ago = now - at("2h").unwrap();
        assert!((7_190_000..=7_200_000).contains(&ago), "{ago}");
        let day = Timestamp::from(SystemTime::now()).as_millis() - at("1d").unwrap();
        assert!((86_390_000..=86_400_000).contains(&day), "{day}");
        for wrong in ["", "2", "yesterday", "-2h", "-1d", "1month"] {
            assert!(at(wrong).is_err(), "{wrong}");
        }
    }
}
