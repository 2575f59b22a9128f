//! Finds where each request of a connection begins and ends in the raw bytes, and which one has an ambiguous length.
//!
//! hyper drops `Content-Length` if there is a `Transfer-Encoding`, and merges equal lengths, so both can only be seen
//! in the raw head. A sender may pipeline: then one read brings the end of a body and the next heads. So this follows
//! the bodies too, through chunks and trailers, and the result does not depend on how the bytes are cut. It only has to
//! be right for what hyper accepts: after anything else, and after the ambiguous request, hyper reads no further.

/// The two lengths that hyper takes for too long a head (431), since they mean something else to it, and the one below
/// them that it takes for a length.
const NOT_LENGTHS: [&[u8]; 2] = [b"18446744073709551615", b"18446744073709551614"];
const LONGEST: &[u8] = b"18446744073709551613";

/// Length of the longest line with a length that is accepted, in bytes.
const LENGTH_LINE_BYTES_MAX: usize = 64;
const TRANSFER_ENCODING: &[u8] = b"transfer-encoding:";
const CONTENT_LENGTH: &[u8] = b"content-length:";
/// Most digits of the size of a chunk.
const CHUNK_DIGITS_MAX: usize = 32;
/// A chunk of data ends with a line break.
const CHUNK_END_BYTES: u64 = 2;

/// Where the next byte belongs.
#[derive(Debug, Default, PartialEq, Eq)]
enum At {
    #[default]
    Head,
    /// A body, or the data of a chunk, of which this many bytes are missing.
    Body(u64),
    Chunk(u64),
    ChunkSize,
    Trailers,
    /// The end of what can be followed.
    End,
}

/// The requests of one connection, as their bytes arrive in pieces.
#[derive(Debug)]
pub(super) struct Requests {
    at: At,
    /// The beginning of a line whose end has not arrived.
    begun: [u8; LENGTH_LINE_BYTES_MAX],
    /// How many bytes of that line have arrived, and the last of them.
    begun_bytes: usize,
    begun_end: u8,
    head: Head,
    /// How many heads have ended.
    heads: u64,
    /// The number of the request that must be refused.
    ambiguous: Option<u64>,
    /// The last length was one of [`NOT_LENGTHS`].
    not_a_length: bool,
}

/// The lines of a head that matter.
#[derive(Debug, Default)]
struct Head {
    /// A line that is not empty was read; empty lines before it are allowed.
    started: bool,
    length: Option<u64>,
    chunked: bool,
    ambiguous: bool,
}

impl Default for Requests {
    fn default() -> Self {
        let (begun, head) = ([0; LENGTH_LINE_BYTES_MAX], Head::default());
        let (begun_bytes, begun_end) = (0, 0);
        let (heads, ambiguous, not_a_length) = (0, None, false);
        Self { at: At::Head, begun, begun_bytes, begun_end, head, heads, ambiguous, not_a_length }
    }
}

impl Requests {
    /// Reads the next piece. The number of the request, counted from 1, whose head has two lengths, or both a length
    /// and a transfer encoding, or follows a body whose end is not certain. Nothing behind it is read, and every later
    /// piece gives the same number.
    pub(super) fn read(&mut self, mut bytes: &[u8]) -> Option<u64> {
        while !bytes.is_empty() {
            match &mut self.at {
                At::Body(missing) | At::Chunk(missing) => {
                    let here = usize::try_from(*missing).unwrap_or(usize::MAX).min(bytes.len());
                    *missing -= here as u64;
                    bytes = &bytes[here..];
                    if *missing == 0 {
                        let chunk = matches!(self.at, At::Chunk(_));
                        self.at = if chunk { At::ChunkSize } else { At::Head };
                    }
                }
                At::End => break,
                At::Head | At::ChunkSize | At::Trailers => {
                    let Some(end) = memchr::memchr(b'\n', bytes) else {
                        self.keep(bytes);
                        break;
                    };
                    let line = &bytes[..end];
                    if self.begun_bytes == 0 {
                        self.line(line, end, line.last() == Some(&b'\r'));
                    } else {
                        self.keep(line);
                        let (begun, whole) = (self.begun, std::mem::take(&mut self.begun_bytes));
                        let has_return = self.begun_end == b'\r';
                        self.line(&begun[..whole.min(LENGTH_LINE_BYTES_MAX)], whole, has_return);
                    }
                    bytes = &bytes[end + 1..];
                }
            }
        }
        self.ambiguous
    }

    /// Makes a length that hyper does not take a length that it does, in a piece that was just read: either is far above
    /// every limit, so the request is refused for its length.
    #[cold]
    fn correct(bytes: &mut [u8]) {
        let last =
            NOT_LENGTHS.iter().filter_map(|length| memchr::memmem::rfind(bytes, length)).max();
        if let Some(at) = last {
            bytes[at..at + LONGEST.len()].copy_from_slice(LONGEST);
        }
    }

