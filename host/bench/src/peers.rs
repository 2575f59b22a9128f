//! Part `peers`: other programs that a person might install, under the same load in the same rounds.
//!
//! For one that is not installed, its package is named. Each also gets events for a destination that is down,
//! is killed with `kill -9`, and is started again when the destination is back.

mod known;
mod loss;
mod program;

use std::io;
use std::sync::Arc;

use tokio::net::TcpStream;

use crate::lab::{Lab, Round, Subject};
use crate::load::MakeRequest;
use crate::process::resident_bytes;
use crate::report::{Section, Spread, Table, mib, number};
use crate::request::{Shape, maker};
use crate::servers::{Daemon, ONE_SOURCE, file_log};
use crate::sink::free_port;
use dispatcher::cli::testbed::exchange;
use known::{KNOWN, Known, Site};
use program::{Program, find};

const CONNECTIONS: usize = 64;

/// One of the servers that are compared.
struct Contestant {
    server: Box<dyn Subject>,
    does: &'static str,
    make: Arc<MakeRequest>,
    rounds: Vec<Round>,
    /// The status of its answer to a request whose body was changed.
    forged: u16,
    lost: Option<String>,
}

pub(crate) fn run(lab: &Lab) -> io::Result<Section> {
    let (mut contestants, mut missing) = (vec![ours(lab)?], Vec::new());
    for known in &KNOWN {
        match peer(lab, known) {
            Ok(Some(contestant)) => contestants.push(contestant),
            Ok(None) => missing.push(format!(
                "{} is not installed: apt-get install {}.",
                known.name, known.packages
            )),
            Err(error) => missing.push(format!("{} was left out: {error}.", known.name)),
        }
    }
    for contestant in &contestants {
        lab.warm_up(&*contestant.server, CONNECTIONS, &contestant.make)?;
    }
    for round in 1..=lab.rounds {
        lab.show_progress("peers", round);
        for contestant in &mut contestants {
            let measured = lab.round(&*contestant.server, CONNECTIONS, &contestant.make)?;
            contestant.rounds.push(measured);
        }
    }
    table(&contestants, missing)
}

fn ours(lab: &Lab) -> io::Result<Contestant> {
    let lines = format!("{ONE_SOURCE}{}", file_log("log", ""));
    let server = Box::new(Daemon::start(lab, "dispatcher", &lines)?);
    let does = "checks the HMAC, fdatasync before the 200, appends to a file";
    let lost = Some(loss::ours(lab)?);
    contestant(lab, server, does, ("/sqreen", Shape::Sqreen), lost)
}

/// `None` if it is not installed.
fn peer(lab: &Lab, known: &Known) -> io::Result<Option<Contestant>> {
    let Some(program) = find(known.program) else { return Ok(None) };
    let lost = if known.forwards { Some(loss::of(lab, known, &program)?) } else { None };
    let (folder, port) = (lab.folder(known.program)?, free_port()?);
    let arguments = (known.prepare)(&Site { folder: &folder, port, sink: None })?;
    let server = Program::start(lab, known.name, &program, &arguments, (&folder, port))?;
    let request = (known.path, known.shape);
    contestant(lab, Box::new(server), known.does, request, lost).map(Some)
}

fn contestant(
    lab: &Lab,
    server: Box<dyn Subject>,
    does: &'static str,
    (path, shape): (&str, Shape),
    lost: Option<String>,
) -> io::Result<Contestant> {
    let make = maker(path, shape, 1)?;
    let mut request = Vec::new();
    make(0, &mut request);
    // The body still is JSON, but not the one that was signed.
    let note = request.windows(4).rposition(|window| window == b"xxxx");
    if let Some(at) = note {
        request[at] = b'y';
    }
    let forged = lab.runtime.block_on(async {
        let mut stream = TcpStream::connect(server.address()).await?;
        Ok::<_, io::Error>(exchange(&mut stream, &request).await?.status)
    })?;
    Ok(Contestant { server, does, make, rounds: Vec::new(), forged, lost })
}

fn table(contestants: &[Contestant], missing: Vec<String>) -> io::Result<Section> {
    let head = [
        "what",
        "requests/s",
        "p50 ms",
        "p99 ms",
        "CPU µs/request",
        "resident MiB",
        "dispatcher is",
        "forged request",
        "target down, kill -9, back: lost of accepted",
        "what it does",
    ];
    let title = format!("Other programs, {CONNECTIONS} connections, 1 KB a request");
    let mut table = Table::new(title, &head);
    let rates = |rounds: &[Round]| -> Vec<f64> {
        rounds.iter().map(|round| round.load.requests_per_second).collect()
    };
    let ours = contestants.first().map(|first| rates(&first.rounds)).unwrap_or_default();
    for Contestant { server, does, rounds, forged, lost, .. } in contestants {
        let theirs = rates(rounds);
        let ms = |of: fn(&Round) -> std::time::Duration| {
            number(Spread::of(rounds.iter().map(|r| of(r).as_secs_f64() * 1e3)).median, 2)
        };
        let failed: u64 = rounds.iter().map(|round| round.load.failed).sum();
        let accepted = if *forged == 200 { "accepted" } else { "refused" };
        table.row([
            server.name().to_owned(),
            Spread::of(theirs.iter().copied()).show(0),
            ms(|round| round.load.p50),
            ms(|round| round.load.p99),
            Spread::of(rounds.iter().map(Round::cpu_us)).show(1),
            mib(resident_bytes(server.process())?),
            Spread::ratio(ours.iter().copied(), &theirs).show(2) + " ×",
            format!("{accepted} ({forged})"),
            lost.clone().unwrap_or_else(|| "-".to_owned()),
            (*does).to_owned(),
        ]);
        if failed > 0 {
            table.note(format!("{}: {failed} requests were not answered with 200.", server.name()));
        }
    }
    missing.into_iter().for_each(|line| table.note(line));
    Ok(Section { tables: vec![table], goals: Vec::new() })
}
