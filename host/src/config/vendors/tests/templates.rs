//! Finds the templates of the vendors' files that no sample fills, because a misspelled path would look the same.

use std::collections::BTreeSet;

use toml::de::{DeTable, DeValue};

use super::super::catalog::FILES;
use super::super::{Vendor, all};
use super::samples::events;
use crate::model::{Event, Severity};
use crate::normalize::{Record, Sample, Sender, TYPE_UNKNOWN};

/// Templates without a sample, because no document at hand shows a body that fills them: spellings that senders
/// without a fixed format may use, and alternatives of the same value.
const WITHOUT_SAMPLE: &[(&str, &[&str])] = &[
    ("alertmanager", &["link: {dashboardURL}", "link: {panelURL}", "title: {root:title}"]),
    (
        "cloudevents",
        &[
            "severity: {data.severity}",
            "severity: {header:ce-severity}",
            "title: {data.title}",
            "title: {header:ce-title}",
            "title: {title}",
        ],
    ),
    ("cloudflare", &["severity: {data.severity}"]),
    (
        "coinbase",
        &[
            "id: {eventId}",
            "subject: {address}",
            "time: {createdAt}",
            "time: {created_at}",
            "type: {event_type}",
            "type: {type}",
        ],
    ),
    (
        "datadog",
        &[
            "link: {link}",
            "link: {url}",
            "severity: {alert_priority}",
            "severity: {alert_type}",
            "subject: {hostname}",
            "title: {event_title}",
            "type: {alert_type}",
        ],
    ),
    ("gitlab", &["id: {header:webhook-id}", "severity: {object_attributes.severity}"]),
    (
        "hcp",
        &[
            "id: {eventId}",
            "subject: {resourceName}",
            "title: {eventDescription}",
            "type: {eventAction}",
            "type: {eventSource}.{eventAction}",
        ],
    ),
    (
        "hcp-vault-radar",
        &[
            "link: {link}",
            "severity: {level}",
            "subject: {resource}",
            "subject: {subject}",
            "time: {header:x-hcp-radar-timestamp}",
            "time: {timestamp}",
            "time: {time}",
            "title: {description}",
            "title: {message}",
            "title: {name}",
            "title: {summary}",
            "type: {event_type}",
            "type: {event}",
            "type: {kind}",
        ],
    ),
    ("postmark", &["subject: {To}", "time: {Date}"]),
    ("sentry", &["link: {data.issue.permalink}"]),
    ("shopify", &["severity: risk:{risk_level}", "subject: {myshopify_domain}"]),
    ("snyk", &["link: {newIssues.0.issueData.url}"]),
    (
        "standard-webhooks",
        &[
            "id: {header:svix-id}",
            "severity: {data.severity}",
            "severity: {severity}",
            "time: {created_at}",
            "time: {header:svix-timestamp}",
            "time: {header:webhook-timestamp}",
            "title: {title}",
            "type: {eventType}",
            "type: {event_type}",
            "type: {event}",
        ],
    ),
    ("vercel", &["subject: {payload.project.name}"]),
    ("woocommerce", &["subject: {code}"]),
    (
        "zendesk",
        &[
            "severity: {priority}",
            "time: {header:x-zendesk-webhook-signature-timestamp}",
            "title: {title}",
        ],
    ),
];

const ATTRIBUTES: [&str; 7] = ["id", "type", "subject", "time", "title", "severity", "link"];

/// A text, or each text of a list.
fn texts<'t>(table: &'t DeTable<'t>, key: &str) -> Vec<&'t str> {
    match table.get(key).map(toml::Spanned::get_ref) {
        Some(DeValue::String(text)) => vec![text],
        Some(DeValue::Array(items)) => {
            items.iter().filter_map(|it| it.get_ref().as_str()).collect()
        }
        _ => Vec::new(),
    }
}

fn words<'t>(table: &'t DeTable<'t>) -> Vec<(&'t str, Severity)> {
    let Some(DeValue::Table(words)) = table.get("severity_words").map(toml::Spanned::get_ref)
    else {
        return Vec::new();
    };
    let word = |value: &DeValue<'_>| Severity::from_word(value.as_str()?);
    words.iter().filter_map(|(key, to)| Some((&**key.get_ref(), word(to.get_ref())?))).collect()
}

/// The `[sender]` of a file with one template alone.
struct Alone<'t> {
    table: &'t DeTable<'t>,
    words: Vec<(&'t str, Severity)>,
    types: Vec<&'t str>,
}

