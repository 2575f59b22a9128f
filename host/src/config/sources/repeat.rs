//! `repeat`, `repeat_window` and `repeat_key` of a source: which of its events are repetitions of others.

use std::ops::{Range, RangeInclusive};
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderName, header};

use crate::config::problem::Problem;
use crate::config::reader::{Entry, Notes, Table};
use crate::config::units::show_duration;
use crate::ingest::Repeat;
use crate::normalize::{Sender, TEMPLATES_MAX};
use crate::store;
use crate::verify::{Proof, Replay, Scheme, TokenIn};

/// Headers that a sender sends with each request in the same way.
const SAME_HEADERS: [HeaderName; 9] = [
    header::ACCEPT,
    header::ACCEPT_ENCODING,
    header::AUTHORIZATION,
    header::CONNECTION,
    header::CONTENT_ENCODING,
    header::CONTENT_TYPE,
    header::HOST,
    header::TRANSFER_ENCODING,
    header::USER_AGENT,
];
/// Limits of `repeat_window`.
const REPEAT_WINDOW: RangeInclusive<Duration> = Duration::from_secs(60)..=store::REPEAT_WINDOW_MAX;

/// The keys as written.
pub(super) struct Written<'t> {
    repeat: Repeat,
    /// Where the window is written.
    window: Option<Entry<'t>>,
    key: Option<Entry<'t>>,
    /// Longest window that the store can keep.
    window_max: Duration,
}

/// Reads the keys of a source. `kept_for` is how long the log is kept.
pub(super) fn read<'t>(
    table: &mut Table<'t>,
    kept_for: Option<Duration>,
    notes: &Notes,
) -> Written<'t> {
    let window_max = kept_for.unwrap_or(Duration::MAX).min(store::REPEAT_WINDOW_MAX);
    let delivers = table.entry("repeat").is_some_and(|entry| delivers(&entry, notes));
    let (window_entry, key) = (table.entry("repeat_window"), table.entry("repeat_key"));
    if delivers {
        for entry in window_entry.iter().chain(&key) {
            let title = format!("`{}` has no effect", entry.path);
            let help =
                "with repeat = \"deliver\" every event is delivered, so nothing is a repetition";
            entry.refuse(notes, &title, "remove it, or `repeat`", help);
        }
        return Written { repeat: Repeat::Deliver, window: None, key: None, window_max };
    }
    let mut window = store::REPEAT_WINDOW_DEFAULT;
    if let Some(entry) = &window_entry
        && let Some(written) = entry.duration(&REPEAT_WINDOW, notes)
    {
        window = written;
        if let Some(kept_for) = kept_for.filter(|kept_for| window > *kept_for) {
            let title = format!("`{}` is longer than `store.retention.age`", entry.path);
            let label = format!("write at most {}", show_duration(kept_for));
            entry.refuse(notes, &title, &label, "repetitions are recognized by what the log has");
        }
    }
    Written { repeat: Repeat::Skip { window }, window: window_entry, key, window_max }
}

fn delivers(entry: &Entry<'_>, notes: &Notes) -> bool {
    match entry.string(notes) {
        Some("deliver") => return true,
        None | Some("skip") => {}
        Some(other) => {
            let title = format!("unknown `repeat` `{other}`");
            let help = "skip does not deliver an event that was stored before; deliver does, so that a \
                        captured request can be sent again";
            entry.refuse(notes, &title, "write \"skip\" or \"deliver\"", help);
        }
    }
    false
}

impl Written<'_> {
    /// What happens to repetitions, and the sender whose events have the ids of `repeat_key`.
    pub(super) fn of(
        self,
        scheme: &Scheme,
        sender: Arc<Sender>,
        place: Range<usize>,
        notes: &Notes,
    ) -> (Repeat, Arc<Sender>) {
        let repeat = match self.repeat {
            Repeat::Skip { window } => {
                let raised = at_least_valid(window, &self, scheme, notes);
                if raised > window && raised > self.window_max {
                    let (valid, max) = (show_duration(raised), show_duration(self.window_max));
                    let title =
                        "a copy of a request is valid for longer than repetitions are recognized";
                    let label = format!(
                        "scheme `{}` accepts it for {valid}, recognized are {max}",
                        scheme.name
                    );
                    let help = "make the scheme's tolerance shorter, or store.retention.age longer (7d counts at most)";
                    notes.add(Problem::error(title).at(place, label).help(help));
                }
                Repeat::Skip { window: raised }
            }
            Repeat::Deliver => Repeat::Deliver,
        };
        let identified = self.key.and_then(|entry| identified(&entry, scheme, &sender, notes));
        (repeat, identified.map_or(sender, Arc::new))
    }
}

