//! Targets that are not in the configuration any more although something waits for them: warnings for `check`,
//! a start and a reload.

use std::collections::BTreeSet;
use std::path::Path;

use crate::admin::is_configured;
use crate::config::{Config, Problem};
use crate::model::{TargetNumber, counted, printable};
use crate::store::embedded::Settings;
use crate::store::embedded::tools::{Backlog, NamesFit, backlogs, names_fit};
use crate::store::{Queue, StoreError};

/// What is left in an open store, for a configuration with targets and recipients of these names.
pub(super) fn of_queue(queue: &dyn Queue, configured: &BTreeSet<&str>) -> Vec<Backlog> {
    let others = queue.targets().into_iter();
    let others = others.filter(|(_, name)| !is_configured(name, configured));
    let backlog = |(number, name): (TargetNumber, std::sync::Arc<str>)| {
        let depth = queue.depth(number);
        Backlog { target: name.to_string(), pending: depth.pending, dead: depth.dead }
    };
    others.map(backlog).filter(has_any).collect()
}

/// Warnings about what is left in a data folder, for the same. A folder that cannot be read is not the configuration's fault.
pub(super) fn in_folder(folder: &Path, configured: &BTreeSet<&str>) -> Vec<Problem> {
    let all = backlogs(folder).unwrap_or_default().into_iter();
    let left =
        all.filter(|backlog| has_any(backlog) && !is_configured(&backlog.target, configured));
    left.map(|backlog| {
        let (title, help) = words(&backlog);
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

const fn has_any(backlog: &Backlog) -> bool {
    backlog.pending > 0 || backlog.dead > 0
}

/// One line for the log and for `reload`.
pub(super) fn line(backlog: &Backlog) -> String {
    let (title, help) = words(backlog);
    format!("{title}: {help}")
}

/// What is wrong, and what to do.
fn words(Backlog { target, pending, dead }: &Backlog) -> (String, String) {
    let target = printable(target);
    let count = |n: u64, one: &str, many: &str| (n > 0).then(|| counted(n, one, many));
    let counts =
        [count(*pending, "delivery", "deliveries"), count(*dead, "dead letter", "dead letters")];
    let counts = counts.into_iter().flatten().collect::<Vec<_>>().join(" and ");
    let title = format!("{counts} of target `{target}`, which is not configured any more");
    let moved = format!(
        "deliver them with `dispatcher move --from {target} --to TARGET`, or drop them with `dispatcher drop \
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
        let line = |pending, dead| line(&Backlog { target: "app".into(), pending, dead });
        let both = line(1, 2);
        assert!(both.starts_with("1 delivery and 2 dead letters of target `app`, which is not"));
        assert!(both.contains("move --from app --to TARGET") && both.contains("dead drop --all"));
        assert!(line(2, 0).starts_with("2 deliveries of") && !line(2, 0).contains("dead"));
        assert!(
            line(0, 1)
                .ends_with("`dispatcher dead drop --all --target app` drops the dead letters")
        );
    }
}
