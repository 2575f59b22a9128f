//! Finds samples by name and gives them fresh ids.

use std::time::SystemTime;

use super::exit::Failure;
use crate::config::{self, vendors};
use crate::model::{Timestamp, printable};
use crate::normalize::{Sample, Sender};

/// The sender's sample of that name (`http_scan` or `sqreen/http_scan`), or its first.
pub(super) fn of(sender: &Sender, name: Option<&str>) -> Result<&'static Sample, Failure> {
    let samples = vendors::samples(&sender.name);
    let found = match name {
        None => samples.first(),
        Some(name) => samples
            .iter()
            .find(|sample| sample.name == name || sample.name.split('/').next_back() == Some(name)),
    };
    found.ok_or_else(|| {
        let names = || samples.iter().map(|sample| &*sample.name);
        let name = name.unwrap_or_default();
        let short = names().filter_map(|name| name.split('/').next_back());
        let meant = config::near(name, names().chain(short));
        let meant = meant.map(|near| format!(", did you mean `{near}`?"));
        let (meant, names) = (meant.unwrap_or_default(), config::list(names()));
        let (name, sender) = (printable(name), &sender.name);
        Failure::usage(format!(
            "sender `{sender}` has no sample `{name}`{meant} (samples are {names})"
        ))
    })
}

/// Headers and body of a sample.
pub(super) type Message = (Vec<(&'static str, String)>, String);

/// The sample with the current time and fresh ids, so that it is not a repetition.
pub(super) fn fresh(sample: &'static Sample) -> Result<Message, Failure> {
    let mut failed = None;
    let id = || {
        random_id().unwrap_or_else(|error| {
            failed = Some(error);
            String::new()
        })
    };
    let message = sample.with_fresh_ids(id, Timestamp::from(SystemTime::now()));
    match failed {
        Some(error) => Err(Failure::new(format!("cannot generate an id: {error}"))),
        None => Ok(message),
    }
}

/// 24 hexadecimal digits, like Sqreen's ids.
pub(super) fn random_id() -> Result<String, getrandom::Error> {
    let mut bytes = [0u8; 12];
    getrandom::fill(&mut bytes)?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

#[cfg(test)]
mod tests;