/// The window, at least as long as a copy of a request with a signed time is valid: otherwise it could be sent again.
fn at_least_valid(
    window: Duration,
    written: &Written<'_>,
    scheme: &Scheme,
    notes: &Notes,
) -> Duration {
    let signed_time = scheme.signature().filter(|signature| signature.covers_stamp());
    let Some(stamp) = signed_time.and_then(|signature| signature.stamp.as_ref()) else {
        return window;
    };
    let valid = Duration::from_secs(u64::from(stamp.past_s) + u64::from(stamp.future_s));
    if window < valid
        && valid <= written.window_max
        && let Some(entry) = &written.window
    {
        let title = format!("`{}` is shorter than a copy is valid", entry.path);
        let label = format!("write at least {}", show_duration(valid));
        let help = format!("scheme `{}` accepts a request again within that time", scheme.name);
        entry.refuse(notes, &title, &label, &help);
    }
    window.max(valid)
}

/// Whether the ids of this sender are the same for all events.
fn is_useless(sender: &Sender, scheme: &Scheme) -> bool {
    let is_usual = |name: &HeaderName| match &scheme.proof {
        Proof::Token(TokenIn::Header(token)) if name == token => true,
        Proof::Basic if *name == header::AUTHORIZATION => true,
        _ => SAME_HEADERS.contains(name),
    };
    let is_token =
        |name: &str| matches!(&scheme.proof, Proof::Token(TokenIn::Query(token)) if name == token);
    sender.id_reads_only(is_usual, is_token)
}

/// The sender whose events are identified by these templates; `None` if something is wrong.
fn identified(
    entry: &Entry<'_>,
    scheme: &Scheme,
    sender: &Sender,
    notes: &Notes,
) -> Option<Sender> {
    let entries = entry.one_or_more(notes);
    if entries.len() > TEMPLATES_MAX {
        let title = format!("`{}` has too many templates", entry.path);
        let label = format!("{} are too many, at most {TEMPLATES_MAX}", entries.len());
        entry.refuse(notes, &title, &label, "");
        return None;
    }
    if entries.is_empty() {
        return None;
    }
    if matches!(scheme.replay(), Replay::OriginOnly | Replay::Fields | Replay::Values) {
        let title = format!("`{}` cannot be used with scheme `{}`", entry.path, scheme.name);
        let help = "a copy is recognized by what is signed, whatever ids the body has";
        entry.refuse(notes, &title, "this scheme does not sign the body as it is", help);
        return None;
    }
    let coverage = scheme.coverage();
    let mut texts = Vec::new();
    for entry in &entries {
        let text = entry.string(notes)?;
        let read = sender.with_id_alone(&[text]).ok().flatten();
        if read.as_ref().is_some_and(|read| is_useless(read, scheme)) {
            let title = format!("`{}` is the same for all events", entry.path);
            let help = "only the first event would be delivered; write a place: \"{order.id}\"";
            entry.refuse(notes, &title, "a sender sends it with every request", help);
            return None;
        }
        let unsigned = read.map(|sender| sender.unsigned(&coverage)).unwrap_or_default();
        if let Some(id) = unsigned.iter().find(|one| one.attribute == "id") {
            let title = format!("`{}` is not signed", entry.path);
            let label = format!("scheme `{}` does not sign {}", scheme.name, id.part);
            let help = "anyone who captures a request could change it and send the request again";
            entry.refuse(notes, &title, &label, help);
            return None;
        }
        texts.push(text);
    }
    match sender.with_id_alone(&texts) {
        Ok(Some(sender)) => Some(sender),
        Ok(None) => {
            let title = format!("`{}` cannot be used with sender `{}`", entry.path, sender.name);
            let help = "write a sender with templates, [senders.NAME], and its `id`";
            entry.refuse(notes, &title, "the sender has ids of its own", help);
            None
        }
        Err(invalid) => {
            let written = texts.iter().position(|text| *text == invalid.text);
            let entry = written.and_then(|at| entries.get(at)).unwrap_or(entry);
            let help = "a template is text with places: \"{order.id}-{order.state}\"";
            let title = format!("`{}` is not valid", entry.path);
            entry.refuse(notes, &title, &invalid.why.to_string(), help);
            None
        }
    }
}
