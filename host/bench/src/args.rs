//! The command line of the bench.

use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;

use crate::servers::Role;

/// Most connections that the load opens.
const CONNECTIONS_MAX: u16 = 1024;

/// Measure this machine: the daemon beside a bare server
///
/// The bare server only checks one HMAC and writes the raw body to disk, many bodies at once. Each round
/// loads it and the daemon one after the other; what counts is the ratio, not the absolute figure. With
/// four cores or more, the load has half of them to itself. The daemon is the program `dispatcher` in
/// the folder of this one.
#[derive(Clone, Debug, Parser)]
#[command(name = "dispatcher-bench", version)]
pub(crate) struct Args {
    /// Only these parts
    #[arg(long, value_enum, value_delimiter = ',', value_name = "PARTS")]
    only: Vec<Part>,
    /// Also other programs, those that are installed
    #[arg(long)]
    peers: bool,
    /// Numbers of keep-alive connections of part ingest, each with one request in flight
    #[arg(long, value_delimiter = ',', num_args = 1.., value_name = "NUMBERS",
          default_values_t = [1, 16, 64, 256],
          value_parser = clap::value_parser!(u16).range(1..=i64::from(CONNECTIONS_MAX)))]
    pub(crate) connections: Vec<u16>,
    /// Rounds; each measures every server once
    #[arg(long, default_value_t = 7, value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub(crate) rounds: u16,
    /// Seconds a server is loaded in each round
    #[arg(long, default_value = "1", value_parser = seconds, value_name = "SECONDS")]
    pub(crate) seconds: Duration,
    /// Events that wait for the dead target in part backlog, in whole thousands
    #[arg(long, default_value_t = 1_000_000, value_name = "EVENTS",
          value_parser = clap::value_parser!(u64).range(2_000..=100_000_000))]
    pub(crate) backlog: u64,
    /// Where the servers write: a folder on the disk to be measured
    #[arg(long, value_name = "FOLDER")]
    pub(crate) directory: Option<PathBuf>,
    /// Tables as Markdown
    #[arg(long)]
    pub(crate) markdown: bool,
    /// Be one of the servers, in the foreground (used by the bench itself)
    #[arg(long, hide = true, value_enum)]
    pub(crate) serve: Option<Role>,
}

/// What can be measured alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Part {
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

impl Args {
    /// What to measure, in this order.
    pub(crate) fn parts(&self) -> Vec<Part> {
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

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| "not a number of seconds".to_owned())?;
    if !(0.05..=600.0).contains(&seconds) {
        return Err("must be between 0.05 and 600 seconds".to_owned());
    }
    Ok(Duration::from_secs_f64(seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_are_one_argument_or_several() {
        let read = |line: &[&str]| {
            let parsed = Args::try_parse_from([&["dispatcher-bench"], line].concat());
            parsed.map(|args| args.connections).map_err(|error| error.to_string())
        };
        assert_eq!(read(&[]), Ok(vec![1, 16, 64, 256]));
        for line in [
            &["--connections", "1", "16"][..],
            &["--connections", "1,16"],
            &["--connections", "1", "--connections", "16"],
            &["--connections=1,16", "--markdown"],
        ] {
            assert_eq!(read(line), Ok(vec![1, 16]), "{line:?}");
        }
        for wrong in [&["--connections"][..], &["--connections", "0"], &["--connections", "1025"]] {
            assert!(read(wrong).is_err(), "{wrong:?}");
        }
    }
}
