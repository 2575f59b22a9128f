//! `dispatcher verify`: says whether a request would be accepted, and if not, why not.

use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri};

use super::exit::{Failure, OK, PROBLEMS};
use super::given::{address, body_from_input};
use super::{find, out, scheme};
use crate::config::vendors;
use crate::egress::{Asker, PublishedKeys};
use crate::ingest;
use crate::model::{Cidr, RepetitionSeed, Request, Secret, Timestamp};
use crate::normalize::{self, Input, Repetition, Sender, UnsignedTypes};
use crate::verify::{self, InvalidSecrets, Jwt, KeySet, Scheme, Verified, Verifier};

/// Check whether a request would be accepted, and show why not
///
/// Reads the body from standard input, byte for byte. Exits with 0 if the request
/// is accepted, 1 if it is refused, 2 if the command is wrong. With --scheme only
/// the signature decides; with --source the body must be readable, too.
///
///   dispatcher verify --scheme github --secret env:GITHUB_SECRET \
///     --header 'X-Hub-Signature-256: sha256=…' --explain < body.json
///   dispatcher verify --source billing \
///     --header 'Stripe-Signature: t=…,v1=…' < body.json
///
/// For a sender that publishes its keys, they are fetched from where it does.
///
/// `--scheme zoom-challenge` prints the answer to Zoom's endpoint.url_validation
/// in the body. The daemon answers it only if it is signed.
#[derive(Clone, Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(super) struct VerifyArgs {
    /// Verify with this scheme, built in or in the configuration.
    #[arg(long, value_name = "NAME")]
    scheme: Option<String>,
    /// Verify as this source does, with its secrets.
    #[arg(long, value_name = "NAME", conflicts_with_all = ["scheme", "secret", "token_in"])]
    source: Option<String>,
    /// The receiver's secret or public key: the text itself, or env:NAME, file:PATH (from here),
    /// credential:NAME, literal:TEXT. May be given several times.
    #[arg(long, value_name = "SECRET", allow_hyphen_values = true)]
    secret: Vec<String>,
    /// A header of the request. May be given several times.
    #[arg(long, value_name = "K: V")]
    header: Vec<String>,
    /// The method of the request
    #[arg(long, value_name = "METHOD", default_value = "POST")]
    method: String,
    /// The address that the sender was given, for schemes that sign it.
    #[arg(long, value_name = "URL")]
    url: Option<String>,
    /// The time to verify at. Default: now.
    #[arg(long, value_name = "UNIX SECONDS")]
    now: Option<u64>,
    /// For scheme `token`: header:NAME or query:NAME.
    #[arg(long, value_name = "PLACE")]
    token_in: Option<String>,
    /// Show what was signed and what was expected, and look for common causes.
    #[arg(long)]
    explain: bool,
    /// List every scheme and exit.
    #[arg(long, exclusive = true)]
    list: bool,
}

/// Not a scheme: answers the question that Zoom asks a receiver.
const ZOOM_CHALLENGE: &str = "zoom-challenge";

/// What a request is verified with.
struct Rules {
    scheme: Arc<Scheme>,
    /// For a source, only its first one, while the verifier has all.
    secrets: Vec<Secret>,
    verifier: Verifier,
    public_url: Option<String>,
    /// That of the source; without one, the usual one of the scheme, which decides nothing.
    sender: Arc<Sender>,
    is_source: bool,
    body_bytes_max: usize,
    /// Private ranges in which the sender's keys may be.
    keys_allow: Arc<[Cidr]>,
}

/// Prints the outcome and returns the exit code.
pub(super) fn run(args: &VerifyArgs, config: Option<&Path>) -> Result<u8, Failure> {
    if args.list {
        list();
        return Ok(OK);
    }
    if args.scheme.as_deref() == Some(ZOOM_CHALLENGE) {
        return answer_zoom(args, config);
    }
    let (base, path) = address(args.url.as_deref())?;
    let headers = headers(&args.header)?;
    let method = Method::from_bytes(args.method.as_bytes())
        .map_err(|_| Failure::usage("--method is not a valid HTTP method"))?;
    let uri: Uri = path.parse().map_err(|_| Failure::usage("--url is not a valid address"))?;
    let rules = rules(args, config, base)?;
    let body = body_from_input()?;
    let now = args.now.map(|seconds| Timestamp::from_millis(seconds.saturating_mul(1000)));
    let received_at = now.unwrap_or_else(|| Timestamp::from(SystemTime::now()));
    let body = Bytes::from(body);
    let request = Request { source: Arc::from(""), method, uri, headers, body, received_at };
    let keys = published_keys(&rules, &request)?;
    Ok(report(&rules, request, keys.as_deref(), args.explain))
}

