//! One place of damage in a few lines: where it is, what was stored there, whom it affects.

use crate::model::{EventId, count, printable};
use crate::store::embedded::tools::{Damage, Lay, Meets, Unsure};

pub(super) fn describe(damage: &Damage) -> String {
    let Damage { segment, offset, bytes, what, .. } = damage;
    let bytes = count(*bytes, "byte");
    let mut lines = vec![format!("{}, byte {offset}: {bytes}: {what}", segment.display())];
    lines.push(lost(damage));
    if damage.known.count > 0 {
        let (count, shown) = (count(damage.known.count, "event"), shown(&damage.known.events));
        lines.push(format!("the index knows of {count} there that had a repetition key: {shown}"));
    }
    for concerned in &damage.concerned {
        let (target, pending) = (&concerned.target, count(concerned.pending, "delivery"));
        lines.push(format!(
            "target {target} has not read this place yet ({pending} in its backlog): it gets a dead letter for what was stored there"
        ));
    }
    if damage.may_hold_requests() && damage.concerned.is_empty() {
        lines.push(
            "every target has read this place; retries of events stored there are lost".into(),
        );
    }
    lines.extend(damage.unsure.iter().map(describe_unsure));
    lines.push(match damage.meets {
        Some(Meets::Start) => "the daemon refuses to start: it has to read this place".to_owned(),
        Some(Meets::Rebuild) => "the daemon starts, but its index is not whole before this place is repaired: retries wait".to_owned(),
        Some(Meets::Nothing) => "its index has read this place, no start reads it again".to_owned(),
        None => "a daemon is running: whether its next start reads this place was not checked"
            .to_owned(),
    });
    lines.iter().map(|line| printable(line)).collect::<Vec<_>>().join("\n    ")
}

/// What was stored there, and what of it is lost.
fn lost(damage: &Damage) -> String {
    let (from, to) = damage.numbers();
    let unknown = match to.saturating_sub(from) {
        0 => "which events these were is not known".to_owned(),
        1 => format!("its event would have the number {from}"),
        _ => format!("its events would have numbers from {from} to {}", to - 1),
    };
    match &damage.lay {
        Lay::OneBit { kind } => {
            format!(
                "a record of kind {kind} in which one bit is wrong; a repair corrects it, nothing is lost"
            )
        }
        Lay::Request { events } if events.is_empty() => {
            format!("lost: a request; its ids cannot be read ({unknown})")
        }
        Lay::Request { events } => format!("lost: a request with {}", ids(events)),
        Lay::Record { kind: "settlements", events } if events.is_empty() => {
            "lost: outcomes of deliveries; some may be delivered again".to_owned()
        }
        Lay::Record { kind: "settlements", events } => format!(
            "lost: outcomes of deliveries, some may be delivered again; among them: {}",
            ids(events)
        ),
        Lay::Record { kind: "moved", events } => {
            format!("lost: a copy of an event with its outcomes: {}", ids(events))
        }
        Lay::Record { kind, .. } => format!("lost: a record of kind {kind}, no event"),
        Lay::Unknown => format!("lost: an unknown number of records; {unknown}"),
        Lay::Header => "nothing is lost: the header can be written again".to_owned(),
        Lay::Segment => format!("lost: the whole segment; {unknown}"),
        Lay::Irregular => "lost: the whole segment that should be there".to_owned(),
    }
}

/// Deliveries whose outcome is lost.
fn describe_unsure(unsure: &Unsure) -> String {
    let Unsure { target, events, count: number, .. } = unsure;
    let more = if *number > events.len() as u64 { " …" } else { "" };
    let (shown, were) = (shown(events), if *number == 1 { "was" } else { "were" });
    format!(
        "whether {} to target {target} {were} made is unknown; `dispatcher dead replay ID --target {target}` \
         delivers one (again): {shown}{more}",
        count(*number, "delivery")
    )
}

fn shown(events: &[EventId]) -> String {
    events.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
}

fn ids(events: &[EventId]) -> String {
    let shown = shown(events);
    format!("{} {shown} (as far as they can be read)", count(events.len() as u64, "event"))
}
