//! Shows the records of a log one by one, as JSON objects.
//!
//! The number of an event is shown as `LSN.place`, a time in RFC 3339, and a target with its name, if the
//! part of the log that is read contains it.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde_json::{Map, Value, json};

use dispatcher_model::{EventId, Severity, Timestamp};

use crate::embedded::format::entry::Effects;
use crate::embedded::format::event_number::{NUMBER_BITS, lsn_of, number};
use crate::embedded::format::record::{self, from_deltas};
use crate::embedded::log::summary::Summary;
use crate::embedded::state::apply::State;
use crate::embedded::tools::damage::{Damage, kind_name, moved_id};
use crate::embedded::tools::segments::{self, Segment};
use crate::embedded::tools::walk::{Seen, Visitor, Walk};
use crate::embedded::tools::{Progress, ToolError};

/// What to show.
#[derive(Clone, Debug, Default)]
pub struct DumpOptions {
    /// Only the segment with that name or path.
    pub segment: Option<String>,
    /// Only records from that place of the log on.
    pub from_lsn: u64,
    /// Includes the bytes of events and the headers of requests.
    pub bodies: bool,
}

/// Passes every record, and every place that cannot be read, to `take` until it returns `false`.
///
/// # Errors
///
/// The folder cannot be read, or has no such segment.
pub fn dump(
    directory: &Path,
    options: &DumpOptions,
    progress: &mut Progress<'_>,
    take: &mut dyn FnMut(Value) -> bool,
) -> Result<(), ToolError> {
    let folder = segments::log_folder(directory);
    let mut all = segments::read(&folder)?;
    let ends: Vec<u64> = all.iter().skip(1).map(|segment| segment.base).collect();
    let mut ends = ends.into_iter();
    // The segment that contains the place may have the names of targets before it.
    all.retain(|_| ends.next().is_none_or(|end| end > options.from_lsn));
    if let Some(name) = &options.segment {
        all.retain(|segment| is_named(segment, name));
        if all.is_empty() {
            return Err(ToolError::NoSegment { name: name.clone(), folder });
        }
    }
    let mut dumper = Dumper { options, take, state: State::default() };
    Walk::new(&folder, &mut dumper, &mut |done, all| progress(done, all)).over(&all)?;
    Ok(())
}

fn is_named(segment: &Segment, name: &str) -> bool {
    let wanted = PathBuf::from(name);
    let wanted = wanted.file_name().unwrap_or_default().to_string_lossy();
    let own = segment.path.file_name().unwrap_or_default().to_string_lossy();
    own == wanted || own.strip_suffix(".log").is_some_and(|own| own == wanted)
}

struct Dumper<'d> {
    options: &'d DumpOptions,
    take: &'d mut dyn FnMut(Value) -> bool,
    state: State,
}

impl Visitor for Dumper<'_> {
    fn frame(&mut self, seen: &Seen<'_>) -> ControlFlow<()> {
        self.state.apply(&seen.entry);
        if seen.header.lsn < self.options.from_lsn {
            return ControlFlow::Continue(());
        }
        let header = &seen.header;
        let mut line = json!({
            "lsn": header.lsn,
            "segment": seen.path.file_name().unwrap_or_default().to_string_lossy(),
            "offset_bytes": header.lsn - seen.segment.base,
            "frame_bytes": header.end() - header.lsn,
            "epoch": header.epoch,
            "durable_lsn": header.durable_lsn,
            "kind": kind_name(header.kind),
        });
        if let (Value::Object(line), Value::Object(record)) = (&mut line, self.record(seen)) {
            line.extend(record);
        }
        self.give(line)
    }

    fn damage(&mut self, damage: Damage) -> ControlFlow<()> {
        if damage.to <= self.options.from_lsn {
            return ControlFlow::Continue(());
        }
        self.give(json!({
            "lsn": damage.from,
            "segment": damage.segment.file_name().unwrap_or_default().to_string_lossy(),
            "offset_bytes": damage.offset,
            "frame_bytes": damage.bytes,
            "kind": "damage",
            "what": damage.what,
        }))
    }
}

