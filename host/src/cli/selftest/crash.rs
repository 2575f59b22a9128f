//! `dispatcher selftest crash`: kills a daemon many times, and proves that no acknowledged event is lost.
//!
//! Each round starts the daemon, loads it from several connections and kills it with SIGKILL at a random
//! moment. Some rounds kill it again while it starts, some delete its index while it is down. One of its two
//! targets waits for the disk at each event, so that deliveries are pending at each kill. At the end the
//! backlog is delivered, and the logs of the targets are compared with what was acknowledged.
//!
//! SIGKILL ends the process, not the machine: the kernel still writes what it has. Power cuts are tested in
//! `tests/scenarios/power.rs`.

use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::signal::unix::{SignalKind, signal};
use tokio::time::sleep;

use super::load::{Load, Sent};
use super::report::{self, Figures};
use super::target_log::{self, Log};
use crate::admin::wire;
use crate::cli::exit::Failure;
use crate::cli::out;
use crate::cli::testbed::{DaemonFolder, Scratch, Server, generated_secret, sqreen};
use crate::model::Secret;

const ROUNDS_MAX: i64 = 10_000;
const CONNECTIONS_MAX: i64 = 256;
/// Longest load of a round.
const SECONDS_MAX: f64 = 600.0;
/// Shortest.
const SECONDS_MIN: f64 = 0.05;
/// Longest wait until the daemon listens, which may have to rebuild its index first.
const START_PATIENCE: Duration = Duration::from_secs(300);
/// Longest time without any delivery at the end.
const DRAIN_PATIENCE: Duration = Duration::from_secs(60);
/// Pause between two looks at the backlog.
const DRAIN_LOOK: Duration = Duration::from_millis(200);
/// How often the backlog is shown.
const DRAIN_SHOWN_EVERY: Duration = Duration::from_secs(5);
/// One of this many rounds kills the daemon while it starts; round 2 always does.
const START_KILL_EVERY: u32 = 3;
/// One of this many rounds deletes the index; round 3 always does.
const INDEX_DELETION_EVERY: u32 = 8;

/// A target that takes one event a call and waits for the disk each time.
const SLOW: &str = "batch.max = 1\nconcurrency = 1\nsettings.sync = true";

/// Kill a daemon many times; prove that nothing is lost
///
/// Starts this program as a daemon in a temporary folder, sends it signed events over several
/// connections, kills it with SIGKILL at random moments, some during a start, and sometimes deletes
/// its index before the next start. At the end every event that was answered with 200 must be in the
/// log of each of two targets, byte for byte. The last line says `N acknowledged, N delivered, 0 lost`.
/// If events are lost, the first are named, the folder is kept, and the exit code is 1.
#[derive(Clone, Debug, clap::Args)]
pub(in crate::cli) struct CrashArgs {
    /// Rounds; each kills the daemon under load once.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=ROUNDS_MAX))]
    rounds: u32,
    /// Connections that send at the same time.
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..=CONNECTIONS_MAX))]
    connections: u16,
    /// Longest time that a round sends events before the kill.
    #[arg(long, value_name = "SECONDS", default_value = "1", value_parser = seconds)]
    seconds_per_round: Duration,
    /// Where to make the daemon's folder: on the disk to be tested. Default: the temporary folder.
    #[arg(long, value_name = "FOLDER")]
    directory: Option<PathBuf>,
    /// Chooses what happens in each round. The timing inside the daemon still differs.
    #[arg(long, value_name = "NUMBER")]
    seed: Option<u64>,
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds = text.parse().ok().filter(|s| (SECONDS_MIN..=SECONDS_MAX).contains(s));
    let wrong = || format!("write a number from {SECONDS_MIN} to {SECONDS_MAX}, such as 0.5");
    seconds.map(Duration::from_secs_f64).ok_or_else(wrong)
}

