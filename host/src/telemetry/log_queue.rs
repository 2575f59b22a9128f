//! Keeps log lines until a thread of their own has written them, so that a full disk, a closed pipe or a
//! reader that stopped neither delays nor ends the daemon. Lines without room are dropped and counted.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, Write};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// The field of a line with what a plugin gave it: a JSON object as text.
pub const PLUGIN_FIELDS: &str = "plugin_fields";
/// Most lines that wait.
pub const LINES_MAX: usize = 8192;
/// Most bytes that wait; a longer line waits only alone.
pub const BYTES_MAX: usize = 4 << 20;
/// Pause before the next try when a non-blocking output has no room.
const RETRY_PAUSE: Duration = Duration::from_millis(10);

/// The queue of the process.
pub static LOG_QUEUE: LogQueue = LogQueue::new();

/// A bounded queue of lines, each with its line break.
#[derive(Debug)]
pub struct LogQueue {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug)]
struct State {
    /// Whether a thread writes the lines.
    started: bool,
    lines: VecDeque<Box<[u8]>>,
    bytes: usize,
    /// The thread is writing a line that it has taken out.
    writing: bool,
    dropped: Dropped,
}

/// Lines that were not written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Dropped {
    /// Since the start.
    pub all: u64,
    /// Since a line last got through.
    pub unreported: u64,
}

impl Dropped {
    fn count(&mut self) {
        self.all += 1;
        self.unreported += 1;
    }
}

impl LogQueue {
    const fn new() -> Self {
        let dropped = Dropped { all: 0, unreported: 0 };
        let state =
            State { started: false, lines: VecDeque::new(), bytes: 0, writing: false, dropped };
        Self { state: Mutex::new(state), changed: Condvar::new() }
    }

    /// Writes the lines to `output` from now on. `notice` makes the line that says how many were dropped.
    ///
    /// # Errors
    /// The thread cannot be started.
    pub fn start(
        &'static self,
        output: impl Write + Send + 'static,
        notice: impl Fn(u64) -> String + Send + 'static,
    ) -> io::Result<()> {
        let mut output = Output { inner: output, torn: false };
        let write = move || loop {
            self.write_next(&mut output, &notice);
        };
        thread::Builder::new().name("log".to_owned()).spawn(write)?;
        self.lock().started = true;
        Ok(())
    }

    /// Adds a line, or drops it if there is no room. Never waits for the output. Returns `false` if nothing
    /// was started.
    pub fn offer(&self, line: &[u8]) -> bool {
        let mut state = self.lock();
        if !state.started {
            return false;
        }
        let full = state.lines.len() >= LINES_MAX
            || state.bytes.saturating_add(line.len()) > BYTES_MAX && !state.lines.is_empty();
        if full {
            state.dropped.count();
        } else {
            state.bytes += line.len();
            state.lines.push_back(line.into());
            self.changed.notify_all();
        }
        true
    }

