//! The row of a window: the period of a digest that began with a message.

/// The end of a window, in the seen time of the process that opened it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct WindowRow {
    pub until_ms: u64,
    pub epoch: u32,
}

impl WindowRow {
    pub(crate) fn to_bytes(self) -> Vec<u8> {
        [&self.until_ms.to_le_bytes()[..], &self.epoch.to_le_bytes()].concat()
    }

    /// Rows of earlier versions have no epoch.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (until, epoch) = bytes.split_first_chunk::<8>()?;
        let epoch = epoch.try_into().map_or(0, u32::from_le_bytes);
        Some(Self { until_ms: u64::from_le_bytes(*until), epoch })
    }
}
