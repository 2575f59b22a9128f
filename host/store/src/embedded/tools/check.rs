//! Checks a store: reads the whole log and reports what cannot be read, which targets it concerns, and
//! whether the index agrees with the log.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use dispatcher_model::{EventId, Timestamp, count};

use crate::embedded::error::{OpenError, name_of};
use crate::embedded::format::entry::Effects;
use crate::embedded::format::event_number::number;
use crate::embedded::format::record;
use crate::embedded::format::segment_header::SegmentHeader;
use crate::embedded::index::fjall::FjallIndex;
use crate::embedded::index::rows::Stamp;
use crate::embedded::index::set_aside::set_aside_before;
use crate::embedded::settings::Settings;
use crate::embedded::state::apply::{State, TargetState};
use crate::embedded::tools::access::{Denied, denied_of_log};
use crate::embedded::tools::damage::{Damage, Known, Meets};
use crate::embedded::tools::index_view::{IndexView, Looked, Shadow, look};
use crate::embedded::tools::segments::{self, Segment};
use crate::embedded::tools::trace::{TRACES_MAX, Trace, trace};
use crate::embedded::tools::trial::trial;
use crate::embedded::tools::walk::{Seen, Visitor, Walk};
use crate::embedded::tools::{DAMAGES_MAX, IDS_MAX, Progress, ToolError, at};

/// What a check found.
#[derive(Clone, Debug, Default)]
pub struct Report {
    pub segments: u64,
    pub frames: u64,
    pub events: u64,
    /// From the first byte of the oldest segment to the end of the log.
    pub bytes: u64,
    pub damages: Vec<Damage>,
    /// How many there are, including those that are not listed.
    pub damages_count: u64,
    /// Places that an earlier repair filled.
    pub repaired: u64,
    /// A daemon uses the folder: the index was not checked.
    pub running: bool,
    /// What is wrong with the index. The next start rebuilds it.
    pub index: Option<String>,
    /// It is something that a person put there, not a folder: a start leaves it.
    pub index_in_way: bool,
    /// The start may not read or write a part of it.
    pub index_denied: bool,
    /// Damaged indexes that earlier starts set aside.
    pub set_aside: Vec<PathBuf>,
    /// Whether the daemon would start.
    pub start: Start,
    /// A file that the owner of the folder may not read or write, while root looks.
    pub denied: Option<String>,
    /// Segments that cannot be repaired can be given up: another one says what belongs in their place.
    pub can_give_up: bool,
    pub newest_event: Option<(EventId, Timestamp)>,
}

impl Report {
    #[must_use]
    pub const fn is_clean(&self) -> bool {
        let starts = !matches!(self.start, Start::Fails(_)) && self.denied.is_none();
        self.damages_count == 0 && self.index.is_none() && starts
    }
}

/// What a start of the daemon would do.
#[derive(Clone, Debug, Default)]
pub enum Start {
    /// A daemon runs.
    #[default]
    Unknown,
    Works,
    /// The start fails, for this reason.
    Fails(String),
}

/// Checks the store in that folder.
///
/// # Errors
///
/// The folder cannot be read, or is of a newer version.
pub fn check(directory: &Path, progress: &mut Progress<'_>) -> Result<Report, ToolError> {
    survey(directory, false, progress)
        .map(|found| found.report)
        .or_else(|error| unread(directory, error))
}

/// The verdict on a store of which nothing can be read: what its start would say. Returns `error`, which says why it cannot
/// be read, if the start would work, or if the folder has nothing of a store.
pub(super) fn unread(directory: &Path, error: ToolError) -> Result<Report, ToolError> {
    let settings = Settings::new(directory);
    let parts = [settings.lock_file(), settings.index_folder(), settings.log_folder()];
    if parts.iter().all(|part| part.symlink_metadata().is_err()) {
        return Err(error);
    }
    if let Some(Denied { text, own: true }) = denied_of_log(directory) {
        return Ok(Report { start: Start::Fails(text), ..Report::default() });
    }
    let Ok(shadow) = Shadow::of(&settings.index_folder()) else { return Err(error) };
    match trial(directory, &shadow) {
        Err(OpenError::Locked { .. }) | Ok(()) => Err(error),
        Err(why) => {
            let start = Start::Fails(shadow.in_place(why.to_string()));
            Ok(Report { start, ..Report::default() })
        }
    }
}

/// A report, and what else a repair needs.
pub(super) struct Survey {
    pub report: Report,
    /// Damaged or of another log: to be rebuilt.
    pub index_is_wrong: bool,
}

