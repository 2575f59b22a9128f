//! Target plugin `file-log`: appends each event to a file, as one CloudEvents 1.0 object a line.
//!
//! The events of a call are written in one append, so a line is complete or absent. A disk error is never an
//! event's fault: all events that were not written are retried. If the daemon dies between the append and the
//! record of it, an event is written twice, with the same `id`; it is never lost.
//!
//! The plugin rotates its files itself (`rotate`). To use `logrotate` instead, set `rotate.size = "off"` and let
//! it rename the file: neither `copytruncate` nor a signal is needed, because the plugin checks the path before
//! each append.

#![deny(unsafe_code)]

mod escape;
mod file;
mod length;
mod line;
mod minify;
mod size;
mod time;

use std::os::unix::ffi::OsStrExt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use dispatcher_plugin_api::prelude::*;

use file::{Log, Problem, Rotation};
use length::too_long;
use line::{Line, Piece};

/// Most bytes of one append; a larger call needs several.
const APPEND_BYTES_MAX: usize = 8 * 1024 * 1024;
/// A smaller file would be rotated at nearly every event.
const ROTATE_SIZE_BYTES_MIN: u64 = 1024;
/// Each rotation renames all of them.
const ROTATE_KEEP_MAX: u32 = 1000;
const NOT_A_SIZE: &str = "not a size of at least 1KiB: write a whole number with KiB, MiB, GiB, kB, MB or GB, \
                          such as \"100MiB\", or \"off\"";
/// The value of `rotate.size` for no limit.
const OFF: &str = "off";

/// The `settings` of a target.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(crate = "serde", deny_unknown_fields)]
pub struct Settings {
    /// The file to append to; missing folders are created. A relative path starts at `home`.
    #[schemars(extend("x-file" = "regular"))]
    path: LocalPath,
    /// When a new file is started, and how many old ones are kept.
    #[serde(default)]
    rotate: Rotate,
    /// Whether an event counts as delivered only after the disk has confirmed it (`fdatasync`). Without it, the
    /// file may lack the last seconds before a power failure.
    #[serde(default)]
    sync: bool,
}

/// Old files are named `events.jsonl.1` (the newest), `events.jsonl.2` and so on.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(crate = "serde", deny_unknown_fields, default)]
pub struct Rotate {
    /// The largest size of a file, such as "100MiB" or "2GB", at least "1KiB"; "off" for no limit.
    size: String,
    /// Whether each day (UTC) starts a new file.
    daily: bool,
    /// How many old files are kept, 1 to 1000; older ones are deleted.
    #[schemars(range(min = 1, max = 1000))]
    keep: u32,
}

impl Default for Rotate {
    fn default() -> Self {
        Self { size: "100MiB".to_owned(), daily: false, keep: 10 }
    }
}

impl Settings {
    fn rotation(&self, mistakes: &mut Mistakes) -> Option<Rotation> {
        let Rotate { ref size, daily, keep } = self.rotate;
        let bytes_max = match size.as_str() {
            OFF => Some(None),
            size => {
                let bytes = size::bytes(size).filter(|bytes| *bytes >= ROTATE_SIZE_BYTES_MIN);
                mistakes.keep(bytes.map(Some).ok_or_else(|| Invalid::at("rotate.size", NOT_A_SIZE)))
            }
        };
        if !(1..=ROTATE_KEEP_MAX).contains(&keep) {
            let reason = format!("must be between 1 and {ROTATE_KEEP_MAX} files");
            mistakes.add(Invalid::at("rotate.keep", reason));
        }
        Some(Rotation { bytes_max: bytes_max?, daily, keep })
    }

    fn checked(self) -> Result<(Log, Rotation), Invalid> {
        let mut mistakes = Mistakes::default();
        let rotation = self.rotation(&mut mistakes);
        let path = self.path.as_path();
        if path.file_name().is_none() || path.as_os_str().as_bytes().ends_with(b"/") {
            let reason = "is a folder: add the name of a file, such as logs/events.jsonl";
            mistakes.add(Invalid::at("path", reason));
        }
        if let Some(reason) = rotation.and_then(|rotation| too_long(path, rotation)) {
            mistakes.add(Invalid::at("path", reason));
        }
        let rotation = mistakes.finish(rotation)?;
        Ok((Log::new(path.to_owned(), rotation, self.sync), rotation))
    }
}

/// A file as a target.
#[derive(Debug)]
pub struct FileLog {
    log: Arc<Mutex<Log>>,
    append_bytes_max: usize,
    host: Host,
}

impl Target for FileLog {
    type Settings = Settings;