impl<'t> Alone<'t> {
    fn record<'a>(&'a self, attribute: &str, template: &'a [&'a str]) -> Record<'a> {
        let events = texts(self.table, "events").first().copied();
        let any_body = texts(self.table, "body") == ["any"];
        let record = Record { events, any_body, words: &self.words, ..Record::EMPTY };
        match attribute {
            "id" => Record { id: template, ..record },
            "type" => Record { event_type: template, ..record },
            "subject" => Record { subject: template, ..record },
            "time" => Record { time: template, ..record },
            "title" => Record { title: template, ..record },
            // A severity may contain the type.
            "severity" => Record { event_type: &self.types, severity: template, ..record },
            _ => Record { link: template, ..record },
        }
    }

    fn fills(&self, sample: &Sample, attribute: &str, template: &str) -> bool {
        let template = [template];
        let record = self.record(attribute, &template);
        let read = |record: Record<'_>| -> Vec<Event> {
            let sender = Sender::new("alone", &record).unwrap();
            let headers = sample.headers.iter().map(|(name, value)| (&**name, &**value));
            events(&sender, headers, &sample.body)
        };
        let otherwise = |otherwise: Severity| read(Record { otherwise, ..record });
        let (first, second) = (otherwise(Severity::Info), otherwise(Severity::Error));
        // A text has a title of its own.
        let bare = read(Record { title: &[], ..record });
        first.iter().zip(&second).zip(&bare).any(|((event, other), bare)| {
            let found = &event.attributes;
            match attribute {
                "id" => event.dedup.is_some(),
                "type" => found.event_type != TYPE_UNKNOWN,
                "subject" => found.subject.is_some(),
                "time" => found.time.is_some(),
                "title" => found.title != bare.attributes.title || template == ["{@type}"],
                "severity" => found.severity == other.attributes.severity,
                _ => found.link.is_some(),
            }
        })
    }
}

fn unfilled(vendor: &Vendor) -> Vec<String> {
    let text = FILES.iter().find(|file| file.name == vendor.name).unwrap().text;
    let file = DeTable::parse(text).unwrap();
    let sender = file.get_ref().get("sender").map(toml::Spanned::get_ref);
    let Some(DeValue::Table(table)) = sender else { return Vec::new() };
    let alone = Alone { table, words: words(table), types: texts(table, "type") };
    let mut unfilled = Vec::new();
    for attribute in ATTRIBUTES {
        for template in texts(table, attribute) {
            let filled = |sample| alone.fills(sample, attribute, template);
            if !vendor.samples.iter().any(filled) {
                unfilled.push(format!("{} {attribute}: {template}", vendor.name));
            }
        }
    }
    unfilled
}

#[test]
fn each_template_is_filled_by_a_sample_or_listed_here() {
    let found: BTreeSet<String> = all().flat_map(unfilled).collect();
    let lines = |(vendor, lines): &(&str, &[&str])| -> Vec<String> {
        lines.iter().map(|line| format!("{vendor} {line}")).collect()
    };
    let listed: BTreeSet<String> = WITHOUT_SAMPLE.iter().flat_map(lines).collect();
    let missing = found.difference(&listed).map(|line| format!("no sample fills it: {line}"));
    let needless = listed.difference(&found).map(|line| format!("remove from the list: {line}"));
    let wrong: Vec<String> = missing.chain(needless).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_template_that_no_sample_fills_is_found() {
    let text = r#"
        vendor = "A"
        read_in = "b"
        [sender]
        type = ["{kind}", "{knid}"]
        title = ["{@type}: {text}", "{@type}: {txt}", "{@type}"]
        severity = ["{level}", "{@type}", "{levle}"]
        severity_words = { "door*" = "error" }
        [[samples]]
        name = "door"
        body = '{"kind": "door.open", "text": "Door open", "level": "critical"}'
    "#;
    let file = super::Embedded::new("a", text);
    let (vendor, problems) = super::parse(file.name, file.text);
    assert!(problems.is_empty(), "{problems:?}");
    let vendor = vendor.unwrap();
    let parsed = DeTable::parse(text).unwrap();
    let Some(DeValue::Table(table)) = parsed.get_ref().get("sender").map(toml::Spanned::get_ref)
    else {
        panic!("no table");
    };
    let alone = Alone { table, words: words(table), types: texts(table, "type") };
    let fills = |attribute, template| alone.fills(&vendor.samples[0], attribute, template);
    for (attribute, filled, unfilled) in [
        ("type", vec!["{kind}"], "{knid}"),
        ("title", vec!["{@type}: {text}", "{@type}"], "{@type}: {txt}"),
        ("severity", vec!["{level}", "{@type}"], "{levle}"),
    ] {
        assert!(filled.iter().all(|template| fills(attribute, template)), "{attribute}");
        assert!(!fills(attribute, unfilled), "{attribute}");
    }
}