/// Runs it; returns whether nothing was lost.
pub(super) fn run(args: &CrashArgs) -> Result<bool, Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let mut home = Scratch::new(args.directory.as_deref(), "selftest")?;
    let mut run = Run::new(args, &home)?;
    let outcome = runtime.block_on(async {
        let (mut term, mut int) =
            (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        // Dropping the run ends its daemon and its senders.
        tokio::select! {
            // Ctrl-C of a terminal also ends the daemon, which must not count as a failure.
            biased;
            _ = term.recv() => Ok(None),
            _ = int.recv() => Ok(None),
            kept = run.play() => kept.map(Some),
        }
    });
    match outcome {
        Ok(Some(true)) => Ok(true),
        Ok(None) => {
            Err(Failure::new("interrupted: nothing is proven; the daemon's folder was removed"))
        }
        Ok(Some(false)) => {
            home.keep();
            out::error(&format!("the daemon's folder is kept: {}", home.path().display()));
            Ok(false)
        }
        Err(failure) => {
            home.keep();
            let home = home.path().display();
            Err(Failure {
                text: format!("{}\nthe daemon's folder is kept: {home}", failure.text),
                ..failure
            })
        }
    }
}

struct Run<'a> {
    args: &'a CrashArgs,
    random: fastrand::Rng,
    folder: DaemonFolder,
    load: Load,
    logs: Vec<Log>,
    figures: Figures,
    /// Duration of the last start: the next one may be killed within this time.
    last_start: Duration,
}

impl<'a> Run<'a> {
    fn new(args: &'a CrashArgs, home: &Scratch) -> io::Result<Self> {
        let seed = args.seed.unwrap_or_else(|| fastrand::u64(..));
        let secret = generated_secret()?;
        let folder = DaemonFolder::new(&home.path().join("home"), &configuration(SLOW), &secret)?;
        folder.check()?;
        let logs = folder.path().join("logs");
        out::line(&format!(
            "seed {seed}, {} connections, up to {:.2} s a round, files in {}",
            args.connections,
            args.seconds_per_round.as_secs_f64(),
            home.path().display()
        ));
        Ok(Self {
            args,
            random: fastrand::Rng::with_seed(seed),
            folder,
            load: Load {
                seed,
                scheme: sqreen()?,
                secret: Secret::new(secret.as_str()),
                sent: Arc::new(Mutex::new(Sent::default())),
            },
            logs: ["fast", "slow"]
                .map(|name| Log::new(name, logs.join(format!("{name}.jsonl"))))
                .into(),
            figures: Figures::default(),
            last_start: Duration::ZERO,
        })
    }

    /// All rounds, then the drain and the comparison.
    async fn play(&mut self) -> Result<bool, Failure> {
        let mut rebuilds = false;
        for round in 1..=self.args.rounds {
            rebuilds = self.round(round, rebuilds).await?;
        }
        self.drain(rebuilds).await?;
        let sent = self.load.sent.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(report::print(&mut self.figures, &sent, &self.logs))
    }

    /// One round; returns whether the next start has to rebuild the index.
    async fn round(&mut self, round: u32, rebuilds: bool) -> Result<bool, Failure> {
        let (server, started) = self.start(rebuilds).await?;
        let ran = self.args.seconds_per_round.mul_f64(0.1 + 0.9 * self.random.f64());
        self.load_and_kill(server, ran).await?;
        self.figures.rounds += 1;
        self.figures.killed_under_load += 1;
        let index_deleted = round == 3 || self.random.u32(..INDEX_DELETION_EVERY) == 0;
        if index_deleted {
            std::fs::remove_dir_all(self.folder.path().join("data/index"))?;
            self.figures.index_deleted += 1;
        }
        let mut killed_at_start = false;
        if round == 2 || self.random.u32(..START_KILL_EVERY) == 0 {
            let moment = self.last_start.mul_f64(self.random.f64());
            killed_at_start = self.kill_at_start(moment).await?;
            self.figures.killed_at_start += u32::from(killed_at_start);
            self.figures.killed_after_start += u32::from(!killed_at_start);
        }
        let (next, acknowledged) = self.load.sent(|sent| (sent.next, sent.acknowledged.len()));
        target_log::read_on(&mut self.logs, self.load.seed, next)?;
        let mut line = format!(
            "round {round:>3}  started in {:>4} ms, killed after {:>5} ms, {acknowledged:>8} acknowledged so far",
            started.as_millis(),
            ran.as_millis()
        );
        for (happened, what) in
            [(index_deleted, "index deleted"), (killed_at_start, "killed while it started")]
        {
            if happened {
                line.push_str(", ");
                line.push_str(what);
            }
        }
        out::line(&line);
        // A start that was killed may not have finished the rebuild.
        Ok(index_deleted)
    }

