//! Answers one request on the admin socket.

use std::borrow::Cow;
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

use super::error::RequestError;
use super::events::Asked;
use super::seats::{Begun, Seat};
use super::tail::Lines;
use super::view::Inner;
use super::wire::{ErrorBody, Reload};
use super::{
    BODY_BYTES_MAX, BODY_TIMEOUT, PAGE_MAX, dead, events, explain, hold, refused, retry, status,
    tail, waiting,
};

/// A whole answer, or a stream of lines.
pub(super) enum Answer {
    Whole(Option<Bytes>),
    Lines(Lines),
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
                lines.poll_next(context).map(|line| line.map(|line| Ok(Frame::data(line))))
            }
        }
    }
}

type Answered = Result<Answer, RequestError>;

pub(super) async fn answer(
    inner: Arc<Inner>,
    request: Request<Incoming>,
    seat: &Seat,
) -> Response<Answer> {
    let (status, body) = match route(inner, request, seat).await {
        Ok(body) => (StatusCode::OK, body),
        Err(error) => {
            let body = serde_json::to_vec(&ErrorBody { error: error.to_string() });
            (error.status(), Answer::Whole(Some(body.unwrap_or_default().into())))
        }
    };
    seat.answer();
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let json = HeaderValue::from_static("application/json");
    response.headers_mut().insert(CONTENT_TYPE, json);
    response
}

async fn route(inner: Arc<Inner>, request: Request<Incoming>, seat: &Seat) -> Answered {
    let (head, body) = request.into_parts();
    let query = Query(head.uri.query().unwrap_or_default());
    let is_get = head.method == Method::GET;
    if !is_get && head.method != Method::POST {
        return Err(RequestError::Method);
    }
    let body = if is_get { Bytes::new() } else { whole(body).await? };
    match seat.begin() {
        Begun::Yes => {}
        Begun::GaveWay => return Err(RequestError::GaveWay),
        Begun::TooMany => return Err(RequestError::TooManyCommands),
    }
    match (is_get, head.uri.path()) {
        (true, "/status") => json(&status::status(&inner)),
        (true, "/tail") => {
            let last = query.get("last").map_or(Ok(0), |last| last.parse());
            let last = last.map_err(|_| RequestError::InvalidMax)?;
            Ok(Answer::Lines(tail::lines(&inner, last).await))
        }
        (true, "/refused") => json(&refused::list(&inner, query.get("source").as_deref())?),
        (true, "/explain") => {
            let id = query.get("id").unwrap_or_default();
            json(&explain::explain(&inner, &id, query.get("data").is_some()).await?)
        }
        (true, "/events") => {
            json(&events::events(&inner, Asked::read(|name| query.get(name))?).await?)
        }
        (true, "/data") => {
            let id = query.get("id").unwrap_or_default();
            Ok(Answer::Whole(Some(events::data(&inner, &id).await?)))
        }
        (true, "/dead") => {
            let max = query.get("max").map_or(Ok(PAGE_MAX), |max| max.parse());
            let max = max.map_err(|_| RequestError::InvalidMax)?;
            json(&dead::list(&inner, query.get("target").as_deref(), max).await?)
        }
        (false, "/dead/replay") => json(&dead::replay(&inner, read(&body)?).await?),
        (false, "/dead/drop") => json(&dead::discard(&inner, read(&body)?).await?),
        (false, "/drop") => json(&waiting::discard(&inner, read(&body)?).await?),
        (false, "/move") => json(&waiting::relocate(&inner, read(&body)?).await?),
        (false, "/retry") => json(&retry::retry(&inner, read(&body)?).await?),
        (false, "/pause") => json(&hold::pause(&inner, read(&body)?).await?),
        (false, "/resume") => json(&hold::resume(&inner, read(&body)?).await?),
        (false, "/reload") => json(&reload(inner, query.get("allow_empty").is_some()).await?),
        (_, path) => Err(RequestError::UnknownPath {
            method: head.method.to_string(),
            path: path.to_owned(),
        }),
    }
}

/// Runs on a thread for blocking work, because it reads files and loads plugins.
async fn reload(inner: Arc<Inner>, allow_empty: bool) -> Result<Reload, RequestError> {
    let reloaded = tokio::task::spawn_blocking(move || inner.host.reload(allow_empty)).await;
    reloaded.ok().flatten().ok_or(RequestError::Stopping)
}

/// Names and values of a query.
struct Query<'a>(&'a str);

impl<'a> Query<'a> {
    /// The value of that name, unless it is empty.
    fn get(&self, name: &str) -> Option<Cow<'a, str>> {
        let mut pairs = form_urlencoded::parse(self.0.as_bytes());
        pairs.find(|(n, v)| n == name && !v.is_empty()).map(|(_, value)| value)
    }
}

fn json<T: Serialize>(answer: &T) -> Answered {
    let bytes = serde_json::to_vec(answer).map_err(RequestError::Answer)?;
    Ok(Answer::Whole(Some(bytes.into())))
}

/// The whole body of a request.
async fn whole(body: Incoming) -> Result<Bytes, RequestError> {
    let whole = Limited::new(body, BODY_BYTES_MAX).collect();
    let whole = tokio::time::timeout(BODY_TIMEOUT, whole)
        .await
        .map_err(|_| RequestError::BodyTimeout)?
        .map_err(|error| RequestError::Body { reason: error.to_string() })?;
    Ok(whole.to_bytes())
}

fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, RequestError> {
    serde_json::from_slice(body).map_err(RequestError::InvalidBody)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_a_query_are_decoded_and_empty_ones_ignored() {
        let query = Query("target=sms/%2B336+%26_&id=&max=5");
        assert_eq!(query.get("target").as_deref(), Some("sms/+336 &_"));
        assert_eq!(query.get("max").as_deref(), Some("5"));
        assert!(query.get("id").is_none() && query.get("data").is_none());
    }
}
