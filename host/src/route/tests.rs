//! Each condition alone, rules together, and the reasons for people.

use std::sync::Arc;

use super::*;
use crate::model::{Attributes, Event, OWN_SOURCE, Severity, Shape, TargetNumber};

fn rule(sources: &[&str], types: &[&str], severity: Option<Severity>) -> Rule {
    Rule {
        sources: sources.iter().map(|name| Arc::from(*name)).collect(),
        types: types.iter().map(|text| text.parse().unwrap()).collect(),
        severity,
    }
}

fn target(name: &str, number: u16, rules: Vec<Rule>) -> (TargetRoute, TargetNumber) {
    (TargetRoute { name: Arc::from(name), enabled: true, rules }, TargetNumber(number))
}

fn event(event_type: &str, severity: Severity) -> Event {
    Event {
        attributes: Attributes {
            event_type: event_type.to_owned(),
            subject: None,
            time: None,
            title: "title".to_owned(),
            severity,
            link: None,
        },
        shape: Shape::Object,
        dedup: None,
        data: bytes::Bytes::from_static(b"{}"),
    }
}

/// Whether one target with these rules gets the event, and if not, why.
#[track_caller]
fn check(rules: Vec<Rule>, source: &str, event: Event, expected: Option<&str>) {
    let router = Router::new(vec![target("log", 3, rules)]);
    let planned = router.plan(source, event.clone());
    let reasons: Vec<_> = planned.unrouted.iter().map(|u| u.reason.as_str()).collect();
    assert_eq!(reasons, expected.into_iter().collect::<Vec<_>>());
    assert_eq!(planned.targets.is_empty(), expected.is_some());
    assert_eq!(router.explain(source, &event), planned.unrouted);
}

#[test]
fn every_condition_of_a_rule_must_hold_and_the_reason_names_one_that_does_not() {
    use Severity::{Critical, Error, Info};
    for (rule, source, event_type, severity, expected) in [
        (rule(&[], &[], None), "any", "any", Info, None),
        (rule(&["sqreen"], &[], None), "sqreen", "any", Info, None),
        (
            rule(&["sqreen"], &[], None),
            "github",
            "any",
            Info,
            Some("source github is not in sources"),
        ),
        (
            rule(&["sqreen"], &[], None),
            "sqreen2",
            "any",
            Info,
            Some("source sqreen2 is not in sources"),
        ),
        (rule(&[], &["http_*", "pulse"], None), "a", "pulse", Info, None),
        (
            rule(&[], &["http_*", "pulse"], None),
            "a",
            "test",
            Info,
            Some("type test is not in types"),
        ),
        (rule(&[], &["!test"], None), "a", "pulse", Info, None),
        (rule(&[], &["!test"], None), "a", "test", Info, Some("type test is excluded by !test")),
        (rule(&[], &["*", "!te*"], None), "a", "test", Info, Some("type test is excluded by !te*")),
        (rule(&[], &[], Some(Error)), "a", "x", Error, None),
        (rule(&[], &[], Some(Error)), "a", "x", Critical, None),
        (rule(&[], &[], Some(Error)), "a", "x", Info, Some("severity info is below error")),
        (rule(&["a"], &["x"], Some(Error)), "a", "x", Info, Some("severity info is below error")),
    ] {
        check(vec![rule], source, event(event_type, severity), expected);
    }
}

#[test]
fn any_rule_of_several_is_enough_and_each_that_failed_is_named() {
    let rules =
        || vec![rule(&["sqreen"], &[], Some(Severity::Error)), rule(&["falco"], &["!test"], None)];
    check(rules(), "sqreen", event("test", Severity::Error), None);
    check(rules(), "falco", event("alert", Severity::Info), None);
    check(
        rules(),
        "falco",
        event("test", Severity::Info),
        Some("rule 1: source falco is not in sources; rule 2: type test is excluded by !test"),
    );
}

#[test]
fn a_target_without_rules_gets_every_event_of_a_sender() {
    check(vec![], "any", event("x", Severity::Info), None);
}

#[test]
fn own_events_match_only_rules_that_name_them() {
    let critical = || rule(&[], &[], Some(Severity::Info));
    let own = event("target.down", Severity::Critical);
    let no_route = "the target has no route that names source dispatcher";
    check(vec![], OWN_SOURCE, own.clone(), Some(no_route));
    check(vec![rule(&[OWN_SOURCE], &[], None)], OWN_SOURCE, own.clone(), None);
    check(vec![critical(), rule(&[OWN_SOURCE], &[], None)], OWN_SOURCE, own.clone(), None);
    check(vec![critical()], OWN_SOURCE, own, Some("source dispatcher is not in sources"));
    check(vec![critical()], "any", event("x", Severity::Critical), None);
}

#[test]
fn a_disabled_target_gets_nothing() {
    let (mut route, number) = target("log", 1, vec![]);
    route.enabled = false;
    let planned = Router::new(vec![(route, number)]).plan("a", event("x", Severity::Critical));
    assert_eq!(planned.targets, []);
    assert_eq!(planned.unrouted[0].reason, "the target is disabled");
}

#[test]
fn an_element_that_is_not_an_object_is_not_routed() {
    let mut event = event("unknown", Severity::Warning);
    event.shape = Shape::Other;
    check(vec![], "any", event, Some("the element is not a JSON object"));
}

#[test]
fn the_plan_is_sorted_and_holds_no_reason_once_one_target_gets_the_event() {
    let router = Router::new(vec![
        target("third", 9, vec![]),
        target("never", 5, vec![rule(&["other"], &[], None)]),
        target("first", 1, vec![rule(&["a"], &[], None), rule(&["a"], &[], None)]),
    ]);
    let planned = router.plan("a", event("x", Severity::Info));
    assert_eq!(planned.targets, [TargetNumber(1), TargetNumber(9)]);
    assert_eq!(planned.unrouted, []);
    let explained = router.explain("a", &planned.event);
    assert_eq!(explained.len(), 1);
    assert_eq!(&*explained[0].target, "never");
    assert_eq!(router.name(TargetNumber(9)).map(|name| &**name), Some("third"));
    assert_eq!(router.name(TargetNumber(2)), None);
}