impl Dumper<'_> {
    fn give(&mut self, line: Value) -> ControlFlow<()> {
        if (self.take)(line) { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    }

    fn name(&self, target: u16) -> String {
        let known = self.state.targets.get(usize::from(target));
        known.map_or_else(|| format!("number {target}"), |target| target.name.clone())
    }

    fn record(&self, seen: &Seen<'_>) -> Value {
        match &seen.entry.effects {
            Effects::Request { .. } => self.request(seen).unwrap_or_default(),
            Effects::Settlements(record) => {
                let targets = record.targets.iter().map(|target| {
                    let numbers = from_deltas(&target.delivered).map(place).collect::<Vec<_>>();
                    let others = target.others.iter().map(|settled| {
                        let received = Timestamp::from_millis(settled.received_ms);
                        let store = seen.segment.identity.store;
                        let id = EventId::new(received, store, settled.number).to_string();
                        let mut shown = readable(settled);
                        if let Value::Object(shown) = &mut shown {
                            shown.insert("event".into(), id.into());
                        }
                        shown
                    });
                    json!({
                        "target": self.name(target.target),
                        "cursor": place(target.cursor),
                        "delivered": numbers,
                        "others": others.collect::<Vec<_>>(),
                    })
                });
                let at = Timestamp::from_millis(record.at_ms).to_string();
                json!({ "at": at, "targets": targets.collect::<Vec<_>>() })
            }
            Effects::Registry(record) => json!({ "targets": &record.targets }),
            Effects::DeadRange(record) => self.of_target(record.target, &readable(&**record)),
            Effects::Act(record) => self.of_target(record.target, &readable(&**record)),
            Effects::Checkpoint(record) => readable(&**record),
            Effects::Moved(record) => {
                let moved = record::decode::<record::Moved<'_>>(seen.payload).ok();
                let id = moved.map(|moved| moved_id(&moved, seen.segment.identity).to_string());
                json!({ "event": id, "record": readable(&**record) })
            }
            Effects::Lost(record) => readable(record),
            Effects::Summary => record::decode::<Summary>(seen.payload)
                .map_or_else(|_| Value::Null, |summary| readable(&summary)),
        }
    }

    fn of_target(&self, target: u16, record: &Value) -> Value {
        json!({ "target": self.name(target), "record": record })
    }

    fn request(&self, seen: &Seen<'_>) -> Option<Value> {
        let request: record::Request<'_> = record::decode(seen.payload).ok()?;
        let received = Timestamp::from_millis(request.received_ms);
        let events = (0u16..).zip(&request.events).map(|(place, event)| {
            let id =
                EventId::new(received, seen.segment.identity.store, number(seen.header.lsn, place));
            let severity = Severity::ALL.get(usize::from(event.severity));
            let targets = event.targets.iter().map(|target| self.name(*target));
            let mut shown = json!({
                "event": id.to_string(),
                "type": event.event_type,
                "severity": severity.map(|severity| severity.as_str()),
                "title": event.title,
                "targets": targets.collect::<Vec<_>>(),
                "data_bytes": event.data.len(),
            });
            if let Value::Object(shown) = &mut shown {
                let optional =
                    [("subject", event.subject), ("time", event.time), ("link", event.link)];
                let given = optional.into_iter().filter_map(|(key, text)| Some((key, text?)));
                shown.extend(given.map(|(key, text)| (key.to_owned(), text.into())));
                if !event.unrouted.is_empty() {
                    let reasons =
                        event.unrouted.iter().map(|(t, r)| ((*t).to_owned(), (*r).into()));
                    shown.insert("not_routed".into(), Value::Object(reasons.collect()));
                }
                if self.options.bodies {
                    shown.extend([bytes("data", event.data)]);
                }
            }
            shown
        });
        let mut line = json!({
            "received": received.to_string(),
            "verified": Timestamp::from_millis(request.verified_ms).to_string(),
            "source": request.source,
            "scheme": request.scheme,
            "secret": u32::from(request.key) + 1,
            "config": format!("{:016x}", request.config),
            "events": events.collect::<Vec<_>>(),
        });
        if let (true, Value::Object(line)) = (self.options.bodies, &mut line) {
            let headers = request.headers.iter().map(|(name, value)| bytes(name, value));
            line.insert("headers".into(), Value::Object(headers.collect()));
        }
        Some(line)
    }
}

/// Text unchanged; other bytes in hexadecimal digits, with `_hex` added to the name.
fn bytes(name: &str, bytes: &[u8]) -> (String, Value) {
    match std::str::from_utf8(bytes) {
        Ok(text) => (name.to_owned(), text.into()),
        Err(_) => {
            let digits: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
            (format!("{name}_hex"), digits.into())
        }
    }
}

/// An event's number as place in the log and place in the request.
fn place(number: u64) -> String {
    format!("{}.{}", lsn_of(number), number & ((1 << NUMBER_BITS) - 1))
}

/// A record with its times and numbers made readable.
fn readable<T: Serialize>(record: &T) -> Value {
    let mut value = serde_json::to_value(record).unwrap_or_default();
    make_readable(&mut value);
    value
}

fn make_readable(value: &mut Value) {
    match value {
        Value::Array(values) => values.iter_mut().for_each(make_readable),
        Value::Object(fields) => {
            let mut shown = Map::new();
            for (key, mut value) in std::mem::take(fields) {
                make_readable(&mut value);
                let number = value.as_u64();
                match (key.strip_suffix("_ms"), number) {
                    (Some(time), Some(ms)) => {
                        let at = Timestamp::from_millis(ms).to_string();
                        shown.insert(time.to_owned(), at.into());
                    }
                    (None, Some(number)) if is_number(&key) => {
                        shown.insert(key, place(number).into());
                    }
                    _ => {
                        shown.insert(key, value);
                    }
                }
            }
            *fields = shown;
        }
        _ => {}
    }
}

/// Fields of records that hold the number of an event.
fn is_number(key: &str) -> bool {
    matches!(key, "number" | "cursor" | "from" | "to" | "first" | "last" | "last_routed")
}
