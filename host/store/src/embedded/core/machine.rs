//! What the store stands on: a disk, clocks, a place for the index, chance, and threads.

use std::sync::Arc;

use crate::embedded::format::segment_header::Identity;
use crate::embedded::index::fjall::FjallHome;
use crate::embedded::index::rows::IndexHome;
use crate::embedded::platform::clock::{Clock, SystemClock};
use crate::embedded::platform::disk::{Disk, Files};
use crate::embedded::settings::Settings;

/// A second or two.
const READ_AT_OPEN_BYTES_MAX: u64 = 128 << 20;

#[derive(Clone)]
pub(crate) struct Machine {
    pub disk: Arc<dyn Disk>,
    pub clock: Arc<dyn Clock>,
    pub index: Arc<dyn IndexHome>,
    /// Of a store that is made here; random without.
    pub identity: Option<Identity>,
    /// What the index lacks of the log is read before the store is open if it is not more than this.
    pub read_at_open_bytes_max: u64,
    /// Nothing is done on a thread aside: a test takes the steps one by one.
    pub alone: bool,
}

impl Machine {
    /// The one that the process runs on.
    pub(crate) fn real(settings: &Settings) -> Self {
        Self {
            disk: Arc::new(Files),
            clock: Arc::new(SystemClock),
            index: Arc::new(FjallHome(settings.index_folder())),
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
