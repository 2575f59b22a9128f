//! What a sender's body says, in one form for all senders.

use bytes::Bytes;

use crate::model::Event;

/// Most events in one request.
pub const EVENTS_MAX: usize = 1_000;
/// Deepest nesting of arrays and objects.
pub const DEPTH_MAX: usize = 64;

/// How the bodies of one kind of sender are read.
#[derive(Debug)]
pub struct Sender {
    /// As written in the configuration.
    pub name: &'static str,
    /// Built-in bodies of this sender, to try rules on and to send.
    pub samples: &'static [Sample],
}

/// A body as the sender would send it.
#[derive(Debug)]
pub struct Sample {
    /// `sqreen/http_scan`
    pub name: &'static str,
    pub body: &'static str,
}

/// Why a signed body is refused; a repetition of it would be refused as well.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    #[error("the body has more than {EVENTS_MAX} elements")]
    TooMany,
}

/// Every sender, by name.
pub static SENDERS: &[Sender] =
    &[Sender { name: "sqreen", samples: &[] }, Sender { name: "json", samples: &[] }];

/// The sender of that name.
#[must_use]
pub fn sender(name: &str) -> Option<&'static Sender> {
    SENDERS.iter().find(|sender| sender.name == name)
}

/// The events of a body, in its order.
///
/// # Errors
/// The body is no JSON object and no array, is nested too deep, or has too many elements.
pub fn normalize(sender: &Sender, body: &Bytes) -> Result<Vec<Event>, Malformed> {
    let _ = (sender, body);
    Ok(Vec::new())
}
