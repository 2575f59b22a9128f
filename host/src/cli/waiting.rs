//! `dispatcher drop` and `dispatcher move`: what waits for a target, which perhaps is not configured any more.

use std::path::Path;

use super::ask::Ask;
use super::confirm::confirm;
use super::exit::Failure;
use super::out;
use crate::admin::wire::{Count, Move, Selection};
use crate::model::printable;

/// Drop what waits for a target: it is not delivered
///
/// `explain` shows what was dropped; `dead replay ID --target TARGET` delivers it again. A delivery that
/// is being attempted is left alone. Dead letters are dropped with `dead drop`.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct DropArgs {
    #[command(flatten)]
    ask: Ask,
    /// Ids of events
    #[arg(value_name = "ID", required_unless_present = "all", conflicts_with = "all")]
    ids: Vec<String>,
    /// Whose deliveries; also a target that is not configured any more
    #[arg(long)]
    target: String,
    /// Everything that waits
    #[arg(long)]
    all: bool,
    /// Do not ask
    #[arg(long)]
    yes: bool,
}

/// Move what waits for a target to another one
///
/// For a target that was renamed or removed. A delivery that is being attempted is left alone; attempts start
/// again at 1. After a crash in between, run it again: what already moved is not sent twice.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct MoveArgs {
    #[command(flatten)]
    ask: Ask,
    /// Whose deliveries; also a target that is not configured any more
    #[arg(long, value_name = "TARGET")]
    from: String,
    /// A configured target
    #[arg(long, value_name = "TARGET")]
    to: String,
    /// Do not ask
    #[arg(long)]
    yes: bool,
}

pub(super) fn discard(args: &DropArgs, config: Option<&Path>) -> Result<(), Failure> {
    let daemon = args.ask.daemon(config)?;
    let selection = |dry| Selection {
        target: Some(args.target.clone()),
        events: args.ids.clone(),
        all: args.all,
        dry,
    };
    let target = printable(&args.target);
    let Count { count, .. } = daemon.post("/drop", &selection(true))?;
    if count == 0 && args.all {
        out::line(&format!("nothing waits for {target}"));
        return Ok(());
    }
    if count == 0 {
        let none = format!("no such event waits for {target}; `dispatcher explain ID` says why");
        return Err(Failure::new(none));
    }
    if count > 1 && !args.yes {
        confirm(&format!("drop {count} deliveries that wait for {target}"), "add --yes")?;
    }
    let Count { count, .. } = daemon.post("/drop", &selection(false))?;
    out::line(&format!("dropped: {count}"));
    Ok(())
}

pub(super) fn relocate(args: &MoveArgs, config: Option<&Path>) -> Result<(), Failure> {
    let daemon = args.ask.daemon(config)?;
    let request = |dry| Move { from: args.from.clone(), to: args.to.clone(), dry };
    let (from, to) = (printable(&args.from), printable(&args.to));
    let Count { count, .. } = daemon.post("/move", &request(true))?;
    if count == 0 {
        out::line(&format!("nothing waits for {from}"));
        return Ok(());
    }
    if count > 1 && !args.yes {
        confirm(&format!("move {count} deliveries from {from} to {to}"), "add --yes")?;
    }
    let Count { count, .. } = daemon.post("/move", &request(false))?;
    out::line(&format!("moved from {from} to {to}: {count}"));
    Ok(())
}
