//! `topics` of a source: whose messages of Amazon SNS it takes.

use std::sync::Arc;

use super::super::problem::Problem;
use super::super::reader::{Entry, Notes, Table};
use crate::verify::{Proof, Scheme, Sns, TOPICS_MAX};

/// Gives the scheme with the topics.
pub(super) fn topics(
    name: &str,
    scheme: Option<Arc<Scheme>>,
    table: &mut Table<'_>,
    notes: &Notes,
) -> Option<Arc<Scheme>> {
    let entry = table.entry("topics");
    let scheme = scheme?;
    if scheme.sns().is_none() {
        if let Some(entry) = entry {
            let title = format!("`{}` does not apply to scheme `{}`", entry.path, scheme.name);
            entry.refuse(notes, &title, "this scheme has no topics", "only `amazon-sns` takes it");
        }
        return Some(scheme);
    }
    let help = "any customer of Amazon can have SNS sign messages of their own topics: write topics = \
                \"arn:aws:sns:REGION:ACCOUNT:NAME\", the ARN that SNS shows for yours";
    let Some(entry) = entry else {
        let problem = Problem::error(format!("source `{name}` needs `topics`"));
        let problem = problem.at(table.place.clone(), "`topics` is missing");
        notes.add(problem.absence("topics").help(help));
        return Some(scheme);
    };
    let entries = entry.one_or_more(notes);
    if entries.len() > TOPICS_MAX {
        let title = format!("`{}` has too many topics", entry.path);
        entry.refuse(notes, &title, &format!("at most {TOPICS_MAX}"), "");
    }
    let topic = |entry: &Entry<'_>| {
        let text = entry.string(notes)?;
        if Sns::host(text).is_none() {
            let title = format!("`{}` is not the ARN of a topic", entry.path);
            entry.refuse(notes, &title, "write arn:aws:sns:REGION:ACCOUNT:NAME", help);
            return None;
        }
        Some(text.to_owned().into())
    };
    let topics = entries.iter().filter_map(topic).collect();
    Some(Arc::new(Scheme { proof: Proof::Sns(Sns { topics }), ..(*scheme).clone() }))
}
