//! Tries a plugin file in processes of its own before this process loads it: damage that no check of the file
//! finds ends those, and not the daemon. First they load the file and let it describe itself; later they create a
//! target with each of the settings that the file gets.
//!
//! Memory is laid out differently in each process, and damaged code may survive by luck, mostly because new memory is
//! zero. So a file must pass several times, with memory as a process finds it that runs for long: [`USED_MEMORY`]. What no trial runs, such as the code that delivers, is not proven.
//!
//! What was proven is remembered for the run only: a disk may damage a file while no process watches.

use std::collections::HashSet;
use std::io::{self, Read, Write};
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::sync::{LazyLock, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use sha2::{Digest as _, Sha256};

use super::sanitize::one_line;
use super::settings::PROBLEM_BYTES_MAX;

/// The program and arguments that call [`try_file`](super::try_file()) with the path that follows them.
type Tryer = &'static [&'static str];

/// What each process that tries a file finds in memory that was used before: all try it at the same time. glibc gives
/// memory out with the complement of each byte; that of 0xff would be zeros, as new memory is anyway.
const USED_MEMORY: [u8; 4] = [0, 0x01, 0x7f, 0xfe];
/// The variable of glibc that fills memory which is given out or back.
pub(super) const PERTURB: &str = "MALLOC_PERTURB_";
/// How long a file may take to be loaded, to describe itself and to create a target.
pub(super) const TIME_MAX: Duration = Duration::from_secs(10);
/// How often to look whether the process has ended.
const LOOK_EVERY: Duration = Duration::from_millis(2);
/// Most settings that one process gets, in bytes; more are given to several, except for one that is longer.
const INPUT_BYTES_MAX: usize = 1024 * 1024;
/// The input without settings.
const NO_SETTINGS: &str = "[]";
/// How much of what the process writes is quoted.
const QUOTED_BYTES_MAX: u64 = 512;
/// How long its output is waited for once it has ended: a process that the file started may keep the pipes open.
const OUTPUT_TIME_MAX: Duration = Duration::from_secs(1);
/// The exit code of a process that found the file unusable and says why on its output.
pub(super) const REFUSED: i32 = 1;

static TRYER: OnceLock<Tryer> = OnceLock::new();
/// What was proven: hashes of a file alone, and of a file with settings, which may hold secrets.
static PROVEN: LazyLock<Mutex<HashSet<Key>>> = LazyLock::new(Mutex::default);
/// Most of them; then all are forgotten and proven again.
const PROVEN_MAX: usize = 100_000;

type Key = [u8; 32];

/// Why a file is not loaded after the trial.
#[derive(Debug, thiserror::Error)]
pub(super) enum ProofError {
    #[error("it cannot be tried, because no process can be started: {0}")]
    NoProcess(io::Error),
    #[error("the process that tried it cannot be waited for: {0}")]
    Lost(io::Error),
    #[error("{0}")]
    Refused(String),
    #[error(
        "it is damaged: the process that tried it ended by {end}; put a file there that is not{}",
        quoted(.said)
    )]
    Ended { end: String, said: String },
    #[error("it did not load and create a target within {} s{}", TIME_MAX.as_secs(), quoted(.0))]
    Slow(String),
}

/// A plugin that is loaded and not used any more, because a trial with settings failed: one line.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{0}")]
pub struct Damaged(String);

impl Damaged {
    pub(super) fn new(file: &Path, error: &ProofError) -> Self {
        let text = format!("plugin {}: {error}", file.display());
        Self(one_line(&text, PROBLEM_BYTES_MAX))
    }
}

fn quoted(said: &str) -> String {
    if said.is_empty() { String::new() } else { format!(" (it wrote: {said})") }
}

/// From now on every plugin file is tried by this command before it is loaded.
pub fn try_files_with(tryer: Tryer) {
    // Set once, when the program starts.
    let _ = TRYER.set(tryer);
}

/// Tries a file with this hash, unless it was tried before or this process tries none. With settings, each a JSON
/// text, it also creates a target with each of them.
pub(super) fn prove(path: &Path, hash: &str, settings: &[String]) -> Result<(), ProofError> {
    let Some(tryer) = TRYER.get().copied() else { return Ok(()) };
    let keys: Vec<Key> = match settings {
        [] => vec![key(hash, "")],
        settings => settings.iter().map(|settings| key(hash, settings)).collect(),
    };
    let unproven: HashSet<Key> = {
        let proven = proven();
        keys.iter().filter(|key| !proven.contains(*key)).copied().collect()
    };
    if unproven.is_empty() {
        return Ok(());
    }
    let mut waiting =
        settings.iter().zip(&keys).filter(|(_, key)| unproven.contains(*key)).peekable();
    loop {
        let mut some = String::from("[");
        while let Some((settings, _)) = waiting
            .next_if(|(next, _)| some.len() == 1 || some.len() + next.len() < INPUT_BYTES_MAX)
        {
            if some.len() > 1 {
                some.push(',');
            }
            some.push_str(settings);
        }
        some.push(']');
        try_often(tryer, path, &some)?;
        if waiting.peek().is_none() {
            break;
        }
    }
    let mut proven = proven();
    if proven.len() > PROVEN_MAX {
        proven.clear();
    }
    proven.extend(unproven);
    Ok(())
}

