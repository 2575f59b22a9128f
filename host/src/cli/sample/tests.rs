//! The reference page of senders is written from the table, and this holds it to that.
//!
//! `UPDATE_DOCS=1 cargo test -p dispatcher reference_page` writes it anew; read the difference.

use std::fmt::Write as _;

use bytes::Bytes;

use super::*;
use crate::config::vendors::Reads;
use crate::model::Event;
use crate::normalize::{Input, Repetition, normalize};

const HEAD: &str = "# Senders

What each built-in sender's requests are read as. A source uses the sender of its scheme's vendor unless
`sender = \"NAME\"` says otherwise, and plain `json` where there is none. This page is written from the
table in `host/src/normalize/senders` by a test.

*Deadline* and *tries again* are what vendors' documentation says of how they send; empty where it does not
say. The samples were written for this table in the form that the vendors document; they are not
recordings of live deliveries. A sample is sent with `dispatcher send SOURCE --sample NAME`.

To read requests of a sender that is not here, write one of your own:

```toml
[sources.door]
scheme = \"token\"
token_in = \"header:X-Token\"
secrets = \"env:DOOR_TOKEN\"
sender = \"door\"

[senders.door]
events = \"alarms\"                           # where the list of events stands; without it the object is the event
id = \"{serial}/{at}\"                        # what tells a repetition from a new event
type = [\"{kind}\", \"door\"]                   # the first that is complete counts
title = \"{kind} at {place.name} ({root:site})\"
time = \"{at}\"                               # RFC 3339, or seconds, milliseconds or microseconds since 1970
severity = \"{level}\"
severity_words = { forced = \"critical\", \"left*\" = \"warning\" }
severity_default = \"info\"
link = \"{header:X-Panel}\"
#subject = \"{place.name}\"
#id_alone = true                            # a repetition may differ in everything but its id
#body = \"any\"                               # also what is no JSON and no form, and empty bodies
```

In braces stands a path in the event (`a.b.0`, or `/a/b.c` where a key holds a dot), `root:` and a path
in the document around a list of events, `header:NAME`, `query:NAME`, or `@type`, the type that was
found. A template of which a place is missing does not count.

";

fn events(sender: &Sender, sample: &Sample) -> Vec<Event> {
    let headers = sample.headers.iter();
    let headers = headers.map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()));
    let (headers, body) = (headers.collect(), Bytes::from(sample.body.clone()));
    normalize(
        sender,
        Input { headers: &headers, query: None, body: &body, repetition: Repetition::Unknown },
    )
    .unwrap()
}

fn page() -> String {
    let mut page = HEAD.to_owned();
    page.push_str("| sender | vendor | deadline | tries again |\n|---|---|---|---|\n");
    let senders = || vendors::all().filter_map(|vendor| Some((vendor, vendor.sender()?)));
    for (vendor, sender) in senders() {
        let deadline = sender.habit.deadline.map(config::show_duration).unwrap_or_default();
        let (name, people, retries) = (vendor.name, &vendor.vendor, &sender.habit.retries);
        let _ = writeln!(page, "| `{name}` | {people} | {deadline} | {retries} |");
    }
    let _ = writeln!(page, "\nThese vendors' bodies are read by another vendor's sender:\n");
    for vendor in vendors::all() {
        if let Reads::Like(sender) = &vendor.reads {
            let _ = writeln!(page, "- `{}`, {}: `{sender}`", vendor.name, vendor.vendor);
        }
    }
    page.push_str("\n## Samples and what people see of them\n\n");
    page.push_str("| sample | type | severity | title |\n|---|---|---|---|\n");
    for (vendor, sender) in senders() {
        for sample in &vendor.samples {
            for (place, event) in events(sender, sample).iter().enumerate() {
                let seen = &event.attributes;
                let name = if place == 0 { format!("`{}`", sample.name) } else { String::new() };
                let title = seen.title.replace('|', "\\|").replace('<', "&lt;");
                let (kind, severity) = (&seen.event_type, seen.severity);
                let _ = writeln!(page, "| {name} | {kind} | {severity} | {title} |");
            }
        }
    }
    page
}

#[test]
fn the_reference_page_of_senders_says_what_the_table_says() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/reference/senders.md");
    let page = page();
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(path, &page).unwrap();
    }
    let found = std::fs::read_to_string(path).unwrap_or_default();
    assert!(found == page, "{path} is not as the table: UPDATE_DOCS=1 writes it");
}
