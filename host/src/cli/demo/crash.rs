//! The last check: the daemon is killed with `kill -9` under load and started again; every event that had a
//! 200 must be in the log.

use std::collections::BTreeSet;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use tokio::net::TcpStream;

use crate::cli::out;
use crate::cli::testbed::{DaemonFolder, Server, exchange, sqreen};
use crate::model::Secret;
use crate::verify;

/// Requests that the senders would post without the kill.
const REQUESTS: u32 = 500;
/// The daemon is killed after this many answers.
const KILL_AFTER: usize = 200;
/// Senders at the same time.
const SENDERS: u32 = 8;
/// Longest wait for the log to be complete after the restart.
const PATIENCE: Duration = Duration::from_secs(20);

/// Runs the check; returns whether all acknowledged events are in the log.
pub(super) fn run(
    runtime: &tokio::runtime::Runtime,
    folder: &DaemonFolder,
    secret: &str,
) -> io::Result<bool> {
    out::line(&format!("\n4  kill -9 while {REQUESTS} events arrive, start again"));
    let mut server = folder.start()?;
    let acknowledged = runtime.block_on(post_until_killed(&mut server, secret));
    let again = folder.start()?;
    let delivered = wait_for(&folder.path().join("logs/events.jsonl"), &acknowledged);
    drop(again);
    out::line(&format!(
        "   {} were answered with 200; {delivered} of them are in the log",
        acknowledged.len()
    ));
    Ok(delivered == acknowledged.len() && !acknowledged.is_empty())
}

/// Posts from several senders and kills the server meanwhile; returns the acknowledged events.
async fn post_until_killed(server: &mut Server, secret: &str) -> BTreeSet<String> {
    let address = server.address();
    let (answered, mut answers) = tokio::sync::mpsc::channel(REQUESTS as usize);
    for sender in 0..SENDERS {
        let (answered, secret) = (answered.clone(), Secret::new(secret));
        tokio::spawn(async move {
            // The kill ends the connection and with it the sender.
            let _ = post_share(address, sender, &secret, &answered).await;
        });
    }
    drop(answered);
    let mut acknowledged = BTreeSet::new();
    while let Some(name) = answers.recv().await {
        acknowledged.insert(name);
        if acknowledged.len() == KILL_AFTER {
            server.kill();
        }
    }
    acknowledged
}

async fn post_share(
    address: SocketAddr,
    sender: u32,
    secret: &Secret,
    answered: &tokio::sync::mpsc::Sender<String>,
) -> io::Result<()> {
    let mut stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    for n in (sender..REQUESTS).step_by(SENDERS as usize) {
        let name = format!("{n:024x}");
        let body = format!(
            r#"[{{"message_type": "security_event", "message": {{"event_id": "{name}", "humanized_description": "event {n}"}}}}]"#
        );
        let (header, signature) = verify::sign_body(sqreen()?, secret, body.as_bytes());
        let request = format!(
            "POST /sqreen HTTP/1.1\r\nhost: demo\r\n{header}: {signature}\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        if exchange(&mut stream, request.as_bytes()).await?.status == 200 {
            let _ = answered.send(name).await;
        }
    }
    Ok(())
}

/// Counts the events that are in the log, until all are or the time is over.
fn wait_for(log: &Path, events: &BTreeSet<String>) -> usize {
    let until = Instant::now() + PATIENCE;
    loop {
        let text = std::fs::read_to_string(log).unwrap_or_default();
        let found = events.iter().filter(|name| text.contains(name.as_str())).count();
        if found == events.len() || Instant::now() > until {
            return found;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}
