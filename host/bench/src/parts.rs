//! Runs the parts one after the other and prints what they found.

use std::io;
use std::path::Path;

use dispatcher::cli::testbed::Scratch;

use crate::args::{Args, Part};
use crate::lab::Lab;
use crate::report;
use crate::servers::Role;
use crate::{
    backlog, bare_client, batch, disk_space, floor, http_delivery, idle, ingest, peers, process,
    request,
};

/// Runs the bench, or the server that it asked this process to be.
pub(crate) fn run(args: &Args) -> io::Result<()> {
    if let Some(role) = args.serve {
        // As many as the daemon has for receiving.
        let workers = std::thread::available_parallelism().map_or(2, usize::from);
        let directory = args.directory.clone().unwrap_or_else(std::env::temp_dir);
        return match role {
            Role::Floor => floor::serve(Some(&directory), workers),
            Role::FloorWithoutDisk => floor::serve(None, workers),
            Role::Client => bare_client::serve(workers),
        };
    }
    if let Some(directory) = &args.directory {
        std::fs::create_dir_all(directory)?;
    }
    let home = Scratch::new(args.directory.as_deref(), "bench")?;
    measure(args, home.path())
}

fn measure(args: &Args, home: &Path) -> io::Result<()> {
    let lab = Lab::new(home, args.rounds, args.seconds)?;
    let parts = args.parts();
    disk_space::check(home, &parts, args)?;
    report::print(&introduction(args, &lab));
    let mut goals = Vec::new();
    for part in parts {
        let section = match part {
            Part::Ingest => ingest::run(&lab, &args.connections)?,
            Part::Batch => batch::run(&lab)?,
            Part::Http => http_delivery::run(&lab)?,
            Part::Backlog => backlog::run(&lab, args.backlog / request::MANY * request::MANY)?,
            Part::Idle => idle::run(&lab)?,
            Part::Peers => peers::run(&lab)?,
        };
        section.tables.iter().for_each(|table| table.print(args.markdown));
        goals.extend(section.goals);
        // Its servers have ended; the next part begins with an empty disk.
        disk_space::clear(home)?;
    }
    if !goals.is_empty() {
        // The lines begin with the number of the goal.
        goals.sort_by_key(|goal| goal.what.as_bytes().first().copied());
        report::goals(&goals).print(args.markdown);
    }
    Ok(())
}

fn introduction(args: &Args, lab: &Lab) -> String {
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
