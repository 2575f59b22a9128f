//! `dispatcher send`: posts a body to a running daemon, signed as the source's sender signs.

use std::fs::File;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::exit::Failure;
use super::given::read_body;
use super::signing::{Ready, Sender};
use super::{find, http, out, sample, scheme};
use crate::ingest::SourceSettings;
use crate::model::printable;

/// Post a signed sample or file to the running daemon
///
/// Signs with the source's first secret and posts to `server.listen` of the
/// configuration. Exits with 0 when every answer was 2xx.
///
///   dispatcher send sqreen
///   dispatcher send sqreen --sample sqreen/http_scan --count 10
///   dispatcher send sqreen --file body.json
#[derive(Clone, Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(super) struct SendArgs {
    /// The source to post to.
    source: String,
    /// A built-in body; default: the first of the source's sender.
    #[arg(long, value_name = "NAME", conflicts_with = "file")]
    sample: Option<String>,
    /// Post this file unchanged; `-` reads standard input.
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// How many times to post.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    count: u32,
    /// Keep the sample's own ids, so that the daemon sees a repetition.
    #[arg(long)]
    same_id: bool,
    /// Post to this URL instead of `server.listen`; plain http only.
    #[arg(long, value_name = "URL")]
    to: Option<String>,
    /// The private key or secret that signs, as a reference; default: the source's first secret.
    #[arg(long, value_name = "REFERENCE")]
    key: Option<String>,
    /// Print a curl command instead of posting.
    #[arg(long)]
    curl: bool,
}

/// Why `--to` cannot be used.
#[derive(Debug, thiserror::Error)]
enum InvalidUrl {
    #[error("`{0}` is not a valid URL; write http://HOST:PORT or http://HOST:PORT/PATH")]
    Form(String),
    #[error("`send` supports plain http only; for https use `dispatcher sign --curl`")]
    Https,
    #[error("cannot look up {host}: {source}")]
    Lookup { host: String, source: std::io::Error },
    #[error("{0} has no address")]
    NoAddress(String),
}

/// Where to post.
struct Destination {
    address: SocketAddr,
    path: String,
}

/// Posts and prints each answer; returns whether all were 2xx.
pub(super) fn run(args: &SendArgs, config: Option<&Path>) -> Result<bool, Failure> {
    let key = args.key.as_deref().map(|text| scheme::given(text, config)).transpose()?;
    let config = find::load(config)?;
    let (source, secret) = find::source(&config, &args.source)?;
    let body = Body::choose(args, source)?;
    let destination = match &args.to {
        Some(url) => parse_url(url, &source.path).map_err(Failure::usage)?,
        None => Destination { address: reachable(config.server.listen), path: source.path.clone() },
    };
    let sender = Sender {
        scheme: Arc::clone(source.verifier.scheme()),
        secret: key.or_else(|| Some(secret.clone())),
        public_url: config.public_url.clone(),
        path: destination.path.clone(),
    };
    let signer = sender.signer(true)?;
    if args.curl {
        let base = format!("http://{}", destination.address);
        let (fields, bytes) = body.message()?;
        out::line(&sender.sign(&signer, &fields, &bytes)?.curl(&base)?);
        return Ok(true);
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut all_accepted = true;
        for _ in 0..args.count {
            let (fields, bytes) = body.message()?;
            let ready = sender.sign(&signer, &fields, &bytes)?;
            let status = post(destination.address, &ready).await?;
            all_accepted &= (200..300).contains(&status);
        }
        Ok(all_accepted)
    })
}

async fn post(address: SocketAddr, ready: &Ready) -> Result<u16, Failure> {
    let headers: Vec<_> = ready.all_headers().collect();
    let answer =
        http::post(address, &ready.path, &headers, &ready.body).await.map_err(|error| {
            let why = match error.kind() {
                std::io::ErrorKind::ConnectionRefused => {
                    "nothing listens there; start the daemon with `dispatcher run`".to_owned()
                }
                _ => error.to_string(),
            };
            Failure::new(format!("cannot post to http://{address}{}: {why}", ready.path))
        })?;
    out::line(&format!("{} {}", answer.status, printable(answer.body.trim_end())));
    Ok(answer.status)
}

