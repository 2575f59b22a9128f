//! `dispatcher bench`: how near the daemon is to the floor, measured side by side.
//!
//! Absolute figures of one machine mean little and move from minute to minute, so each round loads
//! the floor and the daemon one right after the other and the result is the ratio of the pair;
//! reported are the median and the range over all rounds.

mod cores;
mod floor;
mod load;
mod report;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use super::child::Server;
use crate::model::Secret;
use crate::verify;

use cores::Cores;
pub(super) use load::exchange;
use load::{MakeRequest, Measured};

/// Most connections that the load opens.
const CONNECTIONS_MAX: u16 = 1024;
const SECRET: &str = "bench-secret-not-for-production";

/// Measure this machine: the daemon beside a bare server
///
/// The bare server only checks one HMAC and writes the raw body to disk, many at once. Each round
/// loads it and the daemon one after the other; what counts is the ratio, not the absolute figure.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct BenchArgs {
    /// Keep-alive connections, each with one request in flight.
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..=i64::from(CONNECTIONS_MAX)))]
    connections: u16,
    /// Rounds; each measures every server once.
    #[arg(long, default_value_t = 7, value_parser = clap::value_parser!(u16).range(1..=1000))]
    rounds: u16,
    /// Seconds a server is loaded in each round.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..=600))]
    seconds: u16,
    /// Where the servers write: the disk to be measured.
    #[arg(long, value_name = "FOLDER")]
    directory: Option<PathBuf>,
    /// Serve the floor in the foreground (used by the bench itself).
    #[arg(long, hide = true)]
    serve_floor: bool,
}

/// One server under load.
struct Contestant {
    name: &'static str,
    server: Server,
    rounds: Vec<Round>,
}

/// What one round showed of one server.
struct Round {
    load: Measured,
    cpu: Duration,
}

/// Runs the bench and prints its table.
pub(super) fn run(args: &BenchArgs) -> io::Result<()> {
    let parent = args.directory.clone().unwrap_or_else(std::env::temp_dir);
    if args.serve_floor {
        // As many as the daemon takes for receiving.
        let workers = std::thread::available_parallelism().map_or(2, usize::from);
        return floor::serve(&parent, SECRET, workers);
    }
    let home = parent.join(format!("dispatcher-bench-{}", std::process::id()));
    std::fs::create_dir_all(&home)?;
    let measured = measure(args, &home);
    if let Ok((contestants, cores)) = &measured {
        report::print(args, contestants, *cores);
    }
    // Ends the servers, which would still make files in there.
    let outcome = measured.map(drop);
    std::fs::remove_dir_all(&home)?;
    outcome
}

/// The contestants, and the cores for the servers and for the load.
type Outcome = (Vec<Contestant>, (usize, usize));

fn measure(args: &BenchArgs, home: &Path) -> io::Result<Outcome> {
    let cores = Cores::split()?;
    Cores::enter(&cores.servers)?;
    let mut contestants = vec![
        floor_server(home)?,
        daemon(home, "stored", "")?,
        daemon(
            home,
            "stored and delivered to file-log",
            "[targets.log]\nplugin = \"file-log\"\nsettings.path = \"events.jsonl\"\n",
        )?,
    ];
    Cores::enter(&cores.load)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(cores.load.len())
        .enable_all()
        .build()?;
    let (numbers, make) = (Arc::new(AtomicU64::new(1)), maker()?);
    let time = Duration::from_secs(args.seconds.into());
    let connections = usize::from(args.connections);
    // The first requests open files and fill caches; they are not counted.
    for contestant in &contestants {
        let warm_up = Duration::from_millis(500);
        runtime.block_on(load::run(
            contestant.server.address(),
            connections,
            warm_up,
            &numbers,
            &make,
        ));
    }
    for round in 1..=args.rounds {
        eprintln!("round {round} of {}", args.rounds);
        for contestant in &mut contestants {
            let before = cpu_time(contestant.server.id())?;
            let address = contestant.server.address();
            let load = runtime.block_on(load::run(address, connections, time, &numbers, &make));
            let cpu = cpu_time(contestant.server.id())?.saturating_sub(before);
            contestant.rounds.push(Round { load, cpu });
        }
    }
    Ok((contestants, (cores.servers.len(), cores.load.len())))
}