/// Fetches the keys that the sender of this request publishes; `None` if it needs none.
fn published_keys(rules: &Rules, request: &Request) -> Result<Option<Arc<KeySet>>, Failure> {
    // If it is refused whatever the keys are, the report says why.
    let Ok(Some(wanted)) = rules.verifier.wanted_key(request) else { return Ok(None) };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let keys = Arc::new(PublishedKeys::default());
    let keys = runtime.block_on(keys.get(&wanted, &rules.keys_allow, Asker::ALONE));
    keys.map(Some).map_err(Failure::new)
}

fn answer_zoom(args: &VerifyArgs, config: Option<&Path>) -> Result<u8, Failure> {
    let zoom = scheme::chosen("zoom", None, config)?;
    let verifier =
        Verifier::new(&zoom, &secrets(&args.secret, config)?, None).map_err(Failure::usage)?;
    let body = body_from_input()?;
    match verify::answer_zoom(&verifier, &body) {
        Ok(answer) => {
            out::line(&answer.body);
            Ok(OK)
        }
        Err(refused) => {
            out::line(&format!("refused: {refused}"));
            Ok(PROBLEMS)
        }
    }
}

fn report(rules: &Rules, request: Request, keys: Option<&KeySet>, explain: bool) -> u8 {
    let Rules { scheme, secrets, verifier, public_url, .. } = rules;
    let public_url = public_url.as_deref();
    if !scheme.methods.contains(&request.method) {
        let names: Vec<&str> = scheme.methods.iter().map(Method::as_str).collect();
        out::line(&format!("refused: scheme `{}` accepts only {}", scheme.name, names.join(", ")));
        return PROBLEMS;
    }
    let described =
        if explain { verify::describe(scheme, public_url, &request) } else { Vec::new() };
    let explained = |request: &Request| {
        explain
            .then(|| verify::explain(scheme, secrets, public_url, request, vendors::schemes()))
            .flatten()
    };
    match verifier.verify_with(request.clone(), keys) {
        Ok(verified) => {
            let answer = match verifier.answer(&verified) {
                Ok(answer) => answer,
                Err(refused) => {
                    out::line(&format!("refused: {refused}"));
                    return PROBLEMS;
                }
            };
            let unreadable = if answer.is_none() { unreadable(rules, &verified) } else { None };
            if let Some(reason) = unreadable.as_ref().filter(|_| rules.is_source) {
                out::line(&format!("refused: the signature is right, but {reason}"));
                lines(&described);
                return PROBLEMS;
            }
            let number = verified.key() + 1;
            let by = if scheme.has_published_keys() {
                "a published key".to_owned()
            } else {
                format!("secret {number}")
            };
            out::line(&format!("accepted: scheme `{}`, {by}", scheme.name));
            if let Some(reason) = unreadable {
                out::line(&format!("  but a source of this sender would refuse it: {reason}"));
            }
            if let Some(answer) = answer {
                lines(&[("answer", answer.body)]);
            }
            lines(&described);
            if explain {
                lines(&[
                    ("covered", format!("{}; anyone can change the rest", scheme.covered_shown())),
                    ("copies", format!("identified by: {}", scheme.replay().shown())),
                ]);
                note(scheme);
            }
            OK
        }
        Err(refused) => {
            out::line(&format!("refused: {refused}"));
            if let Some(explanation) = explained(&request) {
                lines(&explanation.lines);
                let causes = explanation.accidents.into_iter().map(|text| ("cause", text));
                lines(&causes.collect::<Vec<_>>());
            }
            PROBLEMS
        }
    }
}

/// Why the daemon refuses a verified request all the same.
fn unreadable(rules: &Rules, verified: &Verified) -> Option<String> {
    let (request, bytes_max) = (verified.request(), rules.body_bytes_max);
    if request.body.len() > bytes_max {
        return Some(format!("the body is longer than {bytes_max} bytes"));
    }
    let body = match ingest::decoded(&rules.sender, request, bytes_max) {
        Ok(body) => body,
        Err(error) => return Some(error.to_string()),
    };
    let seed = RepetitionSeed::default();
    let key = || verified.repetition_key(seed);
    let is_alone = verified.is_known_by_signature_alone();
    let repetition = if is_alone { Repetition::KeyAlone(&key) } else { Repetition::Key(&key) };
    let (headers, query) = (&request.headers, request.uri.query());
    let form = if body.is_empty() { verified.form_in_query() } else { None };
    let (is_query, body) = (form.is_some(), form.unwrap_or(body));
    let input = Input { headers, query, body: &body, is_query, repetition, seed };
    let sender = rules.sender.of_set(verified.header_set());
    normalize::normalize_up_to(sender, input, bytes_max).err().map(|error| error.to_string())
}

