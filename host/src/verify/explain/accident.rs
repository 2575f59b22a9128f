//! Undoes each common accident in turn: if the request then verifies, that was the cause.

use std::sync::Arc;

use bytes::Bytes;
use http::Uri;

use super::super::Verifier;
use super::super::scheme::{Algorithm, Encoding, KeyForm, Mark, Place, Proof, Scheme, Signature};
use super::SEARCH_BYTES_MAX;
use super::rewrite::{STYLES, escaped, restyle};
use crate::model::{Request, Secret};

/// Most accidents reported; more would be the same one in other words.
const ACCIDENTS_MAX: usize = 3;

/// A request, and what it is verified with.
pub(super) struct Search<'r> {
    scheme: &'r Arc<Scheme>,
    secrets: &'r [Secret],
    public_url: Option<&'r str>,
    request: &'r Request,
    found: Vec<String>,
}

impl<'r> Search<'r> {
    pub(super) fn new(
        scheme: &'r Arc<Scheme>,
        secrets: &'r [Secret],
        public_url: Option<&'r str>,
        request: &'r Request,
    ) -> Self {
        Self { scheme, secrets, public_url, request, found: Vec::new() }
    }

    /// Tries another unit of the timestamp only.
    pub(super) fn wrong_unit(mut self) -> Vec<String> {
        self.try_unit();
        self.found
    }

    /// Tries everything. Each sentence begins in lower case.
    pub(super) fn all(mut self, others: &[Arc<Scheme>]) -> Vec<String> {
        self.secrets();
        self.bodies();
        self.encodings();
        self.addresses();
        self.other_schemes(others);
        self.found.truncate(ACCIDENTS_MAX);
        self.found
    }
}