fn floor_server(home: &Path) -> io::Result<Contestant> {
    let folder = home.join("floor");
    std::fs::create_dir_all(&folder)?;
    let path = folder.to_string_lossy();
    let server =
        Server::start(&["bench", "--serve-floor", "--directory", &path], &home.join("floor.txt"))?;
    Ok(Contestant { name: "floor", server, rounds: Vec::new() })
}

fn daemon(home: &Path, name: &'static str, targets: &str) -> io::Result<Contestant> {
    let folder = home.join(name.replace(' ', "-"));
    std::fs::create_dir_all(&folder)?;
    let config = folder.join("dispatcher.toml");
    std::fs::write(
        &config,
        format!(
            "[server]\nlisten = \"127.0.0.1:0\"\n[store]\nfree_low = \"0B\"\nfree_min = \"0B\"\n\
             [sources.sqreen]\nsecrets = \"env:SQREEN_SECRET\"\n{targets}"
        ),
    )?;
    std::fs::write(folder.join("dispatcher.env"), format!("SQREEN_SECRET={SECRET}\n"))?;
    let server =
        Server::start(&["run", "--config", &config.to_string_lossy()], &folder.join("log.txt"))?;
    Ok(Contestant { name, server, rounds: Vec::new() })
}

/// Requests of about 1 KB that differ in their event id, so that none is a repetition.
fn maker() -> io::Result<Arc<MakeRequest>> {
    let secret = Secret::new(SECRET);
    let scheme = verify::scheme("sqreen").ok_or_else(|| io::Error::other("no scheme sqreen"))?;
    Ok(Arc::new(move |n| {
        let body = format!(
            concat!(
                r#"[{{"message_id": null, "api_version": "2", "date_created": "2021-02-08T12:45:00.363713+00:00", "#,
                r#""message_type": "security_event", "retry_count": 0, "message": {{"risk_coefficient": 25, "#,
                r#""event_category": "http_error", "event_kind": "waf", "application_id": "5ac3f2d1b8e7a90123456789", "#,
                r#""application_name": "Bench Shop", "environment": "production", "#,
                r#""date_occurred": "2021-02-08T12:44:59.120000+00:00", "event_id": "{:024x}", "#,
                r#""event_url": "https://events.example.org/application/5ac3f2d1b8e7a90123456789/events", "#,
                r#""humanized_description": "Attack triggered by 203.0.113.7", "note": "{}", "#,
                r#""ips": [{{"address": "203.0.113.7", "is_tor": false, "geo": {{"code": "FRA", "city": "Paris", "#,
                r#""point": [2.3488, 48.8534]}}, "date_resolved": "2021-02-08T12:44:59.363000+00:00"}}]}}}}]"#
            ),
            n,
            "x".repeat(260),
        );
        let (name, signature) = verify::sign_body(scheme, &secret, body.as_bytes());
        format!(
            "POST /sqreen HTTP/1.1\r\nhost: bench\r\ncontent-type: application/json\r\n\
             {name}: {signature}\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        )
        .into_bytes()
    }))
}

/// User and system time of a process so far.
fn cpu_time(process: u32) -> io::Result<Duration> {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat"))?;
    // The name, in parentheses, may hold spaces; fields 14 and 15 count from there.
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split(' ').collect();
    let ticks = |at: usize| fields.get(at).and_then(|field| field.parse::<u64>().ok()).unwrap_or(0);
    Ok(Duration::from_millis(
        (ticks(12) + ticks(13)) * 1000 / rustix::param::clock_ticks_per_second(),
    ))
}
