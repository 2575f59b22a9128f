//! The program `dispatcher-bench`: how near the daemon comes to the least that its promises cost, measured
//! side by side.
//!
//! Absolute figures of one machine mean little and move from minute to minute. Therefore each round loads
//! the floor and the daemon one right after the other, and the result is the ratio of the pair; the tables
//! show the median and the range over all rounds. At the end the goals are compared with what was measured.
//!
//! Each part is a module that runs alone, in folders of its own, and returns its tables and goals.

mod args;
mod backlog;
mod bare_client;
mod batch;
mod cores;
mod disk_space;
mod floor;
mod http_delivery;
mod idle;
mod ingest;
mod lab;
mod load;
mod parts;
mod peers;
mod process;
mod report;
mod request;
mod servers;
mod sink;

use std::process::ExitCode;

use clap::Parser as _;

/// The daemon's allocator, so that the floor differs from it in nothing else.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    match parts::run(&args::Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}
