//! `dispatcher sign`: what a sender would add to a body.

use std::io::Read as _;
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use http::{HeaderMap, Method};
use ring::rand::SystemRandom;

use super::exit::Failure;
use super::{find, out, scheme, verify as verify_command};
use crate::model::{Secret, Timestamp};
use crate::verify::{self, CannotSign, Part, Proof, Scheme, Signed, Signer, Unsigned};

/// Longest body read, in bytes.
pub(super) const BODY_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Print the signature header of a body, as its sender adds it
///
/// Reads the body from standard input, byte for byte: a line break at its end counts. A scheme with a
/// public key needs the private one; without it a pair is made for the trial.
///
///   dispatcher sign --source sqreen < body.json
///   printf 4567 | dispatcher sign --scheme sqreen --secret literal:1234
///   curl -H "$(dispatcher sign --source sqreen < b.json)" --data-binary @b.json http://127.0.0.1:7070/sqreen
#[derive(Clone, Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(super) struct SignArgs {
    /// Sign as this source's sender: its scheme and its first secret.
    #[arg(long, value_name = "NAME", required_unless_present = "scheme")]
    source: Option<String>,
    /// Sign by this scheme.
    #[arg(long, value_name = "NAME", conflicts_with = "source")]
    scheme: Option<String>,
    /// What signs: env:NAME, file:PATH (from here), credential:NAME or literal:TEXT.
    #[arg(long, value_name = "REFERENCE")]
    secret: Option<String>,
    /// The address that the sender was given, for schemes that sign it.
    #[arg(long, value_name = "URL")]
    url: Option<String>,
    /// For scheme `token`: header:NAME or query:NAME.
    #[arg(long, value_name = "PLACE")]
    token_in: Option<String>,
    /// Print a curl command that sends the signed body to --url.
    #[arg(long)]
    curl: bool,
}

/// Who signs, and for which address.
pub(super) struct Sender {
    pub(super) scheme: Arc<Scheme>,
    pub(super) secret: Option<Secret>,
    pub(super) public_url: Option<String>,
    pub(super) path: String,
}

/// A request that is signed, whole.
pub(super) struct Ready {
    pub(super) headers: Vec<(String, String)>,
    pub(super) path: String,
    pub(super) body: Vec<u8>,
}

/// Prints the header lines.
pub(super) fn run(args: &SignArgs, config: Option<&Path>) -> Result<(), Failure> {
    let (base, path) = verify_command::address(args.url.as_deref())?;
    let given = match &args.secret {
        Some(reference) => Some(scheme::secret(reference, &scheme::environment(config)?)?),
        None => None,
    };
    let sender = match (&args.source, &args.scheme) {
        (Some(source), _) => {
            let config = find::load(config)?;
            let (source, secret) = find::source(&config, source)?;
            let path = if base.is_some() { path } else { source.path.clone() };
            Sender {
                scheme: Arc::clone(source.verifier.scheme()),
                secret: given.or_else(|| Some(secret.clone())),
                public_url: base.or_else(|| config.public_url.clone()),
                path,
            }
        }
        (None, Some(name)) => Sender {
            scheme: scheme::chosen(name, args.token_in.as_deref(), config)?,
            secret: given,
            public_url: base,
            path,
        },
        _ => return Err(Failure::usage("give --source NAME, or --scheme NAME --secret REFERENCE")),
    };
    let signer = sender.signer(args.source.is_some())?;
    let body = read_body(&mut std::io::stdin().lock(), "standard input")?;
    let ready = sender.sign(&signer, &[], &body)?;
    let base = sender.public_url.as_deref();
    if args.curl {
        out::line(&ready.curl(base.unwrap_or("http://127.0.0.1:7070"))?);
        return Ok(());
    }
    let signs_id = sender.scheme.signature().is_some_and(|s| s.signed.contains(&Part::Id));
    let is_id = |name: &str| sender.scheme.id.iter().any(|id| id.as_str() == name);
    // An id that is not signed belongs to the request, and not to its signature.
    for (name, value) in ready.headers.iter().filter(|(name, _)| signs_id || !is_id(name)) {
        out::line(&format!("{name}: {value}"));
    }
    if ready.path != sender.path {
        out::error(&format!(
            "note: the address must be {}{}",
            base.unwrap_or_default(),
            ready.path
        ));
    }
    if ready.body != body {
        out::error("note: this scheme writes into the body; --curl shows the body that is signed");
    }
    Ok(())
}

impl Sender {
    /// Makes a pair of keys where only the receiver's half is there, and says so.
    pub(super) fn signer(&self, of_source: bool) -> Result<Signer, Failure> {
        let random = SystemRandom::new();
        if self.scheme.proof == Proof::None {
            return Signer::new(&self.scheme, &Secret::new(""), &random).map_err(Failure::usage);
        }
        let made = match &self.secret {
            Some(secret) => Signer::new(&self.scheme, secret, &random),
            None => Err(CannotSign::NeedsPrivateKey { scheme: self.scheme.name.to_string() }),
        };
        match made {
            // Of a source the receiver's key is known, and with another one it would only be refused.
            Err(CannotSign::NeedsPrivateKey { .. }) if !of_source => {
                let Some((private, public)) = verify::trial_keys(&self.scheme, &random) else {
                    return Err(Failure::usage("give what signs with --secret REFERENCE"));
                };
                out::error(&format!(
                    "note: signed with a pair of keys made for this trial; the receiver's is\n  {public}"
                ));
                Signer::new(&self.scheme, &private, &random).map_err(Failure::usage)
            }
            made => made.map_err(Failure::usage),
        }
    }

    /// `fields` are what the sender sends besides the signature.
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
            .map_err(|error| Failure::new(format!("no randomness for an id: {error}")))?;
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
            CannotSign::Request(verify::Refused::NoPublicUrl) => {
                Failure::usage("the scheme signs the address: give it with --url")
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
    /// The headers, and that the body is JSON where the sender does not call it something else.
    pub(super) fn all_headers(&self) -> impl Iterator<Item = (&str, &str)> {
        let own = self.headers.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let json = ("content-type", "application/json");
        let named = self.headers.iter().any(|(name, _)| name == json.0);
        own.chain((!named).then_some(json))
    }

    /// One line for a shell.
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

/// One word for a shell, whatever is in it.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "'\\''"))
}

/// The whole of a file or of standard input.
pub(super) fn read_body(from: &mut dyn std::io::Read, name: &str) -> Result<Vec<u8>, Failure> {
    let mut body = Vec::new();
    from.take(BODY_BYTES_MAX as u64 + 1)
        .read_to_end(&mut body)
        .map_err(|error| Failure::new(format!("cannot read {name}: {error}")))?;
    if body.len() > BODY_BYTES_MAX {
        return Err(Failure::new(format!("{name} has more than {BODY_BYTES_MAX} bytes")));
    }
    Ok(body)
}