    /// Waits until every line is written or lost, at most for `patience`.
    pub fn flush(&self, patience: Duration) {
        let until = Instant::now() + patience;
        let mut state = self.lock();
        while state.started && (state.writing || !state.lines.is_empty()) {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            state =
                self.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    #[must_use]
    pub fn dropped(&self) -> Dropped {
        self.lock().dropped
    }

    fn write_next(&self, output: &mut Output<impl Write>, notice: &impl Fn(u64) -> String) {
        let (line, unreported) = self.take();
        let written = match unreported {
            0 => output.line(&line),
            // In one piece, so that no count is shown without being reported.
            n => output.line(&[notice(n).as_bytes(), &line].concat()),
        };
        let mut state = self.lock();
        state.writing = false;
        match written {
            Ok(()) => state.dropped.unreported -= unreported,
            Err(_) => state.dropped.count(),
        }
        self.changed.notify_all();
    }

    /// Waits for a line.
    fn take(&self) -> (Box<[u8]>, u64) {
        let mut state = self.lock();
        loop {
            if let Some(line) = state.lines.pop_front() {
                state.bytes -= line.len();
                state.writing = true;
                return (line, state.dropped.unreported);
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An output that begins a line of its own after one that was cut off.
struct Output<W> {
    inner: W,
    torn: bool,
}

impl<W: Write> Output<W> {
    fn line(&mut self, line: &[u8]) -> io::Result<()> {
        if self.torn {
            self.all(b"\n")?;
            self.torn = false;
        }
        self.all(line)
    }

    /// Like `write_all`, but waits for a non-blocking output.
    fn all(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        let whole = bytes.len();
        while !bytes.is_empty() {
            match self.inner.write(bytes) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(n) => bytes = &bytes[n..],
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => thread::sleep(RETRY_PAUSE),
                Err(error) => {
                    self.torn |= bytes.len() < whole;
                    return Err(error);
                }
            }
        }
        self.inner.flush()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

    use super::*;

    /// Hands over what it is given, and fails, writes a part or waits as the test says.
    struct Script {
        steps: Receiver<io::Result<usize>>,
        written: SyncSender<Vec<u8>>,
    }

    impl Write for Script {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let n = self.steps.recv().map_err(|_| ErrorKind::BrokenPipe)??.min(bytes.len());
            let _ = self.written.send(bytes[..n].to_vec());
            Ok(n)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn started() -> (&'static LogQueue, SyncSender<io::Result<usize>>, Receiver<Vec<u8>>) {
        let queue: &'static LogQueue = Box::leak(Box::new(LogQueue::new()));
        let (step, steps) = sync_channel(3 * LINES_MAX);
        let (written, seen) = sync_channel(3 * LINES_MAX);
        queue.start(Script { steps, written }, |n| format!("{n} lost\n")).unwrap();
        (queue, step, seen)
    }

    fn full() -> io::Result<usize> {
        Err(ErrorKind::StorageFull.into())
    }

    #[test]
    fn an_output_that_takes_nothing_costs_lines_and_no_time_and_the_next_line_says_how_many() {
        let (queue, step, seen) = started();
        for n in 0..LINES_MAX + 10 {
            assert!(queue.offer(format!("{n}\n").as_bytes()));
        }
        let lost = queue.dropped().all;
        assert!((9..=10).contains(&lost), "{lost}");
        queue.flush(Duration::ZERO);
        for _ in 0..=LINES_MAX {
            step.send(Ok(usize::MAX)).unwrap();
        }
        queue.flush(Duration::from_secs(60));
        let lines: Vec<u8> = seen.try_iter().flatten().collect();
        let text = String::from_utf8(lines).unwrap();
        assert!(text.contains(" lost\n"), "{}", &text[..40]);
        assert_eq!(queue.dropped(), Dropped { all: lost, unreported: 0 });
        let written = text.lines().filter(|line| !line.contains("lost")).count() as u64;
        assert_eq!(written, LINES_MAX as u64 + 10 - lost);
    }

    #[test]
    fn a_line_that_fails_is_counted_and_a_torn_one_does_not_join_the_next() {
        let (queue, step, seen) = started();
        for (line, answers) in [
            ("one\n", vec![full()]),
            ("two\n", vec![Ok(1), full()]),
            ("three\n", vec![full()]),
            ("four\n", vec![Ok(1), Ok(usize::MAX)]),
            ("five\n", vec![Err(ErrorKind::WouldBlock.into()), Ok(2), Ok(2), Ok(usize::MAX)]),
        ] {
            assert!(queue.offer(line.as_bytes()));
            for answer in answers {
                step.send(answer).unwrap();
            }
            queue.flush(Duration::from_secs(60));
        }
        let text: Vec<u8> = seen.try_iter().flatten().collect();
        assert_eq!(String::from_utf8(text).unwrap(), "1\n3 lost\nfour\nfive\n");
        assert_eq!(queue.dropped(), Dropped { all: 3, unreported: 0 });
    }

    #[test]
    fn bytes_are_bounded_but_a_long_line_alone_is_written() {
        let (queue, step, seen) = started();
        let long = vec![b'x'; BYTES_MAX + 1];
        step.send(Ok(usize::MAX)).unwrap();
        assert!(queue.offer(&long));
        queue.flush(Duration::from_secs(60));
        assert_eq!(seen.try_iter().flatten().count(), long.len());
        assert!(queue.offer(b"taken by the writer, which waits\n"));
        assert!(queue.offer(&long[..BYTES_MAX]));
        assert!(queue.offer(&long[..BYTES_MAX]));
        assert!(queue.offer(&long[..BYTES_MAX]));
        assert!(queue.dropped().all >= 1);
    }

    #[test]
    fn without_a_writer_nothing_is_taken() {
        let queue = LogQueue::new();
        assert!(!queue.offer(b"x\n"));
        queue.flush(Duration::from_secs(60));
    }
}
