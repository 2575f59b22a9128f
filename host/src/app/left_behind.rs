//! Targets that are not in the configuration any more, or are disabled, although something waits for them: warnings for
//! `check`, a start and a reload.

use std::collections::BTreeSet;
use std::path::Path;

use crate::admin::{Standing, standing};
use crate::config::{Config, Problem};
use crate::model::{TargetNumber, counted, printable};
use crate::store::embedded::Settings;
use crate::store::embedded::tools::{Backlog, NamesFit, backlogs, names_fit};
use crate::store::{Queue, StoreError};

/// The names of a configuration.
#[derive(Default)]
pub(super) struct Names<'a> {
    /// All targets, and the recipients that are known.
    pub(super) configured: BTreeSet<&'a str>,
    /// The targets that are disabled.
    pub(super) disabled: BTreeSet<&'a str>,
}

/// What nothing will deliver, and why.
pub(super) struct Left {
    backlog: Backlog,
    is_disabled: bool,
}

impl Names<'_> {
    /// `None` if it will be delivered, or nothing waits.
    fn left(&self, backlog: Backlog) -> Option<Left> {
        let name = &*backlog.target;
        let target = name.split_once('/').map_or(name, |(target, _)| target);
        let is_removed = standing(name, &self.configured) == Some(Standing::Removed);
        let is_disabled = !is_removed && self.disabled.contains(target);
        // Dead letters wait for a person in any case.
        let has_any = backlog.pending > 0 || (is_removed && backlog.dead > 0);
        ((is_removed || is_disabled) && has_any).then_some(Left { backlog, is_disabled })
    }
}

/// What is left in an open store.
pub(super) fn of_queue(queue: &dyn Queue, names: &Names<'_>) -> Vec<Left> {
    let backlog = |(number, name): (TargetNumber, std::sync::Arc<str>)| {
        let depth = queue.depth(number);
        Backlog { target: name.to_string(), pending: depth.pending, dead: depth.dead }
    };
    queue.targets().into_iter().filter_map(|target| names.left(backlog(target))).collect()
}

/// Warnings about what is left in a data folder. A folder that cannot be read is not the configuration's fault.
pub(super) fn in_folder(folder: &Path, names: &Names<'_>) -> Vec<Problem> {
    let all = backlogs(folder).unwrap_or_default().into_iter();
    all.filter_map(|backlog| names.left(backlog))
        .map(|left| {
            let (title, help) = words(&left);
            Problem::warning(title).help(help)
        })
        .collect()
}

/// What a reload would say of names that the store cannot take.
pub(super) fn too_many_names(config: &Config, names: &BTreeSet<&str>) -> Option<Problem> {
    let Settings { directory, segment_bytes, .. } = &config.store;
    match names_fit(directory, *segment_bytes, names).ok()? {
        NamesFit::Yes => None,
        NamesFit::No { known, new, max } => {
            Some(Problem::error(StoreError::TooManyTargets { known, new, max }.to_string()))
        }
        NamesFit::Perhaps { known, new, max } => {
            let title = format!(
                "the store knows {known} targets of at most {max}: {new} new ones fit only if it can forget names of \
                 removed targets, and are refused otherwise"
            );
            Some(Problem::warning(title))
        }
    }
}

/// One line for the log and for `reload`.
pub(super) fn line(left: &Left) -> String {
    let (title, help) = words(left);
    format!("{title}: {help}")
}

/// What is wrong, and what to do.
fn words(Left { backlog, is_disabled }: &Left) -> (String, String) {
    let Backlog { target, pending, dead } = backlog;
    let target = printable(target);
    let count = |n: u64, one: &str, many: &str| (n > 0).then(|| counted(n, one, many));
    let counts =
        [count(*pending, "delivery", "deliveries"), count(*dead, "dead letter", "dead letters")];
    let counts = counts.into_iter().flatten().collect::<Vec<_>>().join(" and ");
    let (why, otherwise) = match *is_disabled {
        true => ("disabled", "they wait until it is enabled; otherwise "),
        false => ("not configured any more", ""),
    };
    let title = format!("{counts} of target `{target}`, which is {why}");
    let moved = format!(
        "{otherwise}deliver them with `dispatcher move --from {target} --to TARGET`, or drop them with `dispatcher drop \
         --all --target {target}`"
    );
    let dead_ones =
        format!("`dispatcher dead drop --all --target {target}` drops the dead letters");
    let help = match (pending, dead) {
        (0, _) => dead_ones,
        (_, 0) => moved,
        _ => format!("{moved}; {dead_ones}"),
    };
    (title, help)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_says_how_many_and_what_to_do() {
        let names = Names::default();
        let line = |pending, dead| {
            line(&names.left(Backlog { target: "app".into(), pending, dead }).unwrap())
        };
        let both = line(1, 2);
        assert!(both.starts_with("1 delivery and 2 dead letters of target `app`, which is not"));
        assert!(both.contains("move --from app --to TARGET") && both.contains("dead drop --all"));
        assert!(line(2, 0).starts_with("2 deliveries of") && !line(2, 0).contains("dead"));
        assert!(
            line(0, 1)
                .ends_with("`dispatcher dead drop --all --target app` drops the dead letters")
        );
    }

    #[test]
    fn what_waits_for_a_removed_or_disabled_target_or_recipient_is_left() {
        let names = Names {
            configured: BTreeSet::from(["log", "off", "sms", "sms/+1", "mail"]),
            disabled: BTreeSet::from(["off", "mail"]),
        };
        for (target, pending, dead, expected) in [
            ("log", 1, 1, None),
            ("sms/+1", 1, 1, None),
            ("sms/+2", 1, 0, Some("which is not configured any more")),
            ("gone", 0, 1, Some("which is not configured any more")),
            ("gone", 0, 0, None),
            ("off", 1, 0, Some("which is disabled: they wait until it is enabled; otherwise ")),
            ("off", 0, 1, None),
            ("mail/a", 1, 0, Some("which is disabled")),
            ("mail/a", 0, 0, None),
        ] {
            let left = names.left(Backlog { target: target.into(), pending, dead });
            let line = left.as_ref().map(line);
            assert_eq!(line.is_some(), expected.is_some(), "{target}: {line:?}");
            assert!(line.is_none_or(|line| line.contains(expected.unwrap())), "{target}");
        }
    }
}
