//! `dispatcher bench`: how near the daemon is to the floor, measured side by side.
//!
//! Absolute figures of one machine mean little and move from minute to minute, so each round loads
//! the floor and the daemon one right after the other and the result is the ratio of the pair;
//! reported are the median and the range over all rounds. At the end the goals stand beside what was
//! measured.
//!
//! Each part is a module that runs alone, in folders of its own, and gives its tables and goals.

mod backlog;
mod batch;
mod client;
mod cores;
mod floor;
mod idle;
mod ingest;
mod lab;
mod load;
mod peers;
mod posts;
mod process;
mod report;
mod request;
mod room;
mod servers;
mod sink;

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::out;
use lab::Lab;
pub(super) use load::exchange;
use report::{Goal, Table};
use servers::Role;

/// Most connections that the load opens.
const CONNECTIONS_MAX: u16 = 1024;
const SECRET: &str = "bench-secret-not-for-production";

/// Measure this machine: the daemon beside a bare server
///
/// The bare server only checks one HMAC and writes the raw body to disk, many at once. Each round
/// loads it and the daemon one after the other; what counts is the ratio, not the absolute figure.
/// With four cores or more the load has a half of its own.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct BenchArgs {
    /// Only these parts
    #[arg(long, value_enum, value_delimiter = ',', value_name = "PARTS")]
    only: Vec<Part>,
    /// Other programs beside it too, those that are installed
    #[arg(long)]
    peers: bool,
    /// Numbers of keep-alive connections of part ingest, each with one request in flight
    #[arg(long, value_delimiter = ',', value_name = "NUMBERS", default_values_t = [1, 16, 64, 256],
          value_parser = clap::value_parser!(u16).range(1..=i64::from(CONNECTIONS_MAX)))]
    connections: Vec<u16>,
    /// Rounds; each measures every server once
    #[arg(long, default_value_t = 7, value_parser = clap::value_parser!(u16).range(1..=1000))]
    rounds: u16,
    /// Seconds a server is loaded in each round
    #[arg(long, default_value = "1", value_parser = seconds, value_name = "SECONDS")]
    seconds: Duration,
    /// Events that wait for the dead target in part backlog, in whole thousands
    #[arg(long, default_value_t = 1_000_000, value_name = "EVENTS",
          value_parser = clap::value_parser!(u64).range(2_000..=100_000_000))]
    backlog: u64,
    /// Where the servers write: the disk to be measured
    #[arg(long, value_name = "FOLDER")]
    directory: Option<PathBuf>,
    /// Tables as Markdown
    #[arg(long)]
    markdown: bool,
    /// Be one of the servers, in the foreground (used by the bench itself)
    #[arg(long, hide = true, value_enum)]
    serve: Option<Role>,
}

/// What can be measured alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Part {
    /// Verified and durable 200s, at several numbers of connections
    Ingest,
    /// 1,000 events a request
    Batch,
    /// One POST an event
    Http,
    /// A dead target's backlog: memory, ingest, restart, rebuild, drain
    Backlog,
    /// A fresh daemon that has nothing to do
    Idle,
    /// Other programs
    Peers,
}

/// What a part found.
#[derive(Debug)]
struct Section {
    tables: Vec<Table>,
    goals: Vec<Goal>,
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| "not a number of seconds".to_owned())?;
    if !(0.05..=600.0).contains(&seconds) {
        return Err("between 0.05 and 600 seconds".to_owned());
    }
    Ok(Duration::from_secs_f64(seconds))
}

/// Runs the bench and prints its tables.
pub(super) fn run(args: &BenchArgs) -> io::Result<()> {
    let parent = args.directory.clone().unwrap_or_else(std::env::temp_dir);
    if let Some(role) = args.serve {
        // As many as the daemon takes for receiving.
        let workers = std::thread::available_parallelism().map_or(2, usize::from);
        return match role {
            Role::Floor => floor::serve(Some(&parent), SECRET, workers),
            Role::FloorWithoutDisk => floor::serve(None, SECRET, workers),
            Role::Client => client::serve(workers),
        };
    }
    let home = parent.join(format!("dispatcher-bench-{}", std::process::id()));
    std::fs::create_dir_all(&home)?;
    let measured = measure(args, &home);
    std::fs::remove_dir_all(&home)?;
    measured
}

fn measure(args: &BenchArgs, home: &Path) -> io::Result<()> {
    let lab = Lab::new(home, args.rounds, args.seconds)?;
    let parts = args.parts();
    room::check(home, &parts, args)?;
    out::line(&introduction(args, &lab));
    let mut goals = Vec::new();
    for part in parts {
        let section = match part {
            Part::Ingest => ingest::run(&lab, &args.connections)?,
            Part::Batch => batch::run(&lab)?,
            Part::Http => posts::run(&lab)?,
            Part::Backlog => backlog::run(&lab, args.backlog / request::MANY * request::MANY)?,
            Part::Idle => idle::run(&lab)?,
            Part::Peers => peers::run(&lab)?,
        };
        section.tables.iter().for_each(|table| table.print(args.markdown));
        goals.extend(section.goals);
        // Its servers have ended; the next part begins with an empty disk.
        room::clear(home)?;
    }
    if !goals.is_empty() {
        // They begin with their number.
        goals.sort_by_key(|goal| goal.what.as_bytes().first().copied());
        report::goals(&goals).print(args.markdown);
    }
    Ok(())
}

impl BenchArgs {
    fn parts(&self) -> Vec<Part> {
        use Part::{Backlog, Batch, Http, Idle, Ingest, Peers};
        let mut parts = match self.only.as_slice() {
            [] => vec![Ingest, Batch, Http, Backlog, Idle],
            only => only.to_vec(),
        };
        if self.peers && !parts.contains(&Peers) {
            parts.push(Peers);
        }
        parts
    }
}

fn introduction(args: &BenchArgs, lab: &Lab) -> String {
    let cores = if lab.cores.shared() {
        format!("servers and load share all {} cores", lab.cores.all())
    } else {
        let (servers, load) = (lab.cores.servers.len(), lab.cores.load.len());
        format!("{servers} cores for the servers, {load} for the load")
    };
    format!(
        "dispatcher {}, {}; {cores}; rounds: {}, {} s each; median [least..greatest]",
        env!("CARGO_PKG_VERSION"),
        process::machine(),
        args.rounds,
        args.seconds.as_secs_f64()
    )
}
