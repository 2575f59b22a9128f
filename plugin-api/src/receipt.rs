//! Verdicts: the outcome of a delivery.

use std::fmt::Display;

use crate::Failure;

/// `Ok`: delivered. `Err`: what to do next, and whether the event or the whole target has failed.
pub type Verdict = Result<Receipt, Failure>;

/// What the destination returned when it accepted the event. `dispatcher explain` shows it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Receipt {
    pub(crate) id: Option<String>,
    pub(crate) fields: Vec<(String, String)>,
}

impl Receipt {
    /// Delivered, with nothing to store.
    #[must_use]
    pub const fn none() -> Self {
        Self { id: None, fields: Vec::new() }
    }

    /// The destination's own id, such as Twilio's `sid`; at most 1 KiB is stored.
    #[must_use]
    pub fn id(id: impl Into<String>) -> Self {
        Self { id: Some(id.into()), fields: Vec::new() }
    }

    /// A further fact, such as a price; at most 16 are stored, each of at most 1 KiB.
    #[must_use]
    pub fn with(mut self, key: &str, value: impl Display) -> Self {
        self.fields.push((key.to_owned(), value.to_string()));
        self
    }
}

/// The verdicts of a [`Batch`](crate::Batch) call: one for all events, or one per event, in their order.
/// Collect them from an iterator, or use [`Events::all`](crate::Events::all) or
/// [`Events::each`](crate::Events::each).
#[derive(Clone, Debug)]
pub struct Verdicts(Result<Vec<Verdict>, Box<Verdict>>);

impl Verdicts {
    pub(crate) fn for_all(verdict: Verdict) -> Self {
        Self(Err(Box::new(verdict)))
    }

    /// The list, or the one verdict for all.
    pub(crate) fn into_list(self) -> Result<Vec<Verdict>, Verdict> {
        self.0.map_err(|verdict| *verdict)
    }
}

impl FromIterator<Verdict> for Verdicts {
    fn from_iter<I: IntoIterator<Item = Verdict>>(verdicts: I) -> Self {
        Self(Ok(verdicts.into_iter().collect()))
    }
}

impl From<Vec<Verdict>> for Verdicts {
    fn from(verdicts: Vec<Verdict>) -> Self {
        Self(Ok(verdicts))
    }
}