    /// Starts the daemon and records how long that took.
    async fn start(&mut self, rebuilds: bool) -> Result<(Server, Duration), Failure> {
        let began = Instant::now();
        let server = self.folder.launch()?.listening(START_PATIENCE).await?;
        let took = began.elapsed();
        self.last_start = took;
        let times = if rebuilds { &mut self.figures.rebuilds } else { &mut self.figures.starts };
        times.push(took);
        Ok((server, took))
    }

    async fn load_and_kill(&mut self, mut server: Server, ran: Duration) -> Result<(), Failure> {
        let senders = self.load.start(server.address(), self.args.connections);
        // The moment of the kill is random; there is nothing to wait for.
        sleep(ran).await;
        if let Some(status) = server.ended()? {
            let log = self.folder.log();
            let text = format!("the daemon ended by itself with {status}; see {}", log.display());
            return Err(Failure::new(text));
        }
        server.kill();
        senders.join_all().await;
        match self.load.sent(|sent| sent.wrong) {
            None => Ok(()),
            Some(status) => {
                Err(Failure::new(format!("the daemon answered {status} to a signed request")))
            }
        }
    }

    /// Starts the daemon and kills it after `moment`; returns whether it did not listen yet.
    async fn kill_at_start(&self, moment: Duration) -> Result<bool, Failure> {
        let launched = self.folder.launch()?;
        sleep(moment).await;
        Ok(launched.kill()?)
    }

    /// Starts the daemon without the slow target's limits, and waits until nothing is pending.
    async fn drain(&mut self, rebuilds: bool) -> Result<(), Failure> {
        self.folder.configure(&configuration(""))?;
        let (mut server, started) = self.start(rebuilds).await?;
        let next = self.load.sent(|sent| sent.next);
        let (mut moved, mut waited) = (Instant::now(), u64::MAX);
        let mut shown: Option<Instant> = None;
        loop {
            let status = status(&self.folder).await?;
            let waits = status.targets.iter().map(|target| target.pending).sum();
            if shown.is_none_or(|shown| shown.elapsed() > DRAIN_SHOWN_EVERY) {
                let ms = started.as_millis();
                out::line(&format!("last start took {ms} ms, {waits} deliveries wait"));
                shown = Some(Instant::now());
            }
            let lines = target_log::read_on(&mut self.logs, self.load.seed, next)?;
            if waits == 0 {
                break;
            }
            if lines > 0 || waits < waited {
                (moved, waited) = (Instant::now(), waits);
            } else if moved.elapsed() > DRAIN_PATIENCE {
                let (patience, state) = (DRAIN_PATIENCE.as_secs(), status.state);
                out::line(&format!(
                    "wrong: {waits} deliveries wait, and none was delivered for {patience} s: {state}"
                ));
                break;
            }
            sleep(DRAIN_LOOK).await;
        }
        server.kill();
        target_log::read_on(&mut self.logs, self.load.seed, next)?;
        Ok(())
    }
}

/// Asks the daemon of that folder for its status.
async fn status(folder: &DaemonFolder) -> Result<wire::Status, Failure> {
    let folder = folder.clone();
    let asked = tokio::task::spawn_blocking(move || folder.status());
    Ok(asked.await.map_err(Failure::new)??)
}

/// Two logs; `slow` are further lines for the second one.
fn configuration(slow: &str) -> String {
    format!(
        r#"[server]
listen = "127.0.0.1:0"

# The test must not depend on the free space of this machine.
[store]
free_low = "0B"
free_min = "0B"

[sources.sqreen]
secrets = "file:secret"

[targets.fast]
plugin = "file-log"
route = {{ sources = ["sqreen"] }}
settings.path = "logs/fast.jsonl"
settings.rotate.size = "off"

[targets.slow]
plugin = "file-log"
route = {{ sources = ["sqreen"] }}
settings.path = "logs/slow.jsonl"
settings.rotate.size = "off"
{slow}
"#
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_round_may_be_short_but_not_empty() {
        assert_eq!(seconds("0.25"), Ok(Duration::from_millis(250)));
        for text in ["0", "-1", "601", "NaN", "inf", "1s", ""] {
            assert!(seconds(text).unwrap_err().contains("such as 0.5"), "{text}");
        }
    }
}
