//! `dispatcher store`: looks at the data folder, mends it and copies it. It opens no store and needs no
//! daemon; only a repair needs that none runs.

mod backup;
mod bar;
mod check;
mod dump;
mod repair;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

use super::exit::{Failure, USAGE};
use super::find;
use crate::config::{self, Environment};
use crate::store::embedded::tools::{Damage, Lay, ToolError};

#[derive(Clone, Debug, clap::Subcommand)]
pub(super) enum StoreCommand {
    Check(check::CheckArgs),
    Repair(repair::RepairArgs),
    Dump(dump::DumpArgs),
    Backup(backup::BackupArgs),
}

/// Which data folder a command is about.
#[derive(Clone, Debug, clap::Args)]
struct Which {
    /// The data folder; else that of the configuration (`store.directory`)
    #[arg(long, value_name = "DIR")]
    directory: Option<PathBuf>,
}

impl Which {
    /// Secrets do not matter here: they may be out of reach of whoever looks after the disk.
    fn folder(&self, option: Option<&Path>) -> Result<PathBuf, Failure> {
        if let Some(directory) = &self.directory {
            return Ok(directory.clone());
        }
        let hint = "or name the data folder: --directory DIR";
        let file = find::file(option).map_err(|failure| Failure {
            text: format!("{}\n  {hint}", failure.text),
            ..failure
        })?;
        let config = config::load(&file, &Environment::skipped()).map_err(|problems| Failure {
            code: USAGE,
            text: format!("{}\n  {hint}", find::report(&problems, false)),
        })?;
        Ok(config.store.directory)
    }
}

impl StoreCommand {
    /// Whether all is well.
    pub(super) fn run(&self, config: Option<&Path>) -> Result<bool, Failure> {
        match self {
            Self::Check(args) => check::run(args, config),
            Self::Repair(args) => repair::run(args, config),
            Self::Dump(args) => dump::run(args, config).map(|()| true),
            Self::Backup(args) => backup::run(args, config),
        }
    }
}

/// What a person named wrongly is wrong usage.
fn failed(error: ToolError) -> Failure {
    match error {
        ToolError::NoLog { .. } | ToolError::NotEmpty { .. } | ToolError::NoSegment { .. } => {
            Failure::usage(error)
        }
        other => Failure::new(other),
    }
}

/// `1 frame`, `2 frames`.
fn count(n: u64, what: &str) -> String {
    let s = if n == 1 { "" } else { "s" };
    format!("{n} {what}{s}")
}

/// A place of damage in a few lines: where, what lay there, whom it concerns.
fn describe(damage: &Damage) -> String {
    let Damage { segment, offset, bytes, what, .. } = damage;
    let bytes = count(*bytes, "byte");
    let mut lines = vec![format!("{}, byte {offset}: {bytes}: {what}", segment.display())];
    let (from, to) = damage.numbers();
    let unknown = format!("its events would have numbers from {from} to below {to}");
    lines.push(match &damage.lay {
        Lay::OneBit { kind } => {
            format!("a record of kind {kind}; a repair puts it right, nothing is lost")
        }
        Lay::Request { events } if events.is_empty() => {
            format!("lost: a request; its ids cannot be read ({unknown})")
        }
        Lay::Request { events } => {
            format!("lost: a request with {}", ids(events))
        }
        Lay::Record { kind: "settlements", events } if events.is_empty() => {
            "lost: outcomes of deliveries; some may be made again".to_owned()
        }
        Lay::Record { kind: "settlements", events } => {
            format!(
                "lost: outcomes of deliveries, some may be made again; of these it told: {}",
                ids(events)
            )
        }
        Lay::Record { kind: "moved", events } => {
            format!(
                "lost: a copy of an event, with what was known of its deliveries: {}",
                ids(events)
            )
        }
        Lay::Record { kind, .. } => format!("lost: a record of kind {kind}, no event"),
        Lay::Unknown => format!("lost: any number of records; {unknown}"),
        Lay::Header => "nothing else is lost: it can be made anew".to_owned(),
        Lay::Segment => format!("lost: the whole file; {unknown}"),
    });
    for concerned in &damage.concerned {
        let pending = count(concerned.pending, "delivery").replace("deliverys", "deliveries");
        lines.push(format!(
            "target {} has not read that far ({pending} wait in all): it gets a dead letter for what lay there",
            concerned.target
        ));
    }
    if damage.may_hold_requests() && damage.concerned.is_empty() {
        lines.push(
            "every target has read beyond it; what waits there to be tried again is lost".into(),
        );
    }
    for unsure in &damage.unsure {
        let deliveries = count(unsure.count, "delivery").replace("deliverys", "deliveries");
        let more = if unsure.count > unsure.events.len() as u64 { " …" } else { "" };
        let shown = unsure.events.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
        let target = &unsure.target;
        lines.push(format!(
            "of {deliveries} to target {target} it is not known any more whether they were made; \
             `dispatcher dead replay ID --target {target}` makes one (again): {shown}{more}"
        ));
    }
    lines.push(match damage.refused {
        Some(true) => "the daemon refuses to start: it has to read that place".to_owned(),
        Some(false) => "the daemon starts: its index has read that place".to_owned(),
        None => {
            "a daemon runs: whether its next start reads that place was not looked at".to_owned()
        }
    });
    lines.iter().map(|line| crate::model::printable(line)).collect::<Vec<_>>().join("\n    ")
}

fn ids(events: &[crate::model::EventId]) -> String {
    let shown = events.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
    format!("{} {shown} (as far as it can be read)", count(events.len() as u64, "event"))
}
