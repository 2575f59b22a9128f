//! The host's services, with the types of the standard library.

use std::future::Future;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use abi_stable::sabi_trait::TD_Opaque;
use abi_stable::std_types::{RSlice, RStr, RVec};

use super::guard::{self, Contained, Panicked};
use super::{CUT, HostBox, Job, JobBox, RAnswer, RField, RPair, RRequest, outcome};
use crate::http::{Answer, Outgoing};
use crate::{Failure, Host, HttpError, Level};

/// The host as one target sees it.
pub(crate) struct Services(HostBox);

impl Services {
    pub(crate) const fn new(host: HostBox) -> Self {
        Self(host)
    }

    pub(crate) fn http(
        &self,
        request: Outgoing,
    ) -> impl Future<Output = Result<Answer, HttpError>> + Send + 'static {
        let answer = self.0.http(RRequest {
            method: request.method.into(),
            url: request.url.into(),
            headers: fields(request.headers),
            body: request.body.into(),
            meta: RVec::new(),
        });
        async move { read(answer.await) }
    }

    pub(crate) fn sleep(&self, time: Duration) -> impl Future<Output = ()> + Send + 'static {
        self.0.sleep(u64::try_from(time.as_millis()).unwrap_or(u64::MAX))
    }

    pub(crate) fn blocking<T, W>(
        &self,
        host: &Host,
        work: W,
    ) -> impl Future<Output = Result<T, Failure>> + Send + 'static
    where
        T: Send + 'static,
        W: FnOnce() -> T + Send + 'static,
    {
        let result = Arc::new(Mutex::new(None));
        let work = Work {
            work: Contained::new(Some(work), host.clone()),
            result: Contained::new(result.clone(), host.clone()),
        };
        let ran = self.0.blocking(JobBox::from_value(work, TD_Opaque));
        async move {
            let ran = ran.await;
            let result = result.lock().ok().and_then(|mut result| result.take());
            match result {
                Some(result) => {
                    result.map_err(|panicked| Failure::retry(panicked.to_string()).maybe_sent())
                }
                None if ran => Err(Failure::retry("the blocking work returned no result")),
                None => Err(Failure::retry("the daemon is stopping and starts no blocking work")),
            }
        }
    }

    pub(crate) fn log(&self, level: Level, message: &str, pairs: &[(&str, String)]) {
        let level = match level {
            Level::Error => 0,
            Level::Warn => 1,
            Level::Info => 2,
            Level::Debug => 3,
        };
        let pairs: Vec<_> = pairs
            .iter()
            .map(|(key, value)| RPair { key: RStr::from(*key), value: RStr::from(value.as_str()) })
            .collect();
        self.0.log(level, RStr::from(message), RSlice::from_slice(&pairs));
    }

    pub(crate) fn count(&self, name: &str, by: u64) {
        self.0.count(RStr::from(name), by);
    }
}

type Slot<T> = Arc<Mutex<Option<Result<T, Panicked>>>>;

struct Work<T, W> {
    work: Contained<Option<W>>,
    result: Contained<Slot<T>>,
}

impl<T: Send, W: FnOnce() -> T + Send> Job for Work<T, W> {
    fn run(&mut self) {
        let host = self.work.host().clone();
        let Some(work) = self.work.get_mut().take() else { return };
        let done = guard::call(&host, work);
        if let Ok(mut slot) = self.result.get().lock() {
            *slot = Some(done);
        }
    }
}

fn fields(pairs: Vec<(String, String)>) -> RVec<RField> {
    pairs.into_iter().map(|(key, value)| RField { key: key.into(), value: value.into() }).collect()
}

fn read(answer: RAnswer) -> Result<Answer, HttpError> {
    match answer.outcome {
        outcome::ANSWERED => Ok(Answer {
            status: u16::try_from(answer.status).unwrap_or(0),
            headers: answer
                .headers
                .into_iter()
                .map(|field| (field.key.into(), field.value.into()))
                .collect(),
            body: answer.body.into(),
            cut: answer
                .meta
                .into_iter()
                .find(|field| field.key == CUT)
                .map(|field| field.value.into()),
        }),
        outcome::NOT_SENT => Err(HttpError::NotSent(answer.reason.into())),
        _ => Err(HttpError::Ambiguous(answer.reason.into())),
    }
}
