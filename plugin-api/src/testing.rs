//! Tests of a plugin without a daemon: a host that records calls, and events with chosen attributes.
//!
//! Nothing waits: a sleep ends at once, blocking work runs on the calling thread, and HTTP requests get the
//! responses that the test has queued, in order. Panics are not caught.
//!
//! ```
//! use dispatcher_plugin_api::prelude::*;
//! use dispatcher_plugin_api::testing::{self, TestEvent, TestHost};
//! # #[derive(Deserialize, JsonSchema)]
//! # #[serde(crate = "serde")]
//! # struct Settings { url: HttpUrl }
//! # struct Post { settings: Settings, host: Host }
//! # impl Target for Post {
//! #     type Settings = Settings;
//! #     fn create(settings: Settings, host: Host) -> Result<Self, Invalid> {
//! #         Ok(Self { settings, host })
//! #     }
//! # }
//! # impl Each for Post {
//! #     async fn deliver(&self, event: Event<'_>) -> Verdict {
//! #         self.host.post(&self.settings.url).body(event.data()).send().await?.verdict()
//! #     }
//! # }
//!
//! let host = TestHost::new();
//! host.answer(503, "busy");
//! let target: Post = host.create(json!({ "url": "https://example.org/" })).unwrap();
//! let verdict = testing::each(&target, &TestEvent::new("{}"));
//! assert_eq!(verdict, Err(Failure::retry("answered 503: busy")));
//! assert_eq!(host.requests()[0].body, b"{}");
//! ```

mod event;

use std::collections::{BTreeMap, VecDeque};
use std::future::Future;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;

use event::{borrow, borrow_headers, message};
use serde_json::Value;

use crate::abi::{
    self, BatchMode, EachMode, FfiFuture, HostApi, JobBox, Mode, RAnswer, RCall, RField, RPair,
    RRequest, RSlice, RStr, Services, TogetherMode, outcome,
};
use crate::{Batch, Each, Host, HttpError, Invalid, Target, Together, Verdict, Verdicts};

pub use event::TestEvent;

/// An HTTP request that a plugin made.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SentRequest {
    /// Such as `POST`.
    pub method: String,
    /// As written by the plugin.
    pub url: String,
    /// In the order in which they were added.
    pub headers: Vec<(String, String)>,
    /// Empty without one.
    pub body: Vec<u8>,
}

/// A queued response.
#[derive(Debug)]
struct Answer {
    status: u16,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

#[derive(Debug, Default)]
struct State {
    answers: VecDeque<Result<Answer, HttpError>>,
    requests: Vec<SentRequest>,
    lines: Vec<String>,
    counters: BTreeMap<String, u64>,
}

/// A host that records what a plugin asks for. Clones are the same host.
#[derive(Clone, Debug, Default)]
pub struct TestHost(Arc<Mutex<State>>);

impl TestHost {
    /// A host without records and responses.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Creates a target with settings as in the configuration, with secrets in place of references.
    ///
    /// # Errors
    /// What `dispatcher check` would report.
    pub fn create<T: Target>(&self, settings: Value) -> Result<T, Invalid> {
        let (settings, mut mistakes) = crate::reading::read_settings(&settings.to_string());
        let made = settings.and_then(|settings| mistakes.keep(T::create(settings, self.host())));
        mistakes.finish(made)
    }

    /// The host as a plugin gets it.
    #[must_use]
    pub fn host(&self) -> Host {
        Host::new(Arc::new(Services::new(abi::host(self.clone()))))
    }

    /// Queues a response. A request without a queued response is not sent.
    pub fn answer(&self, status: u16, body: &str) {
        self.answer_with(status, &[], body);
    }

    /// Queues a response with header fields, such as `("retry-after", "30")`.
    pub fn answer_with(&self, status: u16, headers: &[(&str, &str)], body: impl Into<Vec<u8>>) {
        let fields = headers.iter().map(|(name, value)| (name.to_lowercase(), (*value).to_owned()));
        let answer = Answer { status, headers: fields.collect(), body: body.into() };
        self.state().answers.push_back(Ok(answer));
    }

