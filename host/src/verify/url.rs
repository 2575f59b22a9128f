//! The address that a sender signs: `server.public_url` with the path and query of the request.
//!
//! The Host header is never part of it, because the sender of a request chooses it.

/// Longest address that is tried in other forms, in bytes; a longer one is used as sent.
const OTHER_FORMS_BYTES_MAX: usize = 16 * 1024;

/// The address in each form that the sender may have signed; the form in which it was sent comes first.
pub(super) fn forms(public_url: &str, path: &str, any_port: bool) -> Vec<String> {
    let came = format!("{public_url}{path}");
    if !any_port || came.len() > OTHER_FORMS_BYTES_MAX {
        return vec![came];
    }
    let mut all = vec![came.clone()];
    for url in [Some(came.as_str()), other_port(&came).as_deref()].into_iter().flatten() {
        let (before, query) = url.split_once('?').unwrap_or((url, ""));
        for query in [query.to_owned(), query.replace('\'', "%27"), query.replace("%27", "'")] {
            let written =
                if query.is_empty() { before.to_owned() } else { format!("{before}?{query}") };
            if !all.contains(&written) {
                all.push(written);
            }
        }
    }
    all
}

/// Without its port, or with the default port if it has none.
pub(super) fn other_port(url: &str) -> Option<String> {
    let (scheme, rest) = url.split_once("://")?;
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, rest) = rest.split_at(end);
    // Colons of an IPv6 address are in brackets, those of a password come before an `@`.
    let host = authority.rfind(['@', ']']).map_or(0, |at| at + 1);
    Some(match authority[host..].find(':') {
        Some(colon) => format!("{scheme}://{}{rest}", &authority[..host + colon]),
        None => {
            let port = if scheme.eq_ignore_ascii_case("https") { 443 } else { 80 };
            format!("{scheme}://{authority}:{port}{rest}")
        }
    })
}

/// Everything from the first slash after the host.
pub(super) fn path(url: &str) -> &str {
    let start = url.find("://").map_or(0, |at| at + 3);
    url[start..].find('/').map_or("", |at| &url[start + at..])
}

/// Decodes only the escapes of `:/?@!$'()*,;`.
pub(super) fn decode(url: &str) -> String {
    let mut decoded = String::with_capacity(url.len());
    let mut rest = url;
    while let Some(at) = rest.find('%') {
        decoded.push_str(&rest[..at]);
        let code = rest.get(at + 1..at + 3).and_then(|hex| u8::from_str_radix(hex, 16).ok());
        match code.filter(|code| b":/?@!$'()*,;".contains(code)) {
            Some(code) => {
                decoded.push(char::from(code));
                rest = &rest[at + 3..];
            }
            None => {
                decoded.push('%');
                rest = &rest[at + 1..];
            }
        }
    }
    decoded + rest
}

/// Whether this text is in the address, and is not just the name of a parameter.
pub(super) fn contains_beside_names(address: &str, text: &str) -> bool {
    address.match_indices(text).any(|(at, _)| {
        let begins = address[..at].ends_with(['?', '&']);
        !(begins && address[at + text.len()..].starts_with('='))
    })
}

/// The values of a parameter, decoded.
pub(super) fn parameter<'q>(
    query: &'q str,
    name: &'q str,
) -> impl Iterator<Item = Vec<u8>> + use<'q> {
    query.split('&').filter_map(move |pair| {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        let matches = super::codec::unescape(key.as_bytes(), true) == name.as_bytes();
        matches.then(|| super::codec::unescape(value.as_bytes(), true))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_port_and_a_quote_have_two_forms() {
        for (base, path, other) in [
            ("https://a.example", "/x?y=1", "https://a.example:443/x?y=1"),
            ("http://a.example", "/x", "http://a.example:80/x"),
            ("https://a.example:8443", "/x", "https://a.example/x"),
            ("https://u:p@a.example", "/x:1", "https://u:p@a.example:443/x:1"),
            ("https://[::1]:443", "/x", "https://[::1]/x"),
            ("https://[::1]", "/", "https://[::1]:443/"),
            ("https://a.example", "/x?q='", "https://a.example/x?q=%27"),
            ("https://a.example", "/x?q=%27", "https://a.example:443/x?q='"),
        ] {
            let all = forms(base, path, true);
            assert_eq!(all[0], format!("{base}{path}"));
            assert!(all.iter().any(|url| url == other) && all.len() <= 6, "{all:?}");
            assert_eq!(forms(base, path, false), [format!("{base}{path}")]);
        }
    }

    #[test]
    fn some_escapes_are_decoded_and_others_stay() {
        let url = "https://a.example/x?a=%3A%2f%40%21%24%27%28%29%2A%2C%3B&b=%20%25%3D%é%";
        assert_eq!(decode(url), "https://a.example/x?a=:/@!$'()*,;&b=%20%25%3D%é%");
        assert_eq!(path("https://a.example/in/x?y=/"), "/in/x?y=/");
        assert_eq!(path("https://a.example"), "");
    }
}
