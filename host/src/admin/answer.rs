//! From a request on the admin socket to its answer.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderValue};
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Limited};
use hyper::body::{Body, Frame, Incoming};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::mpsc;

use super::wire::{Reload, Wrong};
use super::{BODY_BYTES_MAX, BODY_TIMEOUT, Inner, acts, explain, status, tail};
use crate::store::StoreError;

/// What cannot be done, and the status that says whose fault it is.
#[derive(Debug)]
pub(super) struct Refused(StatusCode, String);

impl Refused {
    pub(super) fn wrong(text: impl Into<String>) -> Self {
        Self(StatusCode::BAD_REQUEST, text.into())
    }

    pub(super) fn unknown(text: impl Into<String>) -> Self {
        Self(StatusCode::NOT_FOUND, text.into())
    }
}

impl From<StoreError> for Refused {
    fn from(error: StoreError) -> Self {
        Self(StatusCode::SERVICE_UNAVAILABLE, error.to_string())
    }
}

/// A whole answer, or lines as they come.
pub(super) enum Answer {
    Whole(Option<Bytes>),
    Lines(mpsc::Receiver<Bytes>),
}

impl Body for Answer {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        match &mut *self {
            Self::Whole(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Self::Lines(lines) => {
                lines.poll_recv(context).map(|line| line.map(|line| Ok(Frame::data(line))))
            }
        }
    }
}

type Answered = Result<Answer, Refused>;

pub(super) async fn answer(inner: Arc<Inner>, request: Request<Incoming>) -> Response<Answer> {
    let (status, body) = match route(inner, request).await {
        Ok(body) => (StatusCode::OK, body),
        Err(Refused(status, error)) => {
            let body = serde_json::to_vec(&Wrong { error }).unwrap_or_default();
            (status, Answer::Whole(Some(body.into())))
        }
    };
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let json = HeaderValue::from_static("application/json");
    response.headers_mut().insert(CONTENT_TYPE, json);
    response
}

async fn route(inner: Arc<Inner>, request: Request<Incoming>) -> Answered {
    let (head, body) = request.into_parts();
    let query = Query(head.uri.query().unwrap_or_default());
    let get = head.method == Method::GET;
    if !get && head.method != Method::POST {
        return Err(Refused(StatusCode::METHOD_NOT_ALLOWED, "GET or POST".to_owned()));
    }
    match (get, head.uri.path()) {
        (true, "/status") => json(&status::status(&inner)),
        (true, "/tail") => Ok(Answer::Lines(tail::lines(&inner))),
        (true, "/refused") => json(&explain::refusals(&inner, query.get("source"))?),
        (true, "/explain") => {
            let id = query.get("id").unwrap_or_default();
            json(&explain::explain(&inner, id, query.get("data").is_some()).await?)
        }
        (true, "/dead") => {
            let max = query.get("max").map_or(Ok(super::PAGE_MAX), str::parse);
            let max = max.map_err(|_| Refused::wrong("max is no number"))?;
            json(&acts::dead(&inner, query.get("target"), max).await?)
        }
        (false, "/dead/replay") => json(&acts::replay(&inner, read(body).await?).await?),
        (false, "/dead/drop") => json(&acts::drop_dead(&inner, read(body).await?).await?),
        (false, "/pause") => json(&acts::pause(&inner, read(body).await?).await?),
        (false, "/reload") => json(&reload(inner).await?),
        (false, "/resume") => json(&acts::resume(&inner, read(body).await?).await?),
        (_, path) => Err(Refused::unknown(format!("there is no {} {path:?}", head.method))),
    }
}

/// On a thread for blocking work: it reads files and loads plugins.
async fn reload(inner: Arc<Inner>) -> Result<Reload, Refused> {
    let stopping = || Refused(StatusCode::SERVICE_UNAVAILABLE, "the daemon stops".to_owned());
    let reloaded = tokio::task::spawn_blocking(move || inner.reload.reload()).await;
    reloaded.ok().flatten().ok_or_else(stopping)
}

/// Names and values of a query; what the command line sends needs no decoding.
struct Query<'a>(&'a str);

impl<'a> Query<'a> {
    fn get(&self, name: &str) -> Option<&'a str> {
        let pairs = self.0.split('&').filter_map(|pair| pair.split_once('='));
        pairs.into_iter().find(|(n, v)| *n == name && !v.is_empty()).map(|(_, value)| value)
    }
}

fn json<T: Serialize>(answer: &T) -> Answered {
    let bytes = serde_json::to_vec(answer).map_err(|error| Refused::wrong(error.to_string()))?;
    Ok(Answer::Whole(Some(bytes.into())))
}

async fn read<T: DeserializeOwned>(body: Incoming) -> Result<T, Refused> {
    let whole = Limited::new(body, BODY_BYTES_MAX).collect();
    let whole = tokio::time::timeout(BODY_TIMEOUT, whole)
        .await
        .map_err(|_| Refused::wrong("the body took too long"))?
        .map_err(|error| Refused::wrong(format!("the body cannot be read: {error}")))?;
    serde_json::from_slice(&whole.to_bytes())
        .map_err(|error| Refused::wrong(format!("the body is not as expected: {error}")))
}