    /// [`read`](Self::read), after which hyper may read the piece.
    pub(super) fn read_and_correct(&mut self, bytes: &mut [u8]) -> Option<u64> {
        let ambiguous = self.read(bytes);
        if std::mem::take(&mut self.not_a_length) {
            Self::correct(bytes);
        }
        ambiguous
    }

    fn keep(&mut self, bytes: &[u8]) {
        let at = self.begun_bytes.min(LENGTH_LINE_BYTES_MAX);
        let kept = bytes.len().min(LENGTH_LINE_BYTES_MAX - at);
        self.begun[at..][..kept].copy_from_slice(&bytes[..kept]);
        self.begun_bytes = self.begun_bytes.saturating_add(bytes.len());
        self.begun_end = bytes.last().copied().unwrap_or(self.begun_end);
    }

    /// Reads a line, of which the beginning is here, how long it is without its line feed, and whether a carriage
    /// return is before that.
    fn line(&mut self, line: &[u8], line_bytes: usize, has_return: bool) {
        let is_empty = line_bytes == 0 || (line_bytes == 1 && has_return);
        match self.at {
            At::Head if is_empty && self.head.started => self.end_head(),
            At::Head if !is_empty => self.head.line(line, line_bytes),
            // A line feed alone ends a line of a head for hyper, but none between chunks or behind them.
            At::ChunkSize | At::Trailers if !has_return => self.end_uncertain(),
            At::ChunkSize => match chunk_size(line) {
                Some(0) => self.at = At::Trailers,
                Some(bytes) => self.at = At::Chunk(bytes.saturating_add(CHUNK_END_BYTES)),
                None => self.end_uncertain(),
            },
            At::Trailers if is_empty => self.at = At::Head,
            _ => {}
        }
    }

    /// What follows a body whose end is not certain is refused.
    fn end_uncertain(&mut self) {
        self.ambiguous = Some(self.heads + 1);
        self.at = At::End;
    }

    fn end_head(&mut self) {
        self.heads += 1;
        if self.head.ambiguous || (self.head.chunked && self.head.length.is_some()) {
            self.ambiguous = Some(self.heads);
            self.at = At::End;
            return;
        }
        let head = std::mem::take(&mut self.head);
        self.at = match head.length {
            _ if head.chunked => At::ChunkSize,
            None | Some(0) => At::Head,
            Some(bytes) => {
                self.not_a_length |= bytes >= u64::MAX - 1;
                At::Body(bytes)
            }
        };
    }
}

impl Head {
    fn line(&mut self, line: &[u8], line_bytes: usize) {
        match line {
            [b't' | b'T', ..] => self.chunked |= begins_with(line, TRANSFER_ENCODING),
            [b'c' | b'C', ..] if begins_with(line, CONTENT_LENGTH) => {
                // hyper merges equal ones. It refuses what is not a number; a list of numbers is refused later.
                self.ambiguous |= self.length.is_some() || line_bytes > LENGTH_LINE_BYTES_MAX;
                let value = std::str::from_utf8(&line[CONTENT_LENGTH.len()..]).unwrap_or_default();
                self.length = Some(value.trim_ascii().parse().unwrap_or(u64::MAX));
            }
            _ => {}
        }
        self.started = true;
    }
}

fn begins_with(line: &[u8], name: &[u8]) -> bool {
    line.get(..name.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(name))
}

