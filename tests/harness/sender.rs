//! Acts as Sqreen: bodies, signatures, and many requests at once.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use super::{Client, SECRET};

/// The value of `X-Sqreen-Integrity`.
pub(crate) fn signature(secret: &str, body: &[u8]) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
    mac.update(body);
    mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A security event of format 2, identified by its `message_id`.
pub(crate) fn event(id: &str) -> String {
    format!(
        r#"{{"message_id":"{id}","api_version":"2","date_created":"2021-02-08T12:45:00.363713+00:00","message_type":"security_event","retry_count":0,"message":{{"application_name":"shop","environment":"production","event_id":"event of {id}","event_category":"http_error","event_kind":"waf","risk":60,"date_occurred":"2021-02-08T12:44:59.000000+00:00","humanized_description":"Attack {id} from 203.0.113.9","event_url":"https://my.sqreen.com/application/x/events/{id}","ips":[{{"address":"203.0.113.9","is_tor":false,"date_resolved":"2021-02-08T12:44:59.500000+00:00"}}]}}}}"#
    )
}

/// A body with one event per id.
pub(crate) fn body<S: AsRef<str>>(ids: &[S]) -> Vec<u8> {
    let events: Vec<String> = ids.iter().map(|id| event(id.as_ref())).collect();
    format!("[{}]", events.join(",")).into_bytes()
}

/// `count` ids with the same prefix.
pub(crate) fn events(prefix: &str, count: usize) -> Vec<String> {
    (0..count).map(|index| format!("{prefix}-{index:05}")).collect()
}

/// The results of posting ids.
#[derive(Debug, Default)]
pub(crate) struct Posted {
    /// Answered with 200.
    pub(crate) acknowledged: Vec<String>,
    /// How often each other status was answered.
    pub(crate) refused: HashMap<u16, usize>,
    /// Not posted or not answered: the daemon was down.
    pub(crate) unanswered: Vec<String>,
}

/// Posts ids over several connections at once, `per_request` in each request, until all are posted or
/// the daemon is down. `progress` counts the acknowledged ids meanwhile.
pub(crate) fn post_all(
    address: SocketAddr,
    ids: &[String],
    per_request: usize,
    connections: usize,
    progress: &AtomicUsize,
) -> Posted {
    let requests = Mutex::new(ids.chunks(per_request));
    let posted = Mutex::new(Posted::default());
    std::thread::scope(|scope| {
        for _ in 0..connections {
            scope.spawn(|| {
                let mut client = Client::connect(address).ok();
                loop {
                    let Some(ids) = requests.lock().unwrap().next() else { return };
                    let body = body(ids);
                    let signature = signature(SECRET, &body);
                    let headers = [("x-sqreen-integrity", signature.as_bytes())];
                    let send = |c: &mut Client| c.send("POST", "/sqreen", &headers, &body).ok();
                    let answer = client.as_mut().and_then(send);
                    let mut posted = posted.lock().unwrap();
                    match answer {
                        Some(answer) if answer.status == 200 => {
                            progress.fetch_add(ids.len(), Ordering::Relaxed);
                            posted.acknowledged.extend_from_slice(ids);
                        }
                        Some(answer) => *posted.refused.entry(answer.status).or_default() += 1,
                        None => {
                            client = None;
                            posted.unanswered.extend_from_slice(ids);
                        }
                    }
                }
            });
        }
    });
    posted.into_inner().unwrap()
}
