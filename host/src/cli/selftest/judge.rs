//! Reads what reached the targets' logs, and compares it with what was acknowledged.
//!
//! A log is read once, from front to end, as it grows: a line counts when its end is there. In memory
//! stay two bits for each event and target.

use std::fs::File;
use std::io::{self, BufRead, BufReader, ErrorKind, Read as _, Seek as _, SeekFrom};
use std::path::PathBuf;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::event;
use super::numbers::Numbers;

/// Longest line of a log; ours are far shorter.
const LINE_BYTES_MAX: u64 = 1024 * 1024;
/// Most lines of what was never sent that are shown.
const STRANGE_MAX: usize = 5;
/// Of each of these so many bytes.
const STRANGE_BYTES_MAX: usize = 200;

/// One target's log.
#[derive(Debug)]
pub(super) struct Log {
    pub(super) target: &'static str,
    pub(super) path: PathBuf,
    offset: u64,
    pub(super) delivered: Numbers,
    /// Delivered more than once.
    pub(super) repeated: Numbers,
    /// Lines that are no JSON: the daemon died while they were written.
    pub(super) torn: u64,
    /// Lines with what was never sent, or not so.
    pub(super) strange: u64,
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
            delivered: Numbers::default(),
            repeated: Numbers::default(),
            torn: 0,
            strange: 0,
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
            self.judge(seed, next, &line);
        }
    }

    fn judge(&mut self, seed: u64, next: u64, line: &[u8]) {
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
                self.strange += 1;
                if self.examples.len() < STRANGE_MAX {
                    let shown = &line[..line.len().min(STRANGE_BYTES_MAX)];
                    self.examples.push(String::from_utf8_lossy(shown).trim_end().to_owned());
                }
            }
        }
    }

    /// Acknowledged events that are not in it.
    pub(super) fn lacks<'a>(&'a self, acknowledged: &'a Numbers) -> impl Iterator<Item = u64> + 'a {
        acknowledged.without(&self.delivered)
    }
}

/// Reads all logs on; gives how many new lines there were.
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

    fn acknowledged(numbers: &[u64]) -> Numbers {
        let mut set = Numbers::default();
        numbers.iter().for_each(|number| {
            set.insert(*number);
        });
        set
    }

    #[test]
    fn it_tells_lost_repeated_torn_and_strange_apart() {
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
        assert_eq!(log.lacks(&all).collect::<Vec<_>>(), [2, 3]);
        assert_eq!((log.torn, log.strange, log.repeated.len()), (1, 2, 1));
        assert!(log.examples[1].contains(&event::id(9)), "{:?}", log.examples);
        // The half line is whole now, and what was lost has come.
        file.write_all(&whole.as_bytes()[50..]).unwrap();
        file.write_all(line(2).as_bytes()).unwrap();
        assert_eq!(log.read_on(SEED, 5).unwrap(), 2);
        assert_eq!(log.lacks(&all).count(), 0);
        assert_eq!((log.delivered.len(), log.torn, log.strange), (4, 1, 2));
    }
}
