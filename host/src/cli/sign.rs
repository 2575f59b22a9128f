//! `dispatcher sign`: the header that a sender would add to a body.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use super::exit::Failure;
use super::{find, out};
use crate::config::{self, Environment};
use crate::verify;

/// Longest body read, in bytes.
pub(super) const BODY_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Print the signature header of a body, as its sender would add it
///
/// Reads the body from standard input, byte for byte: a line break at its end counts.
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
    #[arg(long, value_name = "NAME", requires = "secret", conflicts_with = "source")]
    scheme: Option<String>,
    /// The secret: env:NAME, file:PATH (from here), credential:NAME or literal:TEXT.
    #[arg(long, value_name = "REFERENCE", requires = "scheme")]
    secret: Option<String>,
}

/// Prints the header line.
pub(super) fn run(args: &SignArgs, config: Option<&Path>) -> Result<(), Failure> {
    let body = read_body(&mut std::io::stdin().lock(), "standard input")?;
    let (name, value) = match (&args.source, &args.scheme, &args.secret) {
        (Some(source), _, _) => {
            let config = find::load(config)?;
            let (source, secret) = super::send::source(&config, source)?;
            verify::sign_body(source.verifier.scheme(), secret, &body)
        }
        (None, Some(scheme), Some(secret)) => by_scheme(scheme, secret, &body, config)?,
        _ => return Err(Failure::usage("give --source NAME, or --scheme NAME --secret REFERENCE")),
    };
    out::line(&format!("{name}: {value}"));
    Ok(())
}

fn by_scheme(
    name: &str,
    secret: &str,
    body: &[u8],
    config: Option<&Path>,
) -> Result<(http::HeaderName, String), Failure> {
    let scheme = verify::scheme(name).ok_or_else(|| {
        let names = config::list(verify::schemes().iter().map(|scheme| &*scheme.name));
        Failure::usage(format!("unknown scheme `{name}`; schemes are {names}"))
    })?;
    let mut environment = Environment::of_process();
    let folder = find::file(config).map_or(PathBuf::from("."), |file| config::folder(&file));
    if let Some(problem) = environment.read_file(&folder).iter().find(|problem| problem.is_error())
    {
        return Err(Failure::new(&problem.title));
    }
    let secret = config::resolve(secret, &environment, Path::new(".")).map_err(Failure::usage)?;
    Ok(verify::sign_body(scheme, &secret, body))
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