fn lines(lines: &[(&str, String)]) {
    for (word, text) in lines {
        out::line(&format!("  {word:<13} {text}"));
    }
}

fn note(scheme: &Scheme) {
    if !scheme.remark.is_empty() {
        lines(&[("note", scheme.remark.to_string())]);
    }
    if scheme.unconfirmed {
        lines(&[("unconfirmed", "read in second-hand sources only".to_owned())]);
    }
}

fn list() {
    for scheme in vendors::schemes() {
        let unconfirmed = if scheme.unconfirmed { " (unconfirmed)" } else { "" };
        let (how, place) = (scheme.algorithm_shown(), scheme.place_shown());
        out::line(&format!("{:<18} {how}: {place}{unconfirmed}", scheme.name));
    }
}

fn rules(args: &VerifyArgs, config: Option<&Path>, base: Option<String>) -> Result<Rules, Failure> {
    if let Some(name) = &args.source {
        let config = find::load(config)?;
        let (source, secret) = find::source(&config, name)?;
        let scheme = Arc::clone(source.verifier.scheme());
        return Ok(Rules {
            secrets: if scheme.has_secrets() { vec![secret.clone()] } else { Vec::new() },
            scheme,
            verifier: match base {
                Some(base) => source.verifier.clone().at(&base),
                None => source.verifier.clone(),
            },
            sender: Arc::clone(&source.sender),
            is_source: true,
            body_bytes_max: source.body_bytes_max,
            keys_allow: Arc::clone(&source.keys_allow),
            public_url: config.public_url,
        });
    }
    let Some(name) = args.scheme.as_deref() else {
        return Err(Failure::usage(
            "give --source NAME, or --scheme NAME --secret SECRET, or --list",
        ));
    };
    let scheme = scheme::chosen(name, args.token_in.as_deref(), config)?;
    let secrets = secrets(&args.secret, config)?;
    let verifier =
        Verifier::new(&scheme, &secrets, base.as_deref()).map_err(|error| match error {
            InvalidSecrets::NoPublicUrl => {
                Failure::usage(format!("scheme `{name}` signs the address: give it with --url"))
            }
            InvalidSecrets::None => {
                Failure::usage("give the receiver's secret or key with --secret")
            }
            error => Failure::usage(error),
        })?;
    let usual = vendors::sender(&scheme.name).or_else(|| vendors::sender("json"));
    let usual = usual.ok_or_else(|| Failure::new("the built-in sender `json` is missing"))?;
    let sender = Arc::new(usual.limited(&scheme.coverage(), UnsignedTypes::Ignored));
    let body_bytes_max = ingest::BODY_BYTES_MAX;
    let is_source = false;
    let (public_url, keys_allow) = (base, Arc::default());
    let is_complete = scheme.jwt().is_none_or(Jwt::is_complete) && scheme.sns().is_none();
    is_complete
        .then_some(Rules {
            scheme,
            secrets,
            verifier,
            public_url,
            sender,
            is_source,
            body_bytes_max,
            keys_allow,
        })
        .ok_or_else(|| {
            Failure::usage(format!(
                "scheme `{name}` needs what a source says of its sender: use --source NAME"
            ))
        })
}

fn secrets(texts: &[String], config: Option<&Path>) -> Result<Vec<Secret>, Failure> {
    texts.iter().map(|text| scheme::given(text, config)).collect()
}

fn headers(texts: &[String]) -> Result<HeaderMap, Failure> {
    let mut headers = HeaderMap::new();
    for text in texts {
        let wrong = || Failure::usage("--header must be 'Name: value'");
        let (name, value) = text.split_once(':').ok_or_else(wrong)?;
        let name = HeaderName::from_bytes(name.trim().as_bytes()).map_err(|_| wrong())?;
        let value = HeaderValue::from_bytes(value.trim_matches([' ', '\t']).as_bytes());
        headers.append(name, value.map_err(|_| wrong())?);
    }
    Ok(headers)
}

#[cfg(test)]
mod tests;