/// `held`: the caller holds the daemon's lock.
pub(super) fn survey(
    directory: &Path,
    held: bool,
    progress: &mut Progress<'_>,
) -> Result<Survey, ToolError> {
    let folder = segments::log_folder(directory);
    segments::stable_bases(&folder)?;
    let Looked { view, shadow, denied: index_denied } = look(directory, held)?;
    let all = segments::read(&folder)?;
    let stamp = view.stamp();
    let mut checker = Checker {
        report: Report::default(),
        state: State::default(),
        stamp_lsn: stamp.map(|stamp| stamp.lsn),
        at_stamp: None,
        traces: Vec::new(),
    };
    let proven = stamp.filter(|stamp| is_of(stamp, &all)).map_or(0, |stamp| stamp.end);
    let walked = Walk::new(&folder, &mut checker, &mut |done, all| progress(done, all))
        .complete(proven)
        .over(&all)?;
    let Checker { mut report, state, at_stamp, mut traces, .. } = checker;
    report.segments = walked.segments;
    let base = all.first().map_or(0, |segment| segment.base);
    report.bytes = walked.end.saturating_sub(base);
    report.running = matches!(view, IndexView::InUse);
    let is_hopeless = |one: &&Damage| !one.repairable;
    let hopeless: Vec<_> =
        report.damages.iter().filter(is_hopeless).map(|one| &one.segment).collect();
    report.can_give_up =
        all.iter().any(|one| one.header.is_some() && !hopeless.contains(&&one.path));
    let sound = report.damages_count == 0 && report.repaired == 0;
    let agrees = against(&view, at_stamp.as_ref(), sound);
    // A start reads what the index lacks, or everything.
    let read_from = match (&view, &agrees) {
        _ if index_denied.is_some() => Some(None),
        (IndexView::InUse, _) => None,
        (IndexView::There { stamp, .. }, Ok(())) => Some(Some(stamp.end)),
        _ => Some(None),
    };
    for damage in &mut report.damages {
        damage.settle(&state, read_from);
    }
    // An outcome that the index has read is not lost; the index of a running daemon has read everything.
    traces.retain(|trace| report.damages[trace.place].meets == Some(Meets::Start));
    trace(&folder, &all, traces, &state, &mut report.damages, progress)?;
    if let Some(shadow) = shadow {
        if stamp.is_some() && !report.damages.is_empty() {
            known(&shadow, &mut report.damages);
        }
        report.start = match trial(directory, &shadow) {
            Ok(()) => Start::Works,
            Err(error) => {
                let is_hidden = report.damages.is_empty();
                let advice = if is_hidden { advice(&error) } else { String::new() };
                Start::Fails(shadow.in_place(brief(&error)) + &advice)
            }
        };
    }
    // While a daemon runs it is plain that it may.
    let denied = denied_of_log(directory).filter(|_| !matches!(report.start, Start::Unknown));
    match denied {
        Some(Denied { text, own: true }) => report.start = Start::Fails(text),
        other => report.denied = other.map(|denied| denied.text),
    }
    if let Start::Works = report.start {
        report.damages.iter_mut().for_each(Damage::start_works);
    }
    let aside = Settings::new(directory).damaged_folder();
    report.set_aside = set_aside_before(&aside).map_err(at("read", &aside))?;
    let index = Settings::new(directory).index_folder();
    report.index_denied = index_denied.is_some();
    // What this user cannot read may be right.
    let index_is_wrong = agrees.is_err() && index_denied.as_ref().is_none_or(|denied| !denied.own);
    let denied = index_denied.map(|denied| format!("it cannot be used: {}", denied.text));
    report.index = denied.or(agrees.err());
    report.index_in_way = report.index.is_some() && !index.is_dir();
    Ok(Survey { report, index_is_wrong })
}

/// Why a start fails, without advice: that depends on whether a repair is of use.
fn brief(error: &OpenError) -> String {
    match error {
        OpenError::Corrupt { segment, offset, what } => {
            format!("the log is damaged at byte {offset} of {} ({what})", segment.display())
        }
        OpenError::Lost { segment, offset, missing_bytes } => {
            let (segment, missing) = (segment.display(), count(*missing_bytes, "byte"));
            format!(
                "the log ends at byte {offset} of {segment}, {missing} before the place that its index has read"
            )
        }
        OpenError::Cut { segment, offset, missing_bytes } => {
            let (segment, missing) = (segment.display(), count(*missing_bytes, "byte"));
            format!(
                "{segment} was cut: the file lacks {missing}, its last record ends at byte {offset}"
            )
        }
        OpenError::Missing { segment } => {
            format!("{} is missing in the log", segment.display())
        }
        OpenError::NoBeginning { segment } => {
            format!("the files before {} are missing", segment.display())
        }
        OpenError::NoEnd { segment } => {
            format!("the files behind {} are missing", segment.display())
        }
        other => other.to_string(),
    }
}

/// What to do about a start that fails although nothing is damaged that a repair would find.
fn advice(error: &OpenError) -> String {
    match error {
        OpenError::Corrupt { segment, .. }
        | OpenError::Lost { segment, .. }
        | OpenError::Cut { segment, .. }
        | OpenError::NoBeginning { segment }
        | OpenError::NoEnd { segment } => format!(
            "; a repair would find nothing to do: restore a backup of the data folder, or start without that segment: \
             `dispatcher store repair --give-up {}`",
            name_of(segment)
        ),
        OpenError::Missing { .. } => {
            "; a repair would find nothing to do: restore a backup of the data folder".to_owned()
        }
        _ => String::new(),
    }
}

