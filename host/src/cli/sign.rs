//! `dispatcher sign`: prints the headers that a sender adds to a body.

use std::path::Path;
use std::sync::Arc;

use super::exit::Failure;
use super::given::{address, body_from_input};
use super::signing::Sender;
use super::{find, out, scheme};
use crate::verify::Part;

/// Print the signature headers that a sender adds to a body
///
/// Reads the body from standard input, byte for byte: a line break at its end
/// counts. A scheme with a public key needs the private key; without one, a key
/// pair is generated for the trial.
///
///   dispatcher sign --source sqreen < body.json
///   printf 4567 | dispatcher sign --scheme sqreen --secret 1234
///   curl -H "$(dispatcher sign --source sqreen < b.json)" \
///     --data-binary @b.json http://127.0.0.1:7070/sqreen
#[derive(Clone, Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(super) struct SignArgs {
    /// Sign as this source's sender does: with its scheme and its first secret.
    #[arg(long, value_name = "NAME")]
    source: Option<String>,
    /// Sign with this scheme.
    #[arg(long, value_name = "NAME", conflicts_with = "source")]
    scheme: Option<String>,
    /// The secret or private key: the text itself, or env:NAME, file:PATH (from here),
    /// credential:NAME, literal:TEXT
    #[arg(long, value_name = "SECRET", allow_hyphen_values = true)]
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

/// Prints the header lines.
pub(super) fn run(args: &SignArgs, config: Option<&Path>) -> Result<(), Failure> {
    let (base, path) = address(args.url.as_deref())?;
    let given = args.secret.as_deref().map(|text| scheme::given(text, config)).transpose()?;
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
        _ => return Err(Failure::usage("give --source NAME, or --scheme NAME --secret SECRET")),
    };
    let signer = sender.signer(args.source.is_some())?;
    let body = body_from_input()?;
    let ready = sender.sign(&signer, &[], &body)?;
    let base = sender.public_url.as_deref();
    if args.curl {
        out::line(&ready.curl(base.unwrap_or("http://127.0.0.1:7070"))?);
        return Ok(());
    }
    let signs_id = sender.scheme.signature().is_some_and(|s| s.signed.contains(&Part::Id));
    let is_id = |name: &str| sender.scheme.id.iter().any(|id| id.as_str() == name);
    // An id that is not signed belongs to the request, not to its signature.
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
