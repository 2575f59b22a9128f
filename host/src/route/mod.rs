//! Which targets get an event, and for each that does not, why.
//!
//! Pure. A target without rules gets every event; else any of its rules must match, and within a rule
//! every condition must. A disabled target gets nothing. What each source can reach is worked out
//! once, so that an event costs only the rules that could let it through, and reasons are made only
//! where somebody will read them: when no target matched, or by [`Router::explain`].

mod pattern;

use std::collections::HashMap;
use std::sync::Arc;

pub use pattern::{InvalidPattern, PATTERN_BYTES_MAX, TypePattern};

use crate::model::{
    Attributes, Event, OWN_SOURCE, Planned, Severity, Shape, TargetNumber, Unrouted,
};

/// One line of a target's `route`; all of its conditions must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rule {
    /// Exact names of sources; empty means any.
    pub sources: Vec<Arc<str>>,
    /// An event's type must match one of the patterns that include, if there are any, and none that
    /// excludes.
    pub types: Vec<TypePattern>,
    /// The least severity.
    pub severity: Option<Severity>,
}

/// What decides whether a target gets an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TargetRoute {
    pub name: Arc<str>,
    pub enabled: bool,
    /// Any of them lets an event through; empty means every event.
    pub rules: Vec<Rule>,
}

/// The routes of all targets.
#[derive(Debug)]
pub struct Router {
    /// Ascending by number.
    targets: Vec<(TargetRoute, TargetNumber)>,
    /// For each source that a rule names.
    named: HashMap<Arc<str>, Lanes>,
    /// For every other source.
    others: Lanes,
}

/// The enabled targets that a source can reach, ascending by number.
type Lanes = Vec<Lane>;

#[derive(Debug)]
struct Lane {
    number: TargetNumber,
    /// The rules that hold for the source; empty means every event.
    rules: Vec<Rule>,
}

impl Router {
    /// Of targets with the same number the first counts.
    #[must_use]
    pub fn new(mut targets: Vec<(TargetRoute, TargetNumber)>) -> Self {
        targets.sort_by_key(|(_, number)| *number);
        targets.dedup_by_key(|(_, number)| *number);
        let sources = targets.iter().flat_map(|(route, _)| &route.rules).flat_map(|r| &r.sources);
        let own = Arc::from(OWN_SOURCE);
        let sources = sources.chain([&own]);
        let named = sources.map(|name| (Arc::clone(name), lanes(&targets, Some(name)))).collect();
        let others = lanes(&targets, None);
        Self { targets, named, others }
    }

    /// The event with the targets that get it. Where none does, `unrouted` says why for each target.
    #[must_use]
    pub fn plan(&self, source: &str, event: Event) -> Planned {
        let targets: Vec<_> = match event.shape {
            Shape::Object => self
                .lanes(source)
                .iter()
                .filter(|lane| lane.takes(&event.attributes))
                .map(|lane| lane.number)
                .collect(),
            Shape::Other => Vec::new(),
        };
        let unrouted = if targets.is_empty() { self.explain(source, &event) } else { Vec::new() };
        Planned { event, targets, unrouted }
    }

    /// For each target that does not get the event, why.
    #[must_use]
    pub fn explain(&self, source: &str, event: &Event) -> Vec<Unrouted> {
        self.targets
            .iter()
            .filter_map(|(route, _)| {
                let reason = reason(route, source, event)?;
                Some(Unrouted { target: Arc::clone(&route.name), reason })
            })
            .collect()
    }

    /// The target's name.
    #[must_use]
    pub fn name(&self, number: TargetNumber) -> Option<&Arc<str>> {
        let place = self.targets.binary_search_by_key(&number, |(_, n)| *n).ok()?;
        Some(&self.targets[place].0.name)
    }

    fn lanes(&self, source: &str) -> &Lanes {
        self.named.get(source).unwrap_or(&self.others)
    }
}

impl Lane {
    fn takes(&self, event: &Attributes) -> bool {
        self.rules.is_empty() || self.rules.iter().any(|rule| rule.refusal(event).is_none())
    }
}

/// The first condition of a rule that an event fails; texts are made from it only when asked.
enum Refusal<'a> {
    Excluded(&'a TypePattern),
    NotIncluded,
    Below(Severity),
}

impl Rule {
    /// The daemon's own events only go where they are named, or where everything goes.
    fn is_for(&self, source: Option<&str>) -> bool {
        (self.sources.is_empty() && source != Some(OWN_SOURCE))
            || source.is_some_and(|source| self.sources.iter().any(|name| **name == *source))
    }

    fn refusal(&self, event: &Attributes) -> Option<Refusal<'_>> {
        let mut includes = self.types.iter().filter(|pattern| !pattern.excludes()).peekable();
        if includes.peek().is_some() && !includes.any(|p| p.matches(&event.event_type)) {
            return Some(Refusal::NotIncluded);
        }
        let mut excludes = self.types.iter().filter(|pattern| pattern.excludes());
        if let Some(pattern) = excludes.find(|p| p.matches(&event.event_type)) {
            return Some(Refusal::Excluded(pattern));
        }
        self.severity.filter(|least| event.severity < *least).map(Refusal::Below)
    }

    /// Why an event fails, for people; `None` when it matches.
    fn reason(&self, source: &str, event: &Attributes) -> Option<String> {
        if !self.is_for(Some(source)) {
            return Some(format!("source {source} is not in sources"));
        }
        let event_type = &event.event_type;
        self.refusal(event).map(|refusal| match refusal {
            Refusal::NotIncluded => format!("type {event_type} is not in types"),
            Refusal::Excluded(by) => format!("type {event_type} is excluded by {by}"),
            Refusal::Below(least) => format!("severity {} is below {least}", event.severity),
        })
    }
}

/// What a source reaches; `None` stands for every source that no rule names.
fn lanes(targets: &[(TargetRoute, TargetNumber)], source: Option<&str>) -> Lanes {
    targets
        .iter()
        .filter(|(route, _)| route.enabled)
        .filter_map(|(route, number)| {
            let rules: Vec<_> = route.rules.iter().filter(|r| r.is_for(source)).cloned().collect();
            // Rules, but none for this source: not reachable. No rules at all: every event.
            (route.rules.is_empty() || !rules.is_empty()).then_some(Lane { number: *number, rules })
        })
        .collect()
}

/// Why the target does not get the event; `None` when it does.
fn reason(route: &TargetRoute, source: &str, event: &Event) -> Option<String> {
    if event.shape == Shape::Other {
        return Some("the element is no JSON object".to_owned());
    }
    if !route.enabled {
        return Some("the target is disabled".to_owned());
    }
    if route.rules.is_empty() {
        return None;
    }
    let reasons = route
        .rules
        .iter()
        .map(|rule| rule.reason(source, &event.attributes))
        .collect::<Option<Vec<_>>>()?;
    if let [only] = reasons.as_slice() {
        return Some(only.clone());
    }
    let numbered: Vec<_> =
        (1..).zip(reasons).map(|(number, reason)| format!("rule {number}: {reason}")).collect();
    Some(numbered.join("; "))
}

#[cfg(test)]
mod tests;
