//! Attackers: many connections that send slowly, and come back at once when they are closed.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::runtime::Runtime;

use super::wait_for;

/// What each attacker does.
#[derive(Clone, Debug)]
pub(crate) struct Attack {
    pub(crate) attackers: usize,
    /// How many addresses they have, of 127.0.0.0/8.
    pub(crate) addresses: usize,
    /// Sent at once. `{n}` is replaced by a number from 1 to 250, another one for each of so many attackers.
    pub(crate) begin: String,
    /// Sent after that, again and again.
    pub(crate) piece: &'static str,
    pub(crate) every: Duration,
}

/// An attack that is under way; ends when dropped.
pub(crate) struct Attackers {
    runtime: Option<Runtime>,
    opened: Arc<AtomicUsize>,
}

impl Attack {
    /// Starts the attack, and waits until there were as many connections as attackers.
    pub(crate) fn start(&self, target: SocketAddr) -> Attackers {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let opened = Arc::new(AtomicUsize::new(0));
        for number in 0..self.attackers {
            let (attack, opened) = (self.clone(), Arc::clone(&opened));
            runtime.spawn(async move {
                loop {
                    // Fails when the daemon closes it.
                    let _ = attack.connection(number, target, &opened).await;
                }
            });
        }
        let attackers = Attackers { runtime: Some(runtime), opened };
        wait_for("the attackers", || (attackers.opened() >= self.attackers).then_some(()));
        attackers
    }

    async fn connection(
        &self,
        number: usize,
        target: SocketAddr,
        opened: &AtomicUsize,
    ) -> io::Result<()> {
        let socket = TcpSocket::new_v4()?;
        let last = u8::try_from(2 + number % self.addresses).unwrap_or(1);
        socket.bind(SocketAddr::from(([127, 0, 0, last], 0)))?;
        let mut stream: TcpStream = socket.connect(target).await?;
        let begin = self.begin.replace("{n}", &(1 + number % 250).to_string());
        stream.write_all(begin.as_bytes()).await?;
        opened.fetch_add(1, Ordering::Relaxed);
        let (mut ticks, mut answer) = (tokio::time::interval(self.every), [0; 1024]);
        ticks.tick().await;
        loop {
            tokio::select! {
                read = stream.read(&mut answer) => if read? == 0 { return Ok(()) },
                _ = ticks.tick() => stream.write_all(self.piece.as_bytes()).await?,
            }
        }
    }
}

impl Attackers {
    /// How many connections there have been.
    pub(crate) fn opened(&self) -> usize {
        self.opened.load(Ordering::Relaxed)
    }
}

impl Drop for Attackers {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}
