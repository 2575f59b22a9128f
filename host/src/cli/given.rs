//! Reads arguments that several commands take: an address, a body.

use std::io::{self, Read as _};

use super::exit::Failure;

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
}