/// The number at the beginning of the line before a chunk; `None` if it is not certain.
fn chunk_size(line: &[u8]) -> Option<u64> {
    let digits = line.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
    let digits = std::str::from_utf8(&line[..digits]).ok()?;
    (digits.len() <= CHUNK_DIGITS_MAX).then(|| u64::from_str_radix(digits, 16).ok())?
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn ambiguous(pieces: &[&[u8]]) -> Option<u64> {
        let mut requests = Requests::default();
        pieces.iter().fold(None, |_, piece| requests.read(piece))
    }

    fn in_every_cut(stream: &[u8], expected: Option<u64>) {
        for cut in 0..stream.len() {
            let (begin, end) = stream.split_at(cut);
            assert_eq!(ambiguous(&[begin, end]), expected, "{cut}: {}", stream.escape_ascii());
        }
        let bytes: Vec<&[u8]> = stream.chunks(1).collect();
        assert_eq!(ambiguous(&bytes), expected, "{}", stream.escape_ascii());
    }

    #[test]
    fn both_lengths_are_seen_in_every_order_case_and_cut() {
        let spaces = " ".repeat(LENGTH_LINE_BYTES_MAX);
        for head in [
            "POST / HTTP/1.1\r\nhost: h\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n",
            "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nhost: h\r\nCONTENT-LENGTH:5\r\n\r\n",
            "POST / HTTP/1.1\r\ncontent-length: 5\r\nhost: h\r\nContent-Length: 5\r\n\r\n",
            "\r\n\r\nPOST / HTTP/1.1\nContent-Length: 5\nTRANSFER-encoding:chunked\n\n",
            &format!("POST / HTTP/1.1\r\nContent-Length:{spaces}5\r\n\r\n"),
        ] {
            in_every_cut(head.as_bytes(), Some(1));
        }
    }

    #[test]
    fn only_a_length_that_hyper_takes_for_no_length_is_corrected() {
        for (length, seen) in [
            ("18446744073709551615", "18446744073709551613"),
            ("18446744073709551614", "18446744073709551613"),
            ("18446744073709551613", "18446744073709551613"),
            ("9223372036854775808", "9223372036854775808"),
        ] {
            let stream = |length: &str, number: &str| {
                format!(
                    "POST / HTTP/1.1\r\ncontent-length: 20\r\n\r\n{number}\
                     POST / HTTP/1.1\r\nContent-Length: {length}\r\n\r\n"
                )
            };
            let in_body = "18446744073709551615";
            let mut bytes = stream(length, in_body).into_bytes();
            assert_eq!(Requests::default().read_and_correct(&mut bytes), None);
            assert_eq!(String::from_utf8(bytes).unwrap(), stream(seen, in_body));
        }
    }

    #[test]
    fn one_length_and_lines_of_the_body_are_no_fault() {
        for head in [
            "POST / HTTP/1.1\r\nhost: h\r\ncontent-length: 90\r\n\r\ntransfer-encoding: chunked\r\n",
            "POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n13\r\ncontent-length: 5\r\n\r\n",
            "POST / HTTP/1.1\r\ncontent-length: 5\r\nx-transfer-encoding: chunked\r\n\r\n",
            "POST / HTTP/1.1\r\ncontent-length: 5\r\nx: transfer-encoding: chunked\r\n\r\n",
        ] {
            in_every_cut(head.as_bytes(), None);
        }
    }

    /// Requests that are whole, with bodies that look like heads.
    const WHOLE: [&str; 6] = [
        "GET / HTTP/1.1\r\nhost: h\r\n\r\n",
        "\r\nPOST / HTTP/1.1\r\ncontent-length:  3 \r\n\r\n\r\n\n",
        "POST / HTTP/1.1\r\nContent-Length: 19\r\n\r\ncontent-length: 9\r\n",
        "POST / HTTP/1.1\r\nContent-Length: 0\r\n\r\n",
        "POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n\
         A;x=\"y\"\r\n0\r\n\r\nPOST \r\n2 \r\n\r\n\r\n000\r\n\r\n",
        "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\ncontent-length: 1\r\nx: y\r\n\r\n",
    ];
    const AMBIGUOUS: [&str; 2] = [
        "POST / HTTP/1.1\r\ncontent-length: 5\r\ncontent-length: 5\r\n\r\nabcde",
        "POST / HTTP/1.1\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
    ];

    #[test]
    fn what_follows_a_chunk_of_uncertain_size_is_refused() {
        let size = "0".repeat(LENGTH_LINE_BYTES_MAX + 6);
        let chunked = "POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n";
        in_every_cut(format!("{chunked}{size}5\r\nabcde\r\n0\r\n\r\n").as_bytes(), Some(2));
        let name = "x".repeat(LENGTH_LINE_BYTES_MAX);
        for end in ["0\r\nx: y\n\r\n", "0\r\n\n", "0\n\r\n", &format!("0\r\n{name}: y\n\r\n")] {
            in_every_cut(format!("{chunked}{end}GET / HTTP/1.1\r\n\r\n").as_bytes(), Some(2));
        }
    }

    #[test]
    fn a_pipelined_head_is_read_from_its_beginning_after_every_kind_of_body() {
        for first in WHOLE {
            for second in WHOLE {
                in_every_cut(format!("{first}{second}").as_bytes(), None);
                for third in AMBIGUOUS {
                    in_every_cut(format!("{first}{second}{third}").as_bytes(), Some(3));
                }
            }
        }
    }

    proptest! {
        #[test]
        fn the_result_does_not_depend_on_the_cuts(
            parts in prop::collection::vec(
                prop_oneof![
                    4 => prop::sample::select(&WHOLE[..]).prop_map(str::to_owned),
                    1 => prop::sample::select(&AMBIGUOUS[..]).prop_map(str::to_owned),
                    1 => "[A-Za-z0-9:,; \r\n]{0,30}",
                ],
                0..5,
            ),
            cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..8),
        ) {
            let stream = parts.concat().into_bytes();
            let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(stream.len() + 1)).collect();
            cuts.sort_unstable();
            let mut pieces = Vec::new();
            let mut begin = 0;
            for cut in cuts.into_iter().chain([stream.len()]) {
                pieces.push(&stream[begin..cut]);
                begin = cut;
            }
            prop_assert_eq!(ambiguous(&pieces), ambiguous(&[&stream]));
        }
    }
}
