//! Signs requests as a sender would, for the commands that send or show them.

use std::sync::Arc;
use std::time::SystemTime;

use http::{HeaderMap, Method};
use ring::rand::SystemRandom;

use super::exit::Failure;
use super::out;
use crate::model::{Secret, Timestamp};
use crate::verify::{self, CannotSign, Scheme, Signed, Signer, Unsigned};

/// The sender that signs, and the address that it signs for.
pub(super) struct Sender {
    pub(super) scheme: Arc<Scheme>,
    pub(super) secret: Option<Secret>,
    pub(super) public_url: Option<String>,
    pub(super) path: String,
}

/// A complete signed request.
pub(super) struct Ready {
    pub(super) headers: Vec<(String, String)>,
    pub(super) path: String,
    pub(super) body: Vec<u8>,
}

impl Sender {
    /// Generates a key pair if only the receiver's public key is known, and prints a note.
    pub(super) fn signer(&self, of_source: bool) -> Result<Signer, Failure> {
        let random = SystemRandom::new();
        if !self.scheme.has_secrets() {
            return Signer::new(&self.scheme, &Secret::new(""), &random).map_err(Failure::usage);
        }
        let made = match &self.secret {
            Some(secret) => Signer::new(&self.scheme, secret, &random),
            None => Err(CannotSign::NeedsPrivateKey { scheme: self.scheme.name.to_string() }),
        };
        match made {
            // A source has the receiver's key, so it would refuse what a generated key signs.
            Err(CannotSign::NeedsPrivateKey { .. }) if !of_source => {
                let Some((private, public)) = verify::trial_keys(&self.scheme, &random) else {
                    return Err(Failure::usage(
                        "give the secret or private key with --secret SECRET",
                    ));
                };
                out::error(&format!(
                    "note: signed with a key pair generated for this trial; the receiver's key is\n  {public}"
                ));
                Signer::new(&self.scheme, &private, &random).map_err(Failure::usage)
            }
            made => made.map_err(Failure::usage),
        }
    }

    /// `fields` are the headers that the sender sends besides the signature.
    pub(super) fn sign(
        &self,
        signer: &Signer,
        fields: &[(&'static str, String)],
        body: &[u8],
    ) -> Result<Ready, Failure> {
        let mut own = HeaderMap::new();
        for (name, value) in fields {
            if let Ok(value) = value.parse() {
                own.insert(*name, value);
            }
        }
        let id = super::sample::random_id()
            .map_err(|error| Failure::new(format!("cannot generate an id: {error}")))?;
        let unsigned = Unsigned {
            method: Method::POST,
            public_url: self.public_url.as_deref(),
            path: &self.path,
            headers: own,
            body,
            now: Timestamp::from(SystemTime::now()),
            id: &id,
        };
        let signed = signer.sign(unsigned, &SystemRandom::new()).map_err(|error| match error {
            CannotSign::Request(verify::VerifyRefusal::NoPublicUrl) => {
                Failure::usage("this scheme signs the address: give it with --url")
            }
            error => Failure::new(error),
        })?;
        let Signed { headers, body: changed, path } = signed;
        let is_signed = |name: &str| headers.iter().any(|(signed, _)| signed == name);
        let fields = fields.iter().filter(|(name, _)| !is_signed(name));
        let fields = fields.map(|(name, value)| ((*name).to_owned(), value.clone()));
        let signed = headers.iter().map(|(name, value)| (name.to_string(), value.clone()));
        Ok(Ready {
            headers: fields.chain(signed).collect(),
            path: path.unwrap_or_else(|| self.path.clone()),
            body: changed.unwrap_or_else(|| body.to_vec()),
        })
    }
}

impl Ready {
    /// The headers, with the content type of JSON unless the sender has another one.
    pub(super) fn all_headers(&self) -> impl Iterator<Item = (&str, &str)> {
        let own = self.headers.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let json = ("content-type", "application/json");
        let named = self.headers.iter().any(|(name, _)| name == json.0);
        own.chain((!named).then_some(json))
    }

    /// The request as one line for a shell.
    pub(super) fn curl(&self, base: &str) -> Result<String, Failure> {
        let body = std::str::from_utf8(&self.body).map_err(|_| {
            Failure::new("the body is not UTF-8: write it to a file and use --data-binary @FILE")
        })?;
        let mut words = vec!["curl".to_owned()];
        for (name, value) in self.all_headers() {
            words.push(format!("-H {}", quoted(&format!("{name}: {value}"))));
        }
        words.push(format!("--data-binary {}", quoted(body)));
        words.push(quoted(&format!("{base}{}", self.path)));
        Ok(words.join(" "))
    }
}

/// The text as one word for a shell.
pub(super) fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "'\\''"))
}