/// Whether the index is one of this log.
fn is_of(stamp: &Stamp, all: &[Segment]) -> bool {
    let mut headers = all.iter().filter_map(|segment| segment.header);
    headers.any(|header| header.identity.uuid == stamp.uuid)
}

/// Adds the events that the index knows to have been at each place.
fn known(shadow: &Shadow, damages: &mut [Damage]) {
    let ranges: Vec<_> = damages.iter().map(Damage::covers).collect();
    let found =
        FjallIndex::open(&shadow.index()).and_then(|index| index.known_between(&ranges, IDS_MAX));
    // The index may be damaged as well: then it knows nothing.
    for (damage, (count, events)) in damages.iter_mut().zip(found.unwrap_or_default()) {
        let Some(store) = damage.header.map(|header| header.identity.store) else { continue };
        let id = |(number, received)| EventId::new(Timestamp::from_millis(received), store, number);
        damage.known = Known { count, events: events.into_iter().map(id).collect() };
    }
}

/// The frame that the index read last, and the state it must have had then.
struct AtStamp {
    end: u64,
    epoch: u32,
    payload_crc: u32,
    uuid: u64,
    targets: Vec<TargetState>,
}

/// What is wrong with the index, if anything.
fn against(view: &IndexView, log: Option<&AtStamp>, sound: bool) -> Result<(), String> {
    let (stamp, targets) = match view {
        IndexView::InUse | IndexView::Missing => return Ok(()),
        IndexView::Unusable { why, .. } => return Err(format!("it cannot be used: {why}")),
        IndexView::There { stamp, targets } => (stamp, targets),
    };
    let fits = log.filter(|log| {
        (log.end, log.epoch, log.payload_crc, log.uuid)
            == (stamp.end, stamp.epoch, stamp.payload_crc, stamp.uuid)
    });
    let Some(log) = fits else {
        return Err("it belongs to another log, or has read more than there is of this one".into());
    };
    // A damaged log does not give the whole state.
    if !sound {
        return Ok(());
    }
    let same = |one: &TargetState, other: &TargetState| {
        (&one.name, one.cursor, one.counts.dead) == (&other.name, other.cursor, other.counts.dead)
    };
    let differs = targets.iter().zip(&log.targets).find(|(one, other)| !same(one, other));
    if let Some((one, other)) = differs {
        return Err(format!(
            "for target {} it has {} and cursor {}, the log has {} and {}",
            one.name,
            count(one.counts.dead, "dead letter"),
            one.cursor,
            other.counts.dead,
            other.cursor
        ));
    }
    if targets.len() == log.targets.len() {
        return Ok(());
    }
    let there = count(targets.len() as u64, "target");
    Err(format!("it has {there}, the log has {}", log.targets.len()))
}

struct Checker {
    report: Report,
    state: State,
    stamp_lsn: Option<u64>,
    at_stamp: Option<AtStamp>,
    traces: Vec<Trace>,
}

/// The newest event of a request.
pub(super) fn newest(
    segment: &SegmentHeader,
    lsn: u64,
    payload: &[u8],
) -> Option<(EventId, Timestamp)> {
    let request: record::Request<'_> = record::decode(payload).ok()?;
    let place = u16::try_from(request.events.len().checked_sub(1)?).ok()?;
    let received = Timestamp::from_millis(request.received_ms);
    Some((EventId::new(received, segment.identity.store, number(lsn, place)), received))
}

impl Visitor for Checker {
    fn frame(&mut self, seen: &Seen<'_>) -> ControlFlow<()> {
        self.state.apply(&seen.entry);
        self.report.frames += 1;
        match &seen.entry.effects {
            Effects::Request { .. } => {
                if let Ok(request) = record::decode::<record::Request<'_>>(seen.payload) {
                    self.report.events += request.events.len() as u64;
                }
                let found = newest(seen.segment, seen.header.lsn, seen.payload);
                self.report.newest_event = found.or(self.report.newest_event);
            }
            Effects::Lost(_) => self.report.repaired += 1,
            _ => {}
        }
        if self.stamp_lsn == Some(seen.header.lsn) {
            self.at_stamp = Some(AtStamp {
                end: seen.header.end(),
                epoch: seen.header.epoch,
                payload_crc: seen.header.payload_crc,
                uuid: seen.segment.identity.uuid,
                targets: self.state.targets.clone(),
            });
        }
        ControlFlow::Continue(())
    }

    fn damage(&mut self, damage: Damage) -> ControlFlow<()> {
        self.report.damages_count += 1;
        if self.report.damages.len() < DAMAGES_MAX {
            if self.traces.len() < TRACES_MAX && damage.may_hold_outcomes() {
                self.traces.push(Trace::new(self.report.damages.len(), &damage, &self.state));
            }
            self.report.damages.push(damage);
        }
        ControlFlow::Continue(())
    }
}