/// Header fields, without the signature.
type Fields = Vec<(&'static str, String)>;

/// What is posted.
enum Body {
    /// With new ids for each post.
    Fresh(&'static crate::normalize::Sample),
    Same(Fields, Vec<u8>),
}

impl Body {
    fn choose(args: &SendArgs, source: &SourceSettings) -> Result<Self, Failure> {
        match args.file.as_deref() {
            Some(file) if file == Path::new("-") => {
                return read_body(&mut std::io::stdin().lock(), "standard input")
                    .map(|body| Self::Same(Vec::new(), body));
            }
            Some(file) => {
                let name = file.display().to_string();
                let mut opened = File::open(file)
                    .map_err(|error| Failure::new(format!("cannot read {name}: {error}")))?;
                return read_body(&mut opened, &name).map(|body| Self::Same(Vec::new(), body));
            }
            None => {}
        }
        let sample = sample::of(&source.sender, args.sample.as_deref())?;
        if !args.same_id {
            return Ok(Self::Fresh(sample));
        }
        let fields = sample.headers.iter().map(|(name, value)| (name.as_str(), value.clone()));
        Ok(Self::Same(fields.collect(), sample.body.clone().into_bytes()))
    }

    fn message(&self) -> Result<(Fields, Vec<u8>), Failure> {
        match self {
            Self::Same(fields, body) => Ok((fields.clone(), body.clone())),
            Self::Fresh(sample) => {
                sample::fresh(sample).map(|(fields, body)| (fields, body.into_bytes()))
            }
        }
    }
}

/// The loopback address, for a daemon that listens on every interface.
fn reachable(listen: SocketAddr) -> SocketAddr {
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    SocketAddr::new(ip, listen.port())
}

/// Without a path in the URL, the source's is used.
fn parse_url(text: &str, path: &str) -> Result<Destination, InvalidUrl> {
    let form = || InvalidUrl::Form(printable(text));
    let url: ::http::Uri = text.parse().map_err(|_| form())?;
    if url.scheme_str() == Some("https") {
        return Err(InvalidUrl::Https);
    }
    let (Some("http"), Some(host)) = (url.scheme_str(), url.host()) else { return Err(form()) };
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let mut found = (host, url.port_u16().unwrap_or(80))
        .to_socket_addrs()
        .map_err(|source| InvalidUrl::Lookup { host: printable(host), source })?;
    let address = found.next().ok_or_else(|| InvalidUrl::NoAddress(printable(host)))?;
    let own = url.path_and_query().map(|path| path.as_str()).filter(|own| *own != "/");
    Ok(Destination { address, path: own.unwrap_or(path).to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_without_a_path_uses_the_path_of_the_source() {
        for (url, address, path) in [
            ("http://127.0.0.1:7070", "127.0.0.1:7070", "/sqreen"),
            ("http://127.0.0.1/", "127.0.0.1:80", "/sqreen"),
            ("http://127.0.0.1:1/other?x=1", "127.0.0.1:1", "/other?x=1"),
            ("http://[::1]:7070", "[::1]:7070", "/sqreen"),
        ] {
            let to = parse_url(url, "/sqreen").unwrap();
            assert_eq!(
                (to.address.to_string().as_str(), to.path.as_str()),
                (address, path),
                "{url}"
            );
        }
        for url in ["", "127.0.0.1:7070", "/x", "https://127.0.0.1", "ftp://127.0.0.1"] {
            assert!(parse_url(url, "/sqreen").is_err(), "{url}");
        }
    }

    #[test]
    fn a_daemon_on_every_interface_is_reached_over_the_loopback() {
        for (listen, reached) in [
            ("0.0.0.0:7070", "127.0.0.1:7070"),
            ("[::]:1", "[::1]:1"),
            ("10.1.2.3:9", "10.1.2.3:9"),
        ] {
            assert_eq!(reachable(listen.parse().unwrap()).to_string(), reached);
        }
    }
}
