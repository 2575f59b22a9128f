//! Requests of senders that were refused, and why.

use super::error::RequestError;
use super::status::time;
use super::view::Inner;
use super::wire::Refusal;
use crate::telemetry::{self, NO_SOURCE};

pub(super) fn list(inner: &Inner, source: Option<&str>) -> Result<Vec<Refusal>, RequestError> {
    let view = inner.view();
    let is_known = |name: &str| name == NO_SOURCE || view.sources.iter().any(|s| *s.name == *name);
    if let Some(name) = source.filter(|name| !is_known(name)) {
        return Err(RequestError::UnknownSource {
            name: name.to_owned(),
            configured: configured(inner),
        });
    }
    let all = inner.feed.history().refusals(source);
    Ok(all.into_iter().map(|(source, refusal)| shown(&source, refusal)).collect())
}

/// The names of the configured sources, for an error.
pub(super) fn configured(inner: &Inner) -> String {
    let view = inner.view();
    let names: Vec<_> = view.sources.iter().map(|source| &*source.name).collect();
    names.join(", ")
}

/// The refused request of that id.
pub(super) fn find(inner: &Inner, id: &str) -> Result<Refusal, RequestError> {
    let all = inner.feed.history().refusals(None).into_iter();
    let found = all.rev().find(|(_, refusal)| refusal.request.eq_ignore_ascii_case(id));
    let (source, refusal) =
        found.ok_or_else(|| RequestError::UnknownRequest { id: id.to_owned() })?;
    Ok(shown(&source, refusal))
}

fn shown(source: &str, refusal: telemetry::Refusal) -> Refusal {
    Refusal {
        time: time(refusal.at_ms),
        source: source.to_owned(),
        from: refusal.from,
        status: refusal.status,
        reason: refusal.reason,
        request: refusal.request.to_string(),
    }
}