impl Search<'_> {
    /// Notes the accident if the request is accepted once it is undone.
    fn try_with(
        &mut self,
        scheme: &Arc<Scheme>,
        secrets: &[Secret],
        public_url: Option<&str>,
        request: Request,
        accident: &str,
    ) {
        if self.found.len() >= ACCIDENTS_MAX {
            return;
        }
        let verifier = Verifier::new(scheme, secrets, public_url);
        if verifier.is_ok_and(|verifier| verifier.verify(request).is_ok()) {
            self.found.push(accident.to_owned());
        }
    }

    fn try_secrets(&mut self, change: impl Fn(&str) -> Option<String>, accident: &str) {
        let changed: Option<Vec<Secret>> =
            self.secrets.iter().map(|secret| change(secret.expose()).map(Secret::new)).collect();
        if let Some(changed) = changed {
            let (scheme, url) = (self.scheme, self.public_url);
            self.try_with(scheme, &changed, url, self.request.clone(), accident);
        }
    }

    fn try_scheme(&mut self, change: impl FnOnce(&mut Signature), accident: &str) {
        let mut scheme = (**self.scheme).clone();
        if let Proof::Signature(signature) = &mut scheme.proof {
            change(signature);
        }
        let (secrets, url) = (self.secrets, self.public_url);
        self.try_with(&Arc::new(scheme), secrets, url, self.request.clone(), accident);
    }

    fn try_body(&mut self, body: Vec<u8>, accident: &str) {
        if body != self.request.body {
            let request = Request { body: Bytes::from(body), ..self.request.clone() };
            let (scheme, secrets, url) = (self.scheme, self.secrets, self.public_url);
            self.try_with(scheme, secrets, url, request, accident);
        }
    }

    fn secrets(&mut self) {
        let trimmed = |text: &str| Some(text.trim().to_owned());
        self.try_secrets(
            trimmed,
            "the secret has white space around it that the sender's does not have",
        );
        let quotes = ['"', '\''];
        let unquoted = |text: &str| Some(text.trim_matches(quotes).to_owned());
        self.try_secrets(unquoted, "the secret is in quotes, which became part of it");
        let ended = |text: &str| Some(format!("{text}\n"));
        self.try_secrets(
            ended,
            "the sender's secret ends in a line break, which was saved with it",
        );
        let Some(signature) = self.scheme.signature() else { return };
        let symmetric = |mark: &Mark| mark.algorithm.is_symmetric();
        if !signature.marks.iter().all(symmetric) {
            return;
        }
        let forms = [
            (KeyForm::Text, "the sender uses the secret as text, prefix included, not decoded"),
            (KeyForm::Hex, "the sender decodes the secret from hexadecimal digits"),
            (
                KeyForm::Base64 { prefix: "whsec_".into() },
                "the sender decodes the secret from base64, without its prefix",
            ),
        ];
        for (form, accident) in forms {
            if signature.marks.iter().any(|mark| mark.key != form) {
                self.try_scheme(
                    |s| s.marks.iter_mut().for_each(|m| m.key = form.clone()),
                    accident,
                );
            }
        }
        let bare = |text: &str| text.split_once('_').map(|(_, bare)| bare.to_owned());
        self.try_secrets(bare, "the sender uses the secret without its prefix");
        for prefix in ["whsec_", "pdl_ntfset_"] {
            let whole = |text: &str| Some(format!("{prefix}{text}"));
            let accident = format!("the prefix {prefix} of the secret is missing here");
            self.try_secrets(whole, &accident);
        }
    }

    fn bodies(&mut self) {
        let body = self.request.body.clone();
        let covers = self.scheme.signature().is_some_and(Signature::covers_content);
        if body.len() > SEARCH_BYTES_MAX || !covers {
            return;
        }
        if self.ends(&body) {
            // In another style it would be found again, as a second cause.
            return;
        }
        self.try_body(Vec::new(), "the signature is over an empty body");
        let Ok(text) = std::str::from_utf8(&body) else { return };
        if serde_json::from_str::<serde::de::IgnoredAny>(text).is_err() {
            return;
        }
        for style in &STYLES {
            let accident = format!(
                "the body was re-serialized on the way: {} it verifies; pass on the raw bytes",
                style.name
            );
            let restyled = restyle(text, style);
            let ascii = escaped(&restyled);
            for form in [restyled.replace('/', "\\/"), format!("{restyled}\n"), restyled] {
                self.try_body(form.into_bytes(), &accident);
            }
            self.try_body(ascii.into_bytes(), &accident);
        }
    }

    /// Whether white space was lost or added at the end of the body.
    fn ends(&mut self, body: &[u8]) -> bool {
        let causes_before = self.found.len();
        let lost = "the body lost the line break at its end on the way";
        for end in [&b"\n"[..], b"\r\n"] {
            self.try_body([body, end].concat(), lost);
        }
        let added = "white space that was not signed was added at the end of the body";
        if let Some(rest) = body.strip_suffix(b"\n") {
            let rest = rest.strip_suffix(b"\r").unwrap_or(rest);
            let accident = format!("{added}: a line break, such as `echo` and editors add");
            self.try_body(rest.to_vec(), &accident);
        }
        if self.found.len() == causes_before {
            self.try_body(body.trim_ascii_end().to_vec(), added);
        }
        self.found.len() > causes_before
    }

    /// Another encoding, prefix or algorithm of the signature.
    fn encodings(&mut self) {
        let Some(signature) = self.scheme.signature() else { return };
        let (other, accident) = match signature.encoding {
            Encoding::Hex => {
                (Encoding::Base64, "the signature is base64, but should be hexadecimal")
            }
            Encoding::Base64 => {
                (Encoding::Hex, "the signature is hexadecimal, but should be base64")
            }
        };
        self.try_scheme(|signature| signature.encoding = other, accident);
        for prefix in ["", "sha256=", "sha1=", "sha512=", "v1=", "v0="] {
            let shown = if prefix.is_empty() { "no prefix" } else { prefix };
            let expected = signature.marks.first().map_or("", |mark| &*mark.text);
            if prefix != expected {
                let accident = format!("the signature is sent with {shown} before it");
                let change = |s: &mut Signature| {
                    s.marks.iter_mut().for_each(|mark| mark.text = prefix.into());
                };
                self.try_scheme(change, &accident);
            }
        }
        let algorithms = [
            (Algorithm::HmacSha1, "the sender signs with HMAC-SHA1"),
            (Algorithm::HmacSha256, "the sender signs with HMAC-SHA256"),
            (Algorithm::HmacSha512, "the sender signs with HMAC-SHA512"),
        ];
        for (algorithm, accident) in algorithms {
            if signature.marks.iter().all(|mark| mark.algorithm.is_symmetric()) {
                let change =
                    |s: &mut Signature| s.marks.iter_mut().for_each(|m| m.algorithm = algorithm);
                if signature.marks.iter().any(|mark| mark.algorithm != algorithm) {
                    self.try_scheme(change, accident);
                }
            }
        }
    }

    /// An address other than the configured one.
    fn addresses(&mut self) {
        let (true, Some(url)) = (self.scheme.needs_public_url(), self.public_url) else { return };
        let path = self.request.uri.path_and_query().map_or("", |path| path.as_str()).to_owned();
        let (before, query) = path.split_once('?').map_or((path.as_str(), ""), |(b, q)| (b, q));
        let behind = |path: &str| {
            if query.is_empty() { path.to_owned() } else { format!("{path}?{query}") }
        };
        let mut bases = vec![url.to_owned()];
        bases.extend(url.strip_prefix("https:").map(|rest| format!("http:{rest}")));
        bases.extend(url.strip_prefix("http:").map(|rest| format!("https:{rest}")));
        bases.extend(super::super::url::other_port(url));
        let host = ["x-forwarded-host", "host"].into_iter();
        for host in host.filter_map(|name| self.request.headers.get(name)?.to_str().ok()) {
            bases.extend(["https", "http"].map(|scheme| format!("{scheme}://{host}")));
        }
        let mut paths = vec![path.clone(), behind(before.trim_end_matches('/'))];
        paths.push(behind(&format!("{}/", before.trim_end_matches('/'))));
        paths.push(before.to_owned());
        let inner = before.strip_prefix('/').and_then(|path| path.find('/').map(|at| &path[at..]));
        paths.extend(inner.map(behind));
        for base in &bases {
            for path in &paths {
                if base == url && self.request.uri == path.as_str() {
                    continue;
                }
                let Ok(uri) = path.parse::<Uri>() else { continue };
                let request = Request { uri, ..self.request.clone() };
                let address = crate::model::printable(&format!(
                    "{base}{}",
                    super::super::without_query(path)
                ));
                let accident = format!(
                    "the sender signed another address, {address}: a proxy changed it on the way, or \
                     server.public_url is wrong"
                );
                let (scheme, secrets) = (self.scheme, self.secrets);
                self.try_with(scheme, secrets, Some(base), request, &accident);
            }
        }
    }

    /// A built-in scheme that accepts the request.
    fn other_schemes(&mut self, others: &[Arc<Scheme>]) {
        if !self.found.is_empty() {
            return;
        }
        for other in others.iter().filter(|other| other.name != self.scheme.name) {
            let Some(signature) = other.signature() else { continue };
            let (Place::First(names) | Place::Each(names)) = &signature.place else { continue };
            if names.iter().any(|name| self.request.headers.contains_key(name)) {
                let accident = format!("scheme `{}` accepts it", other.name);
                let (secrets, url) = (self.secrets, self.public_url);
                self.try_with(other, secrets, url, self.request.clone(), &accident);
            }
        }
    }

    /// Seconds instead of milliseconds, or the reverse.
    fn try_unit(&mut self) {
        use super::super::scheme::Unit;
        let Some(stamp) = self.scheme.signature().and_then(|s| s.stamp.as_ref()) else { return };
        let (unit, accident) = match stamp.unit {
            Unit::Seconds => (Unit::Millis, "the timestamp is in milliseconds, not in seconds"),
            Unit::Millis => (Unit::Seconds, "the timestamp is in seconds, not in milliseconds"),
            Unit::Rfc3339 | Unit::HttpDate => return,
        };
        let change = |signature: &mut Signature| {
            if let Some(stamp) = &mut signature.stamp {
                stamp.unit = unit;
            }
        };
        self.try_scheme(change, accident);
    }
}
