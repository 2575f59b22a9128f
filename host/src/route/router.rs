//! [`Router`]: the routes of all targets.

use std::collections::HashMap;
use std::sync::Arc;

use super::rule::Rule;
use crate::model::{Attributes, Event, OWN_SOURCE, Planned, Shape, TargetNumber, Unrouted};

/// The route of one target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TargetRoute {
    pub name: Arc<str>,
    pub enabled: bool,
    /// The target gets an event if any of them matches. Empty: every event of a sender.
    pub rules: Vec<Rule>,
}

impl TargetRoute {
    /// Whether the target gets every event of this source. Without rules it gets those of senders. What the
    /// daemon says of itself is for people, and a target may be an application.
    #[must_use]
    pub fn takes_all_of(&self, source: Option<&str>) -> bool {
        self.rules.is_empty() && source != Some(OWN_SOURCE)
    }
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
    /// The target's rules for this source. Empty: every event of the source.
    rules: Vec<Rule>,
}

impl Router {
    /// If targets have the same number, the first one is used.
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

    /// The event with the targets that get it. If none does, `unrouted` has the reason for each target.
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

    /// The reason for each target that does not get the event.
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
        self.rules.is_empty() || self.rules.iter().any(|rule| rule.matches(event))
    }
}

/// The targets that a source can reach. `None`: a source that no rule names.
fn lanes(targets: &[(TargetRoute, TargetNumber)], source: Option<&str>) -> Lanes {
    targets
        .iter()
        .filter(|(route, _)| route.enabled)
        .filter_map(|(route, number)| {
            let rules: Vec<_> = route.rules.iter().filter(|r| r.is_for(source)).cloned().collect();
            // A target with rules, but none for this source, is not reachable.
            let reachable = route.takes_all_of(source) || !rules.is_empty();
            reachable.then_some(Lane { number: *number, rules })
        })
        .collect()
}

/// Why the target does not get the event; `None` if it does.
fn reason(route: &TargetRoute, source: &str, event: &Event) -> Option<String> {
    if event.shape == Shape::Other {
        return Some("the element is not a JSON object".to_owned());
    }
    if !route.enabled {
        return Some("the target is disabled".to_owned());
    }
    if route.takes_all_of(Some(source)) {
        return None;
    }
    if route.rules.is_empty() {
        return Some(format!("the target has no route that names source {source}"));
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
