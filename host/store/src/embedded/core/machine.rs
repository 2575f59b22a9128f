//! What the store runs on: disk, clocks, index, random identity, threads. Tests replace them.

use std::sync::Arc;

use crate::embedded::format::segment_header::Identity;
use crate::embedded::index::fjall_home::FjallHome;
use crate::embedded::index::rows::IndexHome;
use crate::embedded::platform::clock::{Clock, SystemClock};
use crate::embedded::platform::disk::{Disk, Files};
use crate::embedded::settings::Settings;

/// Takes a second or two.
const READ_AT_OPEN_BYTES_MAX: u64 = 128 << 20;

#[derive(Clone)]
pub(crate) struct Machine {
    pub disk: Arc<dyn Disk>,
    pub clock: Arc<dyn Clock>,
    pub index: Arc<dyn IndexHome>,
    /// Identity of a new store; random when `None`.
    pub identity: Option<Identity>,
    /// The index catches up before the store opens if it lacks no more of the log than this.
    pub read_at_open_bytes_max: u64,
    /// No background threads: a test takes the steps one by one.
    pub alone: bool,
}

impl Machine {
    /// The real disk, clocks and index.
    pub(crate) fn real(settings: &Settings) -> Self {
        Self {
            disk: Arc::new(Files),
            clock: Arc::new(SystemClock),
            index: Arc::new(FjallHome {
                disk: Arc::new(Files),
                folder: settings.index_folder(),
                aside: settings.damaged_folder(),
            }),
            identity: None,
            read_at_open_bytes_max: READ_AT_OPEN_BYTES_MAX,
            alone: false,
        }
    }

    pub(crate) fn new_identity(&self) -> std::io::Result<Identity> {
        if let Some(identity) = self.identity {
            return Ok(identity);
        }
        let mut bytes = [0u8; 10];
        getrandom::fill(&mut bytes).map_err(|error| std::io::Error::other(error.to_string()))?;
        let [a, b, uuid @ ..] = bytes;
        Ok(Identity { store: u16::from_le_bytes([a, b]), uuid: u64::from_le_bytes(uuid) })
    }
}
