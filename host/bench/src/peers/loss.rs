//! The events that were accepted and never arrived: the destination is down, the program is killed with
//! `kill -9` and started again, and the destination comes back.

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use super::known::{Known, Site};
use super::program::Program;
use crate::lab::{Lab, Subject};
use crate::load::Extent;
use crate::process;
use crate::request::{Shape, maker};
use crate::servers::{Daemon, ONE_SOURCE, http};
use crate::sink::{Sink, free_port};

/// Events that are handed in to each program.
const EVENTS: u64 = 200;
const CONNECTIONS: usize = 8;
/// Longest time for handing them in.
const LOAD_PATIENCE: Duration = Duration::from_secs(30);
/// Time for the first attempts to fail.
const FAIL: Duration = Duration::from_secs(1);
/// Longest wait for what was accepted to arrive.
const PATIENCE: Duration = Duration::from_secs(15);

pub(super) fn ours(lab: &Lab) -> io::Result<String> {
    let port = free_port()?;
    let dead = SocketAddr::from(([127, 0, 0, 1], port));
    let lines = http("hook", dead, 4, "retry.backoff_max = \"1s\"\n");
    let mut daemon = Daemon::start(lab, "dispatcher to http", &format!("{ONE_SOURCE}{lines}"))?;
    let accepted = hand_in(lab, &daemon, "/sqreen", Shape::Sqreen)?;
    daemon.kill();
    let sink = Sink::open(lab, port)?;
    daemon.start_again(lab)?;
    Ok(lost(&sink, accepted))
}

pub(super) fn of(lab: &Lab, known: &Known, program: &Path) -> io::Result<String> {
    let (dead, folder) = (free_port()?, lab.folder(&format!("{} forwards", known.program))?);
    let start = || {
        let port = free_port()?;
        let sink = Some(SocketAddr::from(([127, 0, 0, 1], dead)));
        let arguments = (known.prepare)(&Site { folder: &folder, port, sink })?;
        Program::start(lab, known.name, program, &arguments, (&folder, port))
    };
    let first = start()?;
    let accepted = hand_in(lab, &first, known.path, known.shape)?;
    first.kill();
    let sink = Sink::open(lab, dead)?;
    let _again = start()?;
    Ok(lost(&sink, accepted))
}

/// Returns how many events were accepted.
fn hand_in(lab: &Lab, server: &impl Subject, path: &str, shape: Shape) -> io::Result<u64> {
    let make = maker(path, shape, 1)?;
    let extent = Extent { time: LOAD_PATIENCE, requests: EVENTS };
    let accepted = lab.measure(server, CONNECTIONS, extent, &make)?.load.requests;
    std::thread::sleep(FAIL);
    // Commands that it started would survive it.
    let began = Instant::now();
    while process::has_children(server.process()) && began.elapsed() < PATIENCE {
        std::thread::sleep(FAIL / 10);
    }
    Ok(accepted)
}

fn lost(sink: &Sink, accepted: u64) -> String {
    sink.wait(accepted, PATIENCE);
    format!("{} of {accepted}", accepted.saturating_sub(sink.count()))
}
