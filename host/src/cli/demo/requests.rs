//! The first three checks: two events in one array, a forgery, a repetition.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use ::http::HeaderName;
use tokio::sync::broadcast::Receiver;

use crate::cli::testbed::sqreen;
use crate::cli::{http, out};
use crate::config;
use crate::model::{Secret, Timestamp};
use crate::telemetry::{Note, StoredNote};
use crate::verify;

/// Longest wait for something that should happen at once.
const PATIENCE: Duration = Duration::from_secs(10);

/// Event and target of each delivery, and how long the attempt took.
type Delivered = BTreeMap<(String, Arc<str>), Duration>;

pub(super) struct Checks {
    address: SocketAddr,
    secret: Secret,
    notes: Receiver<Note>,
    /// A delivery may be reported before the answer to its request.
    delivered: Delivered,
}

impl Checks {
    pub(super) fn new(address: SocketAddr, secret: &str, notes: Receiver<Note>) -> Self {
        Self { address, secret: Secret::new(secret), notes, delivered: Delivered::new() }
    }

    /// Runs the three checks; an entry for each says whether the promise was kept.
    pub(super) async fn run(&mut self) -> io::Result<Vec<bool>> {
        let body = two_events()?;
        let signature = verify::sign_body(sqreen()?, &self.secret, body.as_bytes());
        let kept = vec![
            self.two_events_in_one_array(&body, &signature).await?,
            self.a_forgery(&body, &signature).await?,
            self.a_repetition(&body, &signature).await?,
        ];
        Ok(kept)
    }

    async fn post(&self, body: &str, (name, value): &(HeaderName, String)) -> io::Result<u16> {
        let headers = [("content-type", "application/json"), (name.as_str(), value.as_str())];
        let answer = http::post(self.address, "/sqreen", &headers, body.as_bytes()).await?;
        Ok(answer.status)
    }

    async fn two_events_in_one_array(
        &mut self,
        body: &str,
        signature: &(HeaderName, String),
    ) -> io::Result<bool> {
        out::line("\n1  Sqreen posts 2 events in one array");
        let status = self.post(body, signature).await?;
        let Some((verify, store, events)) = self.stored().await else {
            out::line(&format!("   {status}   but NOT stored"));
            return Ok(false);
        };
        out::line(&format!(
            "   {status}   verified {} µs   on disk {} µs   {} events",
            verify.as_micros(),
            store.as_micros(),
            events.len()
        ));
        let delivered = self.deliveries(&events).await;
        let last = events.len() - 1;
        for (at, event) in events.iter().enumerate() {
            let (mark, bar) = if at == last { ("└", " ") } else { ("├", "│") };
            out::line(&format!("   {mark} {}  {:<8}  {}", event.id, event.severity, event.title));
            for target in &event.targets {
                let how = match delivered.get(&(event.id.clone(), target.clone())) {
                    Some(took) => format!("delivered, {:.1} ms", took.as_secs_f64() * 1e3),
                    None => "NOT delivered within 10 s".to_owned(),
                };
                out::line(&format!("   {bar}    {target:<11} {how}"));
            }
            for (target, reason) in &event.unrouted {
                out::line(&format!("   {bar}    {target:<11} not routed: {reason}"));
            }
        }
        let expected: usize = events.iter().map(|event| event.targets.len()).sum();
        Ok(status == 200 && events.len() == 2 && delivered.len() == expected && expected == 3)
    }

    async fn a_forgery(
        &mut self,
        body: &str,
        signature: &(HeaderName, String),
    ) -> io::Result<bool> {
        out::line("\n2  A forger changes one byte");
        let forged = body.replacen("security_event", "security_evenT", 1);
        let status = self.post(&forged, signature).await?;
        let reason = self
            .next_note(|note| match note {
                Note::Refused { reason, .. } => Some(reason),
                _ => None,
            })
            .await;
        let how = reason.as_deref().and_then(|reason| reason.split(';').next());
        out::line(&format!("   {status}   {}; nothing stored", how.unwrap_or("NOT refused")));
        Ok(status == 401 && reason.is_some())
    }

    async fn a_repetition(
        &mut self,
        body: &str,
        signature: &(HeaderName, String),
    ) -> io::Result<bool> {
        out::line("\n3  Sqreen sends the first request again");
        let headers =
            [("content-type", "application/json"), (signature.0.as_str(), signature.1.as_str())];
        let answer = http::post(self.address, "/sqreen", &headers, body.as_bytes()).await?;
        let seen = answer.body.contains("\"duplicates\":2");
        let how = if seen { "duplicates: not delivered again" } else { "NOT recognised" };
        out::line(&format!("   {}   {how}", answer.status));
        Ok(answer.status == 200 && seen)
    }

    async fn stored(&mut self) -> Option<(Duration, Duration, Vec<StoredNote>)> {
        self.next_note(|note| match note {
            Note::Stored { verify, store, events, .. } => Some((verify, store, events)),
            _ => None,
        })
        .await
    }

    /// Waits until every routed delivery is reported.
    async fn deliveries(&mut self, events: &[StoredNote]) -> Delivered {
        let expected: usize = events.iter().map(|event| event.targets.len()).sum();
        while self.delivered.len() < expected {
            let next = self.next_note(|note| matches!(note, Note::Delivered { .. }).then_some(()));
            if next.await.is_none() {
                break;
            }
        }
        std::mem::take(&mut self.delivered)
    }

    /// The first note for which `pick` returns a value; `None` if none came in time.
    async fn next_note<T>(&mut self, pick: impl Fn(Note) -> Option<T>) -> Option<T> {
        tokio::time::timeout(PATIENCE, async {
            loop {
                match self.notes.recv().await {
                    Ok(note) => {
                        if let Note::Delivered { target, event, took, .. } = &note {
                            self.delivered.insert((event.clone(), target.clone()), *took);
                        }
                        if let Some(picked) = pick(note) {
                            return Some(picked);
                        }
                    }
                    Err(_) => return None,
                }
            }
        })
        .await
        .ok()
        .flatten()
    }
}

/// An attack and an incident with fresh ids, as Sqreen sends them: one array.
fn two_events() -> io::Result<String> {
    let now = Timestamp::from(SystemTime::now());
    let elements: Vec<String> = ["sqreen/security_event", "sqreen/http_scan"]
        .iter()
        .map(|name| {
            let (_, sample) = config::vendors::sample(name)
                .ok_or_else(|| io::Error::other(format!("unknown sample {name}")))?;
            let (_, text) =
                sample.with_fresh_ids(|| format!("{:024x}", fastrand::u128(..) >> 32), now);
            Ok(text.trim().trim_start_matches('[').trim_end_matches(']').to_owned())
        })
        .collect::<io::Result<_>>()?;
    Ok(format!("[{}]", elements.join(", ")))
}
