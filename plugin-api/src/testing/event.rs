//! Events with chosen attributes.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::Severity;
use crate::abi::{REvent, RHeader};

/// When test events are received, since 1970: 2021-02-08T12:45:00.363Z.
const RECEIVED_AT: Duration = Duration::from_millis(1_612_788_300_363);

/// An event for tests: type `test`, source `test`, severity info, first attempt. Its message is its title.
#[derive(Clone, Debug)]
pub struct TestEvent {
    pub(super) id: String,
    source: String,
    event_type: String,
    subject: String,
    time: String,
    title: String,
    message: Option<String>,
    link: String,
    severity: Severity,
    attempt: u32,
    received_at: SystemTime,
    data: Vec<u8>,
    pub(super) progress: Vec<u8>,
    headers: Vec<(String, String)>,
}

impl TestEvent {
    /// An event with this data.
    #[must_use]
    pub fn new(data: impl Into<Vec<u8>>) -> Self {
        Self {
            id: "01TESTTESTTESTTESTTESTTEST".to_owned(),
            source: "test".to_owned(),
            event_type: "test".to_owned(),
            subject: String::new(),
            time: String::new(),
            title: "a test event".to_owned(),
            message: None,
            link: String::new(),
            severity: Severity::Info,
            attempt: 1,
            received_at: UNIX_EPOCH + RECEIVED_AT,
            data: data.into(),
            progress: Vec::new(),
            headers: Vec::new(),
        }
    }

    /// With another id.
    #[must_use]
    pub fn id(mut self, id: &str) -> Self {
        id.clone_into(&mut self.id);
        self
    }

    /// From another source.
    #[must_use]
    pub fn source(mut self, source: &str) -> Self {
        source.clone_into(&mut self.source);
        self
    }

    /// About something.
    #[must_use]
    pub fn subject(mut self, subject: &str) -> Self {
        subject.clone_into(&mut self.subject);
        self
    }

    /// Happened at this time, RFC 3339.
    #[must_use]
    pub fn time(mut self, time: &str) -> Self {
        time.clone_into(&mut self.time);
        self
    }

    /// Received at this time, to the millisecond.
    #[must_use]
    pub const fn received_at(mut self, at: SystemTime) -> Self {
        self.received_at = at;
        self
    }

    /// With another type.
    #[must_use]
    pub fn event_type(mut self, event_type: &str) -> Self {
        event_type.clone_into(&mut self.event_type);
        self
    }

    /// With another title.
    #[must_use]
    pub fn title(mut self, title: &str) -> Self {
        title.clone_into(&mut self.title);
        self
    }

    /// With a message that differs from the title, as with `message = "…"` of the target.
    #[must_use]
    pub fn message(mut self, message: &str) -> Self {
        self.message = Some(message.to_owned());
        self
    }

    /// With a link.
    #[must_use]
    pub fn link(mut self, link: &str) -> Self {
        link.clone_into(&mut self.link);
        self
    }

    /// With another severity.
    #[must_use]
    pub const fn severity(mut self, severity: Severity) -> Self {
        self.severity = severity;
        self
    }

    /// At a later attempt, with the progress of the last one.
    #[must_use]
    pub fn attempt(mut self, attempt: u32, progress: impl Into<Vec<u8>>) -> Self {
        (self.attempt, self.progress) = (attempt, progress.into());
        self
    }

    /// With a header field of its request.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_lowercase(), value.to_owned()));
        self
    }
}

fn milliseconds(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

pub(super) fn message(event: &TestEvent) -> &str {
    event.message.as_ref().unwrap_or(&event.title)
}

pub(super) fn borrow_headers(event: &TestEvent) -> Vec<RHeader<'_>> {
    let fields = event.headers.iter();
    fields
        .map(|(name, value)| RHeader { name: name.as_str().into(), value: value.as_bytes().into() })
        .collect()
}

pub(super) fn borrow<'a>(event: &'a TestEvent, headers: &'a [RHeader<'a>]) -> REvent<'a> {
    REvent {
        id: event.id.as_str().into(),
        source: event.source.as_str().into(),
        event_type: event.event_type.as_str().into(),
        subject: event.subject.as_str().into(),
        time: event.time.as_str().into(),
        title: event.title.as_str().into(),
        message: message(event).into(),
        link: event.link.as_str().into(),
        severity: event.severity as u32,
        attempt: event.attempt,
        received_at_ms: milliseconds(event.received_at),
        data: event.data.as_slice().into(),
        progress: event.progress.as_slice().into(),
        headers: headers.into(),
        meta: [].as_slice().into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::each;
    use crate::{Each, Event, Host, Invalid, Receipt, Target, Verdict};

    struct Show;

    impl Target for Show {
        type Settings = ();

        fn create((): (), _: Host) -> Result<Self, Invalid> {
            Ok(Self)
        }
    }

    impl Each for Show {
        async fn deliver(&self, event: Event<'_>) -> Verdict {
            let parts = [
                event.source(),
                event.event_type(),
                event.subject().unwrap_or("-"),
                event.time().unwrap_or("-"),
                event.title(),
                event.message(),
                event.link().unwrap_or("-"),
                &event.received_at_rfc3339(),
            ];
            Ok(Receipt::id(parts.join(" ")))
        }
    }

    #[test]
    fn a_test_can_choose_every_attribute_of_an_event() {
        let event = TestEvent::new("{}").source("s").event_type("y").subject("u").title("t");
        let event = event.message("m").link("https://l").time("2026-01-15T09:30:00Z");
        let event = event.received_at(UNIX_EPOCH + Duration::from_millis(5));
        let expected = "s y u 2026-01-15T09:30:00Z t m https://l 1970-01-01T00:00:00.005Z";
        assert_eq!(each(&Show, &event), Ok(Receipt::id(expected)));
        let usual = "test test - - a test event a test event - 2021-02-08T12:45:00.363Z";
        assert_eq!(each(&Show, &TestEvent::new("{}")), Ok(Receipt::id(usual)));
    }
}
