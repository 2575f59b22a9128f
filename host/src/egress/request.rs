//! Converts a plugin's request into one that is safe to send, or says what is wrong with it.
//!
//! Pure. Only the client sets the header fields that frame a message or control the connection: a plugin's own
//! `content-length` could smuggle a second request into a shared connection.

use bytes::Bytes;
use http::header::{HOST, HeaderMap, HeaderName, HeaderValue, USER_AGENT};
use http::{Method, Request, Uri};
use http_body_util::Full;

use super::error::EgressError;
use super::message::Outgoing;

/// Most header fields of one request.
pub const HEADERS_MAX: usize = 64;
/// Most bytes of one request's header fields, names and values together.
pub const HEADER_BYTES_MAX: usize = 16 * 1024;

const AGENT: HeaderValue =
    HeaderValue::from_static(concat!("dispatcher/", env!("CARGO_PKG_VERSION")));

/// Fields that only the client sets.
const RESERVED: &[&str] = &[
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

/// Methods that open a tunnel or echo the request's headers.
const METHODS_DENIED: &[Method] = &[Method::CONNECT, Method::TRACE];

/// A request in the form that is sent, and its destination.
pub(super) struct Prepared {
    pub(super) request: Request<Full<Bytes>>,
    pub(super) to: Uri,
    pub(super) peer: Peer,
}

/// `scheme://host:port`, always with a port.
#[derive(Clone, Debug)]
pub(super) struct Peer {
    pub(super) origin: String,
    scheme_bytes: usize,
}

impl Peer {
    /// `host:port`, for messages and for counting connections.
    pub(super) fn name(&self) -> &str {
        self.origin.get(self.scheme_bytes..).unwrap_or_default()
    }
}

pub(super) fn prepare(outgoing: Outgoing) -> Result<Prepared, EgressError> {
    let (to, peer) = destination(&outgoing.url)?;
    let refuse = |reason| refusal(peer.name(), reason);
    if METHODS_DENIED.contains(&outgoing.method) {
        return Err(refuse(format!("the method {} is not supported", outgoing.method)));
    }
    let mut headers = fields(&outgoing.headers).map_err(refuse)?;
    let host = host(&to)
        .ok_or_else(|| refuse("the host in its url has forbidden characters".to_owned()))?;
    headers.insert(HOST, host);
    let mut request = Request::new(Full::new(outgoing.body));
    *request.method_mut() = outgoing.method;
    *request.uri_mut() = to.path_and_query().cloned().map(Uri::from).unwrap_or_default();
    *request.headers_mut() = headers;
    Ok(Prepared { request, to, peer })
}

fn refusal(peer: &str, reason: String) -> EgressError {
    EgressError::not_sent(format!("request to {peer} not sent: {reason}"))
}

/// The field `host`, without the port if it is the scheme's default.
fn host(to: &Uri) -> Option<HeaderValue> {
    let default_port = if to.scheme_str() == Some("https") { 443 } else { 80 };
    let authority = to.authority()?;
    let named = authority.port_u16().is_some_and(|port| port != default_port);
    HeaderValue::from_str(if named { authority.as_str() } else { authority.host() }).ok()
}

/// Errors never contain the URL: its path and query may have tokens.
fn destination(url: &str) -> Result<(Uri, Peer), EgressError> {
    let form = "the url must have the form https://host/path, in ASCII without spaces";
    let uri: Uri = url.parse().map_err(|_| EgressError::not_sent(form))?;
    let (scheme, default_port) = match uri.scheme_str() {
        Some("https") => ("https://", 443),
        Some("http") => ("http://", 80),
        _ => return Err(EgressError::not_sent("the url must start with https:// or http://")),
    };
    let Some(authority) = uri.authority().filter(|authority| !authority.host().is_empty()) else {
        return Err(EgressError::not_sent(form));
    };
    if authority.as_str().contains('@') {
        return Err(EgressError::not_sent(
            "the url must not contain a user or a password; send them in an authorization header",
        ));
    }
    let named_port = authority.as_str().len() > authority.host().len();
    let port = match authority.port_u16() {
        Some(0) => None,
        None if named_port => None,
        port => Some(port.unwrap_or(default_port)),
    };
    let Some(port) = port else {
        return Err(EgressError::not_sent("the port in the url must be between 1 and 65535"));
    };
    let mut origin = format!("{scheme}{}:{port}", authority.host());
    origin.make_ascii_lowercase();
    Ok((uri, Peer { origin, scheme_bytes: scheme.len() }))
}

fn fields(given: &[(String, String)]) -> Result<HeaderMap, String> {
    let bytes: usize = given.iter().map(|(name, value)| name.len() + value.len()).sum();
    if given.len() > HEADERS_MAX || bytes > HEADER_BYTES_MAX {
        return Err(format!(
            "it has more than {HEADERS_MAX} header fields, or more than {HEADER_BYTES_MAX} bytes of them"
        ));
    }
    let mut headers = HeaderMap::with_capacity(given.len() + 2);
    headers.insert(USER_AGENT, AGENT);
    let mut own_agent = true;
    for (name, value) in given {
        let name = HeaderName::from_bytes(name.as_bytes())
            .map_err(|_| "the name of a header field has forbidden characters".to_owned())?;
        if RESERVED.contains(&name.as_str()) {
            return Err(format!("the header field {name} is set by the daemon; remove it"));
        }
        let value = HeaderValue::from_str(value)
            .map_err(|_| format!("the value of header field {name} has forbidden characters"))?;
        if name == USER_AGENT && std::mem::take(&mut own_agent) {
            headers.remove(USER_AGENT);
        }
        headers.append(name, value);
    }
    Ok(headers)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::egress::ErrorKind;
    use tokio::time::Instant;

    fn outgoing(url: &str, headers: &[(&str, &str)]) -> Outgoing {
        let headers = headers.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
        Outgoing {
            method: Method::POST,
            url: url.to_owned(),
            headers,
            body: Bytes::new(),
            allow: [].into(),
            deadline: Instant::now(),
        }
    }

    fn refused(outgoing: Outgoing) -> String {
        let error = prepare(outgoing).err().unwrap();
        assert_eq!(error.kind, ErrorKind::NotSent);
        error.reason
    }

    #[test]
    fn the_peer_is_always_host_and_port() {
        for (url, peer) in [
            ("https://api.example.org/v1?key=s3cret", "api.example.org:443"),
            ("http://API.example.org", "api.example.org:80"),
            ("http://a.example:8080/#part", "a.example:8080"),
            ("https://[::1]:99/", "[::1]:99"),
            ("https://[::1]/", "[::1]:443"),
            ("HTTPS://a.example/", "a.example:443"),
        ] {
            assert_eq!(prepare(outgoing(url, &[])).unwrap().peer.name(), peer, "{url}");
        }
    }

    #[test]
    fn a_request_has_the_path_and_host_that_servers_expect() {
        for (url, path, host) in [
            ("https://a.example/v1?key=1", "/v1?key=1", "a.example"),
            ("http://a.example", "/", "a.example"),
            ("http://a.example?x=1", "/?x=1", "a.example"),
            ("http://a.example:80/", "/", "a.example"),
            ("https://a.example:80/", "/", "a.example:80"),
            ("http://[::1]:8080/x#part", "/x", "[::1]:8080"),
        ] {
            let request = prepare(outgoing(url, &[])).unwrap().request;
            assert_eq!(
                (request.uri().to_string().as_str(), &request.headers()[HOST]),
                (path, &HeaderValue::from_static(host)),
                "{url}"
            );
        }
    }

    #[test]
    fn an_invalid_url_is_refused_without_repeating_it() {
        for url in [
            "",
            "/s3cret",
            "s3cret",
            "example.org/s3cret",
            "ftp://example.org/s3cret",
            "file:///s3cret",
            "http://",
            "http:///s3cret",
            "http://:80/s3cret",
            "http://exa mple.org/s3cret",
            "http://user:s3cret@example.org/",
            "http://example.org:0/s3cret",
            "http://example.org:99999/s3cret",
            "http://example.org:/s3cret",
            "http://éxample.org/s3cret",
            "http://example.org/s3cret\r\nx: y",
        ] {
            let reason = refused(outgoing(url, &[]));
            assert!(!reason.contains("s3cret"), "{url}: {reason}");
        }
    }

    #[test]
    fn fields_about_the_connection_are_refused() {
        for name in ["Content-Length", "transfer-encoding", "HOST", "Connection", "upgrade"] {
            let reason = refused(outgoing("http://a.example/", &[(name, "s3cret")]));
            assert!(reason.contains("remove it") && !reason.contains("s3cret"), "{reason}");
        }
    }

    #[test]
    fn fields_that_would_split_a_message_are_refused() {
        for (name, value) in [("x", "s3cret\r\ny: z"), ("x", "s3cret\0"), ("x y", "1"), ("", "1")] {
            let reason = refused(outgoing("http://a.example/", &[(name, value)]));
            assert!(!reason.contains("s3cret"), "{reason}");
        }
    }

    #[test]
    fn fields_are_bounded_in_number_and_size() {
        let many = vec![("x", "1"); HEADERS_MAX + 1];
        assert!(refused(outgoing("http://a.example/", &many)).contains("64"));
        let long = "v".repeat(HEADER_BYTES_MAX);
        assert!(refused(outgoing("http://a.example/", &[("x", &long)])).contains("16384"));
    }

    #[test]
    fn the_callers_user_agent_wins() {
        let own = prepare(outgoing("http://a.example/", &[])).unwrap().request;
        assert!(own.headers()[USER_AGENT].to_str().unwrap().starts_with("dispatcher/"));
        let given = prepare(outgoing("http://a.example/", &[("User-Agent", "x")])).unwrap().request;
        assert_eq!(given.headers().get_all(USER_AGENT).iter().collect::<Vec<_>>(), ["x"]);
    }

    #[test]
    fn methods_that_open_a_tunnel_or_echo_headers_are_refused() {
        for method in [Method::CONNECT, Method::TRACE] {
            let mut request = outgoing("http://a.example/", &[]);
            request.method = method;
            assert!(refused(request).contains("not supported"));
        }
    }
}
