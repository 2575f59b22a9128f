//! Part `idle`: what a fresh daemon without work costs.

use std::io;
use std::time::{Duration, Instant};

use crate::lab::{Lab, Subject};
use crate::process::{self, Switches};
use crate::report::{Goal, Section, Spread, Table, mib, number};
use crate::servers::{Daemon, ONE_SOURCE, file_log};

/// Time for the work after a start.
const SETTLE: Duration = Duration::from_secs(3);
/// Longest time that it is watched; less when rounds are short.
const WATCH_MAX: Duration = Duration::from_secs(10);
const MIB: f64 = 1024.0 * 1024.0;

pub(crate) fn run(lab: &Lab) -> io::Result<Section> {
    let lines = format!("{ONE_SOURCE}{}", file_log("log", ""));
    let daemon = Daemon::start(lab, "idle", &lines)?;
    let watch = (lab.time * 10).min(WATCH_MAX);
    eprintln!("idle: {} s", (SETTLE.min(watch) + watch).as_secs());
    std::thread::sleep(SETTLE.min(watch));
    let (switches, began) = (Switches::of(daemon.process())?, Instant::now());
    let cpu = process::cpu_time(daemon.process())?;
    std::thread::sleep(watch);
    let seconds = began.elapsed().as_secs_f64();
    let switches = Switches::of(daemon.process())?.since(&switches);
    let cpu = process::cpu_time(daemon.process())?.saturating_sub(cpu);
    let resident = process::resident_bytes(daemon.process())?;
    #[expect(clippy::cast_precision_loss, reason = "small counts")]
    let (per_second, resident_mib) = (switches as f64 / seconds, resident as f64 / MIB);

    let mut table = Table::new("Fresh and idle", &["what", "measured"]);
    table.row(["resident, MiB".to_owned(), mib(resident)]);
    table.row(["context switches a second".to_owned(), number(per_second, 1)]);
    let ms_per_second = cpu.as_secs_f64() * 1e3 / seconds;
    table.row(["CPU ms a second".to_owned(), number(ms_per_second, 2)]);
    table.note(format!("Watched for {seconds:.0} s."));
    let goals = vec![
        Goal::at_most("8. fresh and idle: resident", 25.0, " MiB", &Spread::of([resident_mib])),
        Goal::at_most(
            "8. fresh and idle: context switches a second",
            5.0,
            "",
            &Spread::of([per_second]),
        ),
    ];
    Ok(Section { tables: vec![table], goals })
}
