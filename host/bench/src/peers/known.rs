//! The other programs: their packages and the smallest configuration with which each does its main job.
//!
//! Each checks the signature if it can. None writes to disk before it answers, because none offers that.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::Path;

use crate::request::Shape;
use crate::servers::SECRET;

/// Processes of gunicorn, and threads of each, which keep connections open.
const WORKERS: &str = "4";
const THREADS: &str = "8";

/// How to start one and load it.
pub(super) struct Known {
    pub(super) name: &'static str,
    /// Names in Debian.
    pub(super) packages: &'static str,
    pub(super) program: &'static str,
    /// Where the load posts.
    pub(super) path: &'static str,
    pub(super) shape: Shape,
    pub(super) does: &'static str,
    /// Writes its configuration and gives its arguments.
    pub(super) prepare: fn(&Site<'_>) -> io::Result<Vec<String>>,
    /// It can forward events to the sink.
    pub(super) forwards: bool,
}

pub(super) struct Site<'a> {
    pub(super) folder: &'a Path,
    pub(super) port: u16,
    /// Where it forwards events to, if anywhere.
    pub(super) sink: Option<SocketAddr>,
}

pub(super) const KNOWN: [Known; 3] = [
    Known {
        name: "adnanh/webhook",
        packages: "webhook",
        program: "webhook",
        path: "/hooks/bench",
        shape: Shape::Sqreen,
        does: "checks the HMAC, runs nothing",
        prepare: webhook,
        forwards: true,
    },
    Known {
        name: "Alertmanager",
        packages: "prometheus-alertmanager",
        program: "prometheus-alertmanager",
        path: "/api/v2/alerts",
        shape: Shape::Alert,
        does: "keeps alerts in memory",
        prepare: alertmanager,
        forwards: true,
    },
    Known {
        name: "Flask, gunicorn",
        packages: "python3-flask gunicorn",
        program: "gunicorn",
        path: "/sqreen",
        shape: Shape::Sqreen,
        does: "checks the HMAC, appends to a file",
        prepare: flask,
        forwards: false,
    },
];

fn texts(arguments: &[&str]) -> Vec<String> {
    arguments.iter().map(|text| (*text).to_owned()).collect()
}

/// A request with a valid signature runs a command. Without a sink nothing must run: a second condition
/// is never true, and the answer is 200 all the same.
fn webhook(site: &Site<'_>) -> io::Result<Vec<String>> {
    let header = |name: &str| serde_json::json!({ "source": "header", "name": name });
    let signed = serde_json::json!({ "match": {
        "type": "payload-hmac-sha256", "secret": SECRET, "parameter": header("X-Sqreen-Integrity"),
    }});
    let hook = match site.sink {
        None => {
            let never = serde_json::json!({ "match": {
                "type": "value", "value": "never", "parameter": header("X-Never"),
            }});
            serde_json::json!([{
                "id": "bench", "execute-command": "/bin/true", "trigger-rule": { "and": [signed, never] },
            }])
        }
        Some(sink) => {
            let argument = |text: &str| serde_json::json!({ "source": "string", "name": text });
            let url = format!("http://{sink}/");
            let arguments: Vec<_> =
                ["-s", "-m", "5", "-X", "POST", "-d", "{}", &url].map(argument).to_vec();
            serde_json::json!([{
                "id": "bench", "execute-command": "curl", "pass-arguments-to-command": arguments,
                "trigger-rule": signed,
            }])
        }
    };
    let file = site.folder.join("hooks.json");
    fs::write(&file, hook.to_string())?;
    let port = site.port.to_string();
    Ok(texts(&["-hooks", &file.to_string_lossy(), "-ip", "127.0.0.1", "-port", &port]))
}

fn alertmanager(site: &Site<'_>) -> io::Result<Vec<String>> {
    let receiver = match site.sink {
        None => String::new(),
        Some(sink) => {
            format!("\n    webhook_configs: [{{ url: \"http://{sink}/\", send_resolved: false }}]")
        }
    };
    let file = site.folder.join("alertmanager.yml");
    fs::write(
        &file,
        format!(
            "route:\n  receiver: all\n  group_by: ['...']\n  group_wait: 100ms\n\
             receivers:\n  - name: all{receiver}\n"
        ),
    )?;
    Ok(vec![
        format!("--config.file={}", file.display()),
        format!("--storage.path={}", site.folder.join("data").display()),
        format!("--web.listen-address=127.0.0.1:{}", site.port),
        "--cluster.listen-address=".to_owned(),
        "--log.level=error".to_owned(),
    ])
}

fn flask(site: &Site<'_>) -> io::Result<Vec<String>> {
    let app = format!(
        r#"import hashlib, hmac
from flask import Flask, abort, request

app = Flask(__name__)
log = open("events.jsonl", "ab", buffering=0)


@app.post("/sqreen")
def take():
    body = request.get_data()
    expected = hmac.new(b"{SECRET}", body, hashlib.sha256).hexdigest()
    if not hmac.compare_digest(expected, request.headers.get("x-sqreen-integrity", "")):
        abort(401)
    log.write(body + b"\n")
    return {{"accepted": 1}}
"#
    );
    fs::write(site.folder.join("app.py"), app)?;
    let bind = format!("127.0.0.1:{}", site.port);
    let (class, level) = ("gthread", "error");
    Ok(texts(&[
        "--workers",
        WORKERS,
        "--worker-class",
        class,
        "--threads",
        THREADS,
        "--bind",
        &bind,
        "--log-level",
        level,
        "app:app",
    ]))
}
