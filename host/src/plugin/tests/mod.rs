//! Loading and calling real plugins, which are beside the test's executable.

mod calls;
mod files;
mod http_target;
mod prism;
mod requests;
mod twilio;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use serde_json::{Value, json};
use tokio::runtime::Handle;
use tokio::time::Instant;

use super::{Catalog, Instance, Invalid, Settings, TargetContext};
use crate::egress;
use crate::model::{
    Attributes, Delivery, EventId, Failure, FailureKind, Headers, Receipt, Secret, Severity,
    StoredEvent, Timestamp, Verdict,
};

const SECRET: &str = "s3cret-token";

fn folder() -> PathBuf {
    std::env::current_exe().unwrap().parent().unwrap().to_owned()
}

fn plugin_file(mode: &str) -> PathBuf {
    folder().join(format!("libdispatcher_test_{mode}.so"))
}

fn settings(directories: &[&Path], cache: &Path) -> Settings {
    let directories = directories.iter().map(|path| (*path).to_owned()).collect();
    Settings { directories, cache: cache.to_owned(), strict: false }
}

/// Copies are named by their content, so all tests can share a folder for them.
fn catalog() -> Catalog {
    let folder = folder();
    Catalog::scan(&settings(&[&folder], &folder.with_file_name("plugin-cache")))
}

fn context(allow: &[&str]) -> TargetContext {
    TargetContext {
        egress: egress::Client::new(&egress::Settings::default()).unwrap(),
        allow: allow.iter().map(|range| range.parse().unwrap()).collect(),
        secrets: vec![Secret::new(SECRET)],
        home: "/srv/home".into(),
        runtime: Handle::current(),
    }
}

fn create(mode: &str, settings: &Value) -> Result<Instance, Invalid> {
    let plugin = catalog().load(&format!("test-{mode}")).unwrap();
    plugin.create("a-target", settings, &context(&["127.0.0.0/8"]))
}

fn acting(act: &str) -> Instance {
    create("each", &json!({ "act": act, "token": SECRET })).unwrap()
}

fn delivery(number: u64, title: &str) -> Delivery {
    let received_at = Timestamp::from_millis(1_612_788_300_363);
    let event = StoredEvent {
        id: EventId::new(received_at, 7, number),
        source: "sqreen".into(),
        received_at,
        headers: Arc::new(Headers::from_iter([("x-request", &b"r1"[..])])),
        attributes: Attributes {
            event_type: "incident".to_owned(),
            subject: None,
            time: Some("2021-02-08".to_owned()),
            title: title.to_owned(),
            severity: Severity::Error,
            link: Some("https://example.org/".to_owned()),
        },
        data: Bytes::from_static(b"{ \"n\": 1 }"),
    };
    Delivery { event: Arc::new(event), attempt: 1, first_attempt_at: None, progress: Vec::new() }
}

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(60)
}

async fn deliver(instance: &Instance) -> Verdict {
    let mut verdicts = instance.deliver(&[delivery(1, "a title")], soon()).await;
    assert_eq!(verdicts.len(), 1);
    verdicts.remove(0)
}

fn receipt(id: &str) -> Verdict {
    Ok(Receipt { id: Some(id.to_owned()), fields: Vec::new() })
}

fn failure(kind: FailureKind, reason: &str) -> Failure {
    Failure::new(kind, reason)
}

/// What this thread logs from now on.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    fn capture() -> (Self, tracing::subscriber::DefaultGuard) {
        /// With a single subscriber, tracing asks the first thread that reaches a log line whether it is enabled,
        /// and caches that for all threads. With two it asks the subscribers each time.
        static SECOND: OnceLock<tracing::Dispatch> = OnceLock::new();
        SECOND.get_or_init(|| tracing_subscriber::fmt().with_writer(std::io::sink).finish().into());
        let log = Self::default();
        let writer = log.clone();
        let subscriber =
            tracing_subscriber::fmt().with_ansi(false).with_writer(move || writer.clone()).finish();
        (log, tracing::subscriber::set_default(subscriber))
    }

    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