    /// Queues a failure.
    pub fn fail(&self, error: HttpError) {
        self.state().answers.push_back(Err(error));
    }

    /// All requests made.
    #[must_use]
    pub fn requests(&self) -> Vec<SentRequest> {
        self.state().requests.clone()
    }

    /// All lines logged, as `message key=value`.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        self.state().lines.clone()
    }

    /// The value of that counter.
    #[must_use]
    pub fn counter(&self, name: &str) -> u64 {
        self.state().counters.get(name).copied().unwrap_or(0)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl HostApi for TestHost {
    fn http(&self, request: RRequest) -> FfiFuture<RAnswer> {
        let mut state = self.state();
        state.requests.push(SentRequest {
            method: request.method.into(),
            url: request.url.into(),
            headers: request
                .headers
                .into_iter()
                .map(|field| (field.key.into(), field.value.into()))
                .collect(),
            body: request.body.into(),
        });
        let none = || Err(HttpError::NotSent("the test has queued no response".to_owned()));
        let failed = |outcome, reason: String| RAnswer {
            outcome,
            status: 0,
            headers: Vec::new().into(),
            body: Vec::new().into(),
            reason: reason.into(),
            meta: Vec::new().into(),
        };
        let answer = match state.answers.pop_front().unwrap_or_else(none) {
            Ok(Answer { status, headers, body }) => RAnswer {
                outcome: outcome::ANSWERED,
                status: status.into(),
                headers: headers.into_iter().map(field).collect::<Vec<_>>().into(),
                body: body.into(),
                reason: String::new().into(),
                meta: Vec::new().into(),
            },
            Err(HttpError::NotSent(reason)) => failed(outcome::NOT_SENT, reason),
            Err(HttpError::Ambiguous(reason)) => failed(outcome::AMBIGUOUS, reason),
        };
        abi::future(std::future::ready(answer))
    }

    fn sleep(&self, _: u64) -> FfiFuture<()> {
        abi::future(std::future::ready(()))
    }

    fn blocking(&self, mut job: JobBox) -> FfiFuture<bool> {
        job.run();
        abi::future(std::future::ready(true))
    }

    fn log(&self, _: u32, message: RStr<'_>, fields: RSlice<'_, RPair<'_>>) {
        let fields = fields.iter().map(|pair| format!(" {}={}", pair.key, pair.value));
        let line = message.to_string() + &fields.collect::<String>();
        self.state().lines.push(line);
    }

    fn count(&self, name: RStr<'_>, by: u64) {
        *self.state().counters.entry(name.to_string()).or_default() += by;
    }
}

fn field((key, value): (String, String)) -> RField {
    RField { key: key.into(), value: value.into() }
}

/// Delivers one event.
///
/// # Errors
/// The plugin's failure.
pub fn each<T: Each>(target: &T, event: &TestEvent) -> Verdict {
    let mut verdicts = deliver::<T, EachMode>(target, std::slice::from_ref(event)).into_iter();
    verdicts.next().unwrap_or_else(|| unreachable!("one event has one verdict"))
}

/// Delivers events as one message, that of the first.
///
/// # Errors
/// The plugin's failure.
///
/// # Panics
/// If `events` is empty.
pub fn together<T: Together>(target: &T, events: &[TestEvent]) -> Verdict {
    let mut verdicts = deliver::<T, TogetherMode>(target, events).into_iter();
    verdicts.next().unwrap_or_else(|| panic!("a digest has at least one event"))
}

/// Delivers many events and returns a verdict for each.
///
/// # Panics
/// If the plugin returns a wrong number of verdicts.
pub fn batch<T: Batch>(target: &T, events: &[TestEvent]) -> Vec<Verdict> {
    deliver::<T, BatchMode>(target, events)
}

/// Calls [`Target::probe`].
pub fn probe<T: Target>(target: &T) -> Option<Verdict> {
    block_on(target.probe())
}

fn deliver<T: Target, M: Mode<T>>(target: &T, events: &[TestEvent]) -> Vec<Verdict> {
    let headers: Vec<Vec<_>> = events.iter().map(borrow_headers).collect();
    let borrowed: Vec<_> = events.iter().zip(&headers).map(|(event, h)| borrow(event, h)).collect();
    let first = events.first();
    let call = RCall {
        events: borrowed.as_slice().into(),
        message: first.map_or("", message).into(),
        key: first.map_or("", |event| &event.id).into(),
        progress: first.map_or(&[][..], |event| &event.progress).into(),
        count: events.len() as u64,
        meta: [].as_slice().into(),
    };
    let verdicts: Verdicts = block_on(M::call(target, call));
    match verdicts.into_list() {
        Ok(list) => {
            assert_eq!(list.len(), events.len(), "the plugin must return a verdict for each event");
            list
        }
        Err(verdict) => vec![verdict; events.len()],
    }
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(value) => return value,
            Poll::Pending => std::thread::park(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Digest, Event, Events, Failure, Level, Receipt};
    use std::time::Duration;

    struct Probe(Host);

    impl Target for Probe {
        type Settings = crate::Secret;

        fn create(_: Self::Settings, host: Host) -> Result<Self, Invalid> {
            Ok(Self(host))
        }
    }

    impl Each for Probe {
        async fn deliver(&self, event: Event<'_>) -> Verdict {
            self.0.sleep(Duration::MAX).await;
            let length = event.data().len();
            let length = self.0.blocking(move || length).await?;
            self.0.log(Level::Info, "length", &[("bytes", &length)]);
            self.0.count("bytes", length as u64);
            let answer = self.0.put("https://example.org/").basic("a", "b").send().await?;
            Ok(answer.verdict()?.with("sign", event.header("X-Sign").unwrap_or("-")))
        }
    }

    impl Together for Probe {
        async fn deliver(&self, digest: Digest<'_>) -> Verdict {
            Ok(Receipt::id(digest.key()).with("count", digest.count()))
        }
    }

    impl Batch for Probe {
        async fn deliver(&self, events: Events<'_>) -> Verdicts {
            events.each(|event| Ok(Receipt::id(event.id())))
        }
    }

    #[test]
    fn the_test_host_records_what_a_plugin_asks_for() {
        let host = TestHost::new();
        host.answer(200, "");
        host.fail(HttpError::Ambiguous("cut".to_owned()));
        let probe: Probe = host.create("a".into()).unwrap();
        let event = TestEvent::new("12345").header("x-sign", "yes");
        assert_eq!(each(&probe, &event), Ok(Receipt::none().with("sign", "yes")));
        assert_eq!(each(&probe, &event), Err(Failure::retry("cut").maybe_sent()));
        let none = each(&probe, &event).unwrap_err();
        assert_eq!(none, Failure::retry("the test has queued no response"));
        assert_eq!(host.lines()[0], "length bytes=5");
        assert_eq!(host.counter("bytes"), 15);
        let sent = &host.requests()[0];
        assert_eq!((sent.method.as_str(), sent.headers.len()), ("PUT", 1));
        assert_eq!(sent.headers[0].1, "Basic YTpi");
    }

    #[test]
    fn a_response_has_the_header_fields_that_the_test_gave_it() {
        let host = TestHost::new();
        host.answer_with(429, &[("Retry-After", "30")], "slow down");
        let probe: Probe = host.create("a".into()).unwrap();
        let failure = each(&probe, &TestEvent::new("{}")).unwrap_err();
        let after = Some(Duration::from_secs(30));
        assert_eq!(failure, Failure::throttled("answered 429: slow down", after));
    }

    #[test]
    fn many_events_get_a_verdict_each_or_one_together() {
        let probe: Probe = TestHost::new().create("a".into()).unwrap();
        let events = ["a", "b"].map(|id| TestEvent::new("{}").id(id));
        assert_eq!(batch(&probe, &events), [Ok(Receipt::id("a")), Ok(Receipt::id("b"))]);
        assert_eq!(together(&probe, &events), Ok(Receipt::id("a").with("count", 2)));
    }

    #[test]
    fn invalid_settings_are_refused_like_by_the_daemon() {
        let invalid = TestHost::new().create::<Probe>(7.into()).err().unwrap();
        assert!(invalid.to_string().contains("invalid type: integer `7`"), "{invalid}");
    }
}