fn proven() -> MutexGuard<'static, HashSet<Key>> {
    PROVEN.lock().unwrap_or_else(PoisonError::into_inner)
}

fn key(hash: &str, settings: &str) -> Key {
    Sha256::new().chain_update(hash).chain_update([0]).chain_update(settings).finalize().into()
}

/// All at once; the first failure counts.
fn try_often(tryer: Tryer, path: &Path, input: &str) -> Result<(), ProofError> {
    std::thread::scope(|scope| {
        let trials: Vec<_> =
            USED_MEMORY.map(|fill| scope.spawn(move || try_once(tryer, path, input, fill))).into();
        let outcomes = trials.into_iter().map(|trial| {
            let lost = |_| Err(ProofError::Lost(io::Error::other("its thread panicked")));
            trial.join().unwrap_or_else(lost)
        });
        // Waits for all of them.
        outcomes.collect::<Vec<_>>().into_iter().collect()
    })
}

fn try_once(tryer: Tryer, path: &Path, input: &str, fill: u8) -> Result<(), ProofError> {
    let [program, arguments @ ..] = tryer else { return Ok(()) };
    let mut command = Command::new(program);
    command.args(arguments).arg(path).stdin(Stdio::piped()).env(PERTURB, fill.to_string());
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(ProofError::NoProcess)?;
    give(child.stdin.take(), input.to_owned());
    let (out, err) = (read(child.stdout.take()), read(child.stderr.take()));
    let status = wait(&mut child).map_err(ProofError::Lost)?;
    let said = |output: Receiver<String>| output.recv_timeout(OUTPUT_TIME_MAX).unwrap_or_default();
    let (out, err) = (said(out), said(err));
    // With settings, it may have written secrets.
    let (out, err) = if input == NO_SETTINGS { (out, err) } else { Default::default() };
    match status {
        Some(status) if status.success() => Ok(()),
        Some(status) if status.code() == Some(REFUSED) && !out.is_empty() => {
            Err(ProofError::Refused(out))
        }
        Some(status) => Err(ProofError::Ended { end: end(status), said: err }),
        None => Err(ProofError::Slow(err)),
    }
}

/// Writes the settings. A process that has ended reads none.
fn give(pipe: Option<impl Write + Send + 'static>, settings: String) {
    std::thread::spawn(move || pipe.map(|mut pipe| pipe.write_all(settings.as_bytes())));
}

/// The start of what a process writes. What follows is read too, so that it does not wait.
fn read(pipe: Option<impl Read + Send + 'static>) -> Receiver<String> {
    let (sender, said) = mpsc::sync_channel(1);
    std::thread::spawn(move || {
        let Some(mut pipe) = pipe else { return };
        let mut start = Vec::new();
        // Whatever was read before an error is quoted.
        let _ = pipe.by_ref().take(QUOTED_BYTES_MAX).read_to_end(&mut start);
        // Fails if the output came too late to be quoted.
        let _ = sender.send(String::from_utf8_lossy(&start).trim().to_owned());
        let _ = io::copy(&mut pipe, &mut io::sink());
    });
    said
}

/// `None`: it did not end in time, and was killed.
fn wait(child: &mut Child) -> io::Result<Option<ExitStatus>> {
    let until = Instant::now() + TIME_MAX;
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        if Instant::now() >= until {
            child.kill()?;
            child.wait()?;
            return Ok(None);
        }
        std::thread::sleep(LOOK_EVERY);
    }
}

fn end(status: ExitStatus) -> String {
    let name = |signal| match signal {
        4 => "SIGILL",
        5 => "SIGTRAP",
        6 => "SIGABRT",
        7 => "SIGBUS",
        8 => "SIGFPE",
        11 => "SIGSEGV",
        _ => "a signal",
    };
    match (status.signal(), status.code()) {
        (Some(signal), _) => format!("signal {signal} ({})", name(signal)),
        (None, code) => format!("exit code {}", code.unwrap_or_default()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Damaged code mostly survives in zeros.
    #[test]
    fn only_the_first_process_finds_zeros() {
        let [first, used @ ..] = USED_MEMORY;
        assert_eq!(first, 0);
        for fill in used {
            assert!(fill != 0 && !fill != 0, "{fill}");
        }
    }
}
