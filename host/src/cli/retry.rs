//! `dispatcher retry`: makes due now what waits for its time.

use std::path::Path;

use super::ask::Ask;
use super::confirm::confirm;
use super::exit::Failure;
use super::out;
use crate::admin::wire::{Count, Retry};
use crate::model::{EventId, counted, printable};

/// Make due now what waits for its next attempt
///
/// For a destination that was repaired: retries do not wait for their time any more, nor a target for the end of
/// a throttle or for its next probe, also with the ID of one event. If the target still fails, only a few deliveries
/// are attempted before the others wait again. Attempts go on counting. What waits for a digest goes on waiting, and
/// a paused or broken target needs `resume`.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct RetryArgs {
    #[command(flatten)]
    ask: Ask,
    /// A target, NAME/RECIPIENT for one of several recipients; or ids of events
    #[arg(value_name = "TARGET|ID", required_unless_present = "all", conflicts_with = "all")]
    what: Vec<String>,
    /// Of these events only the deliveries to this target
    #[arg(long, conflicts_with = "all")]
    target: Option<String>,
    /// At every target
    #[arg(long)]
    all: bool,
    /// Do not ask
    #[arg(long)]
    yes: bool,
}

pub(super) fn run(args: &RetryArgs, config: Option<&Path>) -> Result<(), Failure> {
    let (target, events) = selection(args)?;
    let request = |dry| Retry { target: target.clone(), events: events.clone(), dry };
    let daemon = args.ask.daemon(config)?;
    let Count { count, skipped, .. } = daemon.post("/retry", &request(true))?;
    if skipped > 0 {
        let (one, many) = ("delivery stays at a target", "deliveries stay at targets");
        let at = "paused, broken, disabled or not configured; `dispatcher status` shows which";
        out::line(&format!("{} that cannot deliver: {at}", counted(skipped, one, many)));
    }
    if count == 0 && !events.is_empty() {
        let none = "no such event waits for an attempt; `dispatcher explain ID` says why";
        return Err(Failure::new(none));
    }
    let of = target.as_deref().map(|name| format!(" at {}", printable(name))).unwrap_or_default();
    if count == 0 {
        out::line(&format!("nothing waits for its next attempt{of}"));
        return Ok(());
    }
    let one = format!("delivery waits for its next attempt{of}");
    out::line(&counted(count, &one, &format!("deliveries wait for their next attempt{of}")));
    if count > 1 && !args.yes {
        confirm(&format!("make {count} deliveries due now"), "add --yes")?;
    }
    let Count { count, .. } = daemon.post("/retry", &request(false))?;
    out::line(&format!("due now: {count}"));
    Ok(())
}

/// The target, and the events.
fn selection(args: &RetryArgs) -> Result<(Option<String>, Vec<String>), Failure> {
    let is_id = |text: &&String| text.parse::<EventId>().is_ok();
    let (ids, names): (Vec<_>, Vec<_>) = args.what.iter().cloned().partition(|text| is_id(&text));
    match (&names[..], &args.target) {
        ([], target) => Ok((target.clone(), ids)),
        ([name], None) if ids.is_empty() => Ok((Some(name.clone()), ids)),
        ([_], None) => Err(Failure::usage("name the target of these events with --target")),
        ([name], Some(_)) => {
            Err(Failure::usage(format!("{} is not a valid id of an event", printable(name))))
        }
        _ => Err(Failure::usage("name one target, or --all")),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        args: RetryArgs,
    }

    #[test]
    fn a_target_or_events_are_chosen() {
        const ID: &str = "01KB5XG3ZJ0003N0000000400A";
        let chosen = |line: &[&str]| {
            let parsed = Line::try_parse_from([&["retry"], line].concat());
            selection(&parsed.map_err(|error| error.to_string())?.args).map_err(|error| error.text)
        };
        let name = || Some("sms".to_owned());
        assert_eq!(chosen(&["sms"]), Ok((name(), vec![])));
        assert_eq!(chosen(&["--all"]), Ok((None, vec![])));
        assert_eq!(chosen(&[ID]), Ok((None, vec![ID.to_owned()])));
        assert_eq!(chosen(&[ID, "--target", "sms"]), Ok((name(), vec![ID.to_owned()])));
        for wrong in [&[][..], &["a", "b"], &["a", ID], &["a", "--all"], &["a", "--target", "b"]] {
            assert!(chosen(wrong).is_err(), "{wrong:?}");
        }
    }
}
