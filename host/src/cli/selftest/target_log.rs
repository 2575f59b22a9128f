//! Reads the logs of the targets and compares them with what was acknowledged.
//!
//! A log is read once as it grows; a line counts once it is complete. Memory: two bits for each event and
//! target.

use std::fs::File;
use std::io::{self, BufRead, BufReader, ErrorKind, Read as _, Seek as _, SeekFrom};
use std::path::PathBuf;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::event;
use super::number_set::NumberSet;

/// Longest line of a log; lines of the selftest are far shorter.
const LINE_BYTES_MAX: u64 = 1024 * 1024;
/// Most unexpected lines that are shown.
const UNEXPECTED_MAX: usize = 5;
/// Bytes that are shown of each.
const UNEXPECTED_BYTES_MAX: usize = 200;

/// One target's log.
#[derive(Debug)]
pub(super) struct Log {
    pub(super) target: &'static str,
    pub(super) path: PathBuf,
    offset: u64,
    pub(super) delivered: NumberSet,
    /// Delivered more than once.
    pub(super) repeated: NumberSet,
    /// Lines that are not JSON: the daemon was killed while it wrote them.
    pub(super) torn: u64,
    /// Lines with something that was not sent, or was sent otherwise.
    pub(super) unexpected: u64,
    /// The first of them.
    pub(super) examples: Vec<String>,
}

#[derive(Deserialize)]
struct Line<'a> {
    #[serde(borrow)]
    data: &'a RawValue,
}

impl Log {
    pub(super) fn new(target: &'static str, path: PathBuf) -> Self {
        Self {
            target,
            path,
            offset: 0,
            delivered: NumberSet::default(),
            repeated: NumberSet::default(),
            torn: 0,
            unexpected: 0,
            examples: Vec::new(),
        }
    }

    /// Reads on to the last whole line; gives how many there were. `next` is the number of the first
    /// event that was not sent.
    fn read_on(&mut self, seed: u64, next: u64) -> io::Result<u64> {
        let mut file = match File::open(&self.path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(0),
            file => file?,
        };
        file.seek(SeekFrom::Start(self.offset))?;
        let end = file.metadata()?.len();
        let mut reader = BufReader::new(file.take(end.saturating_sub(self.offset)));
        let (mut line, mut lines) = (Vec::new(), 0);
        loop {
            line.clear();
            let length = (&mut reader).take(LINE_BYTES_MAX).read_until(b'\n', &mut line)?;
            if line.last() != Some(&b'\n') {
                if length as u64 == LINE_BYTES_MAX {
                    let path = self.path.display();
                    return Err(io::Error::other(format!("{path} has a line without an end")));
                }
                return Ok(lines);
            }
            self.offset += length as u64;
            lines += 1;
            self.check(seed, next, &line);
        }
    }

    fn check(&mut self, seed: u64, next: u64, line: &[u8]) {
        let Ok(parsed) = serde_json::from_slice::<Line<'_>>(line) else {
            self.torn += 1;
            return;
        };
        match event::number(seed, parsed.data.get()).filter(|number| *number < next) {
            Some(number) => {
                if !self.delivered.insert(number) {
                    self.repeated.insert(number);
                }
            }
            None => {
                self.unexpected += 1;
                if self.examples.len() < UNEXPECTED_MAX {
                    let shown = &line[..line.len().min(UNEXPECTED_BYTES_MAX)];
                    self.examples.push(String::from_utf8_lossy(shown).trim_end().to_owned());
                }
            }
        }
    }

    /// Acknowledged events that are not in the log.
    pub(super) fn missing<'a>(
        &'a self,
        acknowledged: &'a NumberSet,
    ) -> impl Iterator<Item = u64> + 'a {
        acknowledged.without(&self.delivered)
    }
}

/// Reads the new lines of all logs; returns how many there were.
pub(super) fn read_on(logs: &mut [Log], seed: u64, next: u64) -> io::Result<u64> {
    logs.iter_mut().try_fold(0, |lines, log| Ok(lines + log.read_on(seed, next)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    const SEED: u64 = 3;

    fn line(number: u64) -> String {
        format!("{{\"specversion\":\"1.0\",\"data\":{}}}\n", event::element(SEED, number))
    }

    fn acknowledged(numbers: &[u64]) -> NumberSet {
        let mut set = NumberSet::default();
        numbers.iter().for_each(|number| {
            set.insert(*number);
        });
        set
    }

    #[test]
    fn lost_repeated_torn_and_unexpected_lines_are_counted() {
        let folder = tempfile::tempdir().unwrap();
        let mut log = Log::new("log", folder.path().join("log"));
        assert_eq!(log.read_on(SEED, 0).unwrap(), 0, "not there yet");
        let mut file = File::create(&log.path).unwrap();
        let whole = line(3);
        let (torn, half) = (&line(2)[..40], &whole[..50]);
        let changed = line(4).replace("event 4", "event 5");
        let text = [&line(0), &line(1), torn, "\n", &line(1), &changed, &line(9), half].concat();
        file.write_all(text.as_bytes()).unwrap();
        assert_eq!(log.read_on(SEED, 5).unwrap(), 6);
        let all = acknowledged(&[0, 1, 2, 3]);
        assert_eq!(log.missing(&all).collect::<Vec<_>>(), [2, 3]);
        assert_eq!((log.torn, log.unexpected, log.repeated.len()), (1, 2, 1));
        assert!(log.examples[1].contains(&event::id(9)), "{:?}", log.examples);
        // The half line is whole now, and what was lost has come.
        file.write_all(&whole.as_bytes()[50..]).unwrap();
        file.write_all(line(2).as_bytes()).unwrap();
        assert_eq!(log.read_on(SEED, 5).unwrap(), 2);
        assert_eq!(log.missing(&all).count(), 0);
        assert_eq!((log.delivered.len(), log.torn, log.unexpected), (4, 1, 2));
    }
}