    fn create(settings: Settings, host: Host) -> Result<Self, Invalid> {
        let (log, rotation) = settings.checked()?;
        let rotate_bytes = rotation.bytes_max.unwrap_or(u64::MAX);
        // A call larger than a file may be is written to several files.
        let append_bytes_max =
            usize::try_from(rotate_bytes).map_or(APPEND_BYTES_MAX, |b| b.min(APPEND_BYTES_MAX));
        Ok(Self { log: Arc::new(Mutex::new(log)), append_bytes_max, host })
    }

    async fn probe(&self) -> Option<Verdict> {
        Some(self.with_log(|log| log.probe()).await.map(|()| Receipt::none()))
    }
}

impl Batch for FileLog {
    async fn deliver(&self, events: Events<'_>) -> Verdicts {
        let mut verdicts = Vec::with_capacity(events.len());
        let mut piece = Piece::default();
        let mut waiting = events.iter();
        loop {
            let full = match waiting.next() {
                Some(event) => push(&mut piece, event, self.append_bytes_max),
                None if piece.events > 0 => Some(std::mem::take(&mut piece)),
                None => return verdicts.into(),
            };
            let Some(full) = full else { continue };
            let count = full.events;
            if let Err(failure) =
                self.with_log(move |log| log.append(&full.bytes, SystemTime::now())).await
            {
                // The rest is not attempted, so that the events keep their order.
                verdicts.resize(events.len(), Err(failure));
                return verdicts.into();
            }
            verdicts.resize(verdicts.len() + count, Ok(Receipt::none()));
        }
    }
}

impl FileLog {
    /// Uses the log on a thread that may block. Writing here directly would save about ten microseconds per
    /// call, but a disk that hangs (a dead network share, a throttled volume) would then block a thread
    /// that the deliveries of all other targets need.
    async fn with_log(
        &self,
        work: impl FnOnce(&mut Log) -> Result<(), Problem> + Send + 'static,
    ) -> Result<(), Failure> {
        let log = Arc::clone(&self.log);
        let outcome = self.host.blocking(move || {
            // After a panic the log opens its path again, so it can still be used.
            work(&mut log.lock().unwrap_or_else(PoisonError::into_inner))
        });
        outcome.await?.map_err(Failure::retry)
    }
}

/// Adds the event's line; returns the piece so far if the line does not fit into it.
fn push(piece: &mut Piece, event: Event<'_>, bytes_max: usize) -> Option<Piece> {
    let line = Line {
        id: event.id(),
        source: event.source(),
        event_type: event.event_type(),
        subject: event.subject(),
        time: event.time(),
        received_at: &event.received_at_rfc3339(),
        severity: event.severity().as_str(),
        title: event.title(),
        link: event.link(),
        data: event.data(),
        content_type: event.content_type(),
    };
    piece.push(&line, bytes_max)
}

export_target!(
    FileLog,
    name = "file-log",
    batch,
    description = "Appends one CloudEvents JSON object a line to a file"
);

#[cfg(test)]
mod tests {
    use super::*;

    fn log(settings: &str) -> Result<Log, String> {
        let settings: Settings =
            serde_json::from_str(settings).map_err(|error| error.to_string())?;
        settings.checked().map(|(log, _)| log).map_err(|invalid| invalid.to_string())
    }

    #[test]
    fn valid_settings_are_accepted() {
        for settings in [
            r#"{"path": "logs/events.jsonl"}"#,
            r#"{"path": "x", "sync": true, "rotate": {}}"#,
            r#"{"path": "x", "rotate": {"size": "1KiB", "daily": true, "keep": 1}}"#,
            r#"{"path": "x", "rotate": {"size": "off", "keep": 1000}}"#,
        ] {
            log(settings).unwrap();
        }
    }

    #[test]
    fn invalid_settings_are_refused_with_their_key() {
        for (settings, part) in [
            (r"{}", "missing field `path`"),
            (r#"{"path": "x", "rotat": {}}"#, "unknown field `rotat`"),
            (r#"{"path": "x", "rotate": {"sise": "1GiB"}}"#, "unknown field `sise`"),
            (r#"{"path": "logs/"}"#, "path: is a folder"),
            (r#"{"path": ".."}"#, "path: is a folder"),
            (r#"{"path": "x", "rotate": {"size": "100"}}"#, "rotate.size: not a size"),
            (r#"{"path": "x", "rotate": {"size": "1023B"}}"#, "rotate.size: not a size"),
            (r#"{"path": "x", "rotate": {"keep": 0}}"#, "rotate.keep: must be between 1 and 1000"),
            (r#"{"path": "x", "rotate": {"keep": 1001}}"#, "rotate.keep"),
            (
                r#"{"path": "x/", "rotate": {"size": "1", "keep": 0}}"#,
                "rotate.keep: must be between 1 and 1000 files; path: is a folder",
            ),
        ] {
            let error = log(settings).unwrap_err();
            assert!(error.contains(part), "{settings}: {error}");
        }
    }
}
