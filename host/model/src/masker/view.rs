//! Text as it reads without line breaks and without escapes, with the place of each byte in the original.
//!
//! Servers and frameworks escape what they put into an error page, each in its way, and often only some of the
//! characters. So a secret is also searched for in the text that a reader of such a page would see.

use std::ops::Range;

/// How often a text is taken as escaped.
const LEVELS_MAX: usize = 3;
/// Hexadecimal digits of a group of two or four bytes, and most spaces before it.
const GROUP_DIGITS: [usize; 2] = [4, 8];
const GROUP_SPACES_MAX: usize = 2;
/// Longest escape that is decoded, in bytes.
const ESCAPE_BYTES_MAX: usize = 12;

/// ASCII characters that have a name in HTML.
const NAMED: [(&[u8], u8); 42] = [
    (b"amp", b'&'),
    (b"lt", b'<'),
    (b"gt", b'>'),
    (b"quot", b'"'),
    (b"apos", b'\''),
    (b"nbsp", b' '),
    (b"tab", b'\t'),
    (b"newline", b'\n'),
    (b"excl", b'!'),
    (b"num", b'#'),
    (b"dollar", b'$'),
    (b"percnt", b'%'),
    (b"lpar", b'('),
    (b"rpar", b')'),
    (b"ast", b'*'),
    (b"midast", b'*'),
    (b"plus", b'+'),
    (b"comma", b','),
    (b"hyphen", b'-'),
    (b"dash", b'-'),
    (b"period", b'.'),
    (b"sol", b'/'),
    (b"colon", b':'),
    (b"semi", b';'),
    (b"equals", b'='),
    (b"quest", b'?'),
    (b"commat", b'@'),
    (b"lsqb", b'['),
    (b"lbrack", b'['),
    (b"bsol", b'\\'),
    (b"rsqb", b']'),
    (b"rbrack", b']'),
    (b"hat", b'^'),
    (b"lowbar", b'_'),
    (b"underbar", b'_'),
    (b"grave", b'`'),
    (b"diacriticalgrave", b'`'),
    (b"lcub", b'{'),
    (b"lbrace", b'{'),
    (b"vert", b'|'),
    (b"rcub", b'}'),
    (b"rbrace", b'}'),
];

/// A text made of another.
pub(super) struct View {
    pub(super) bytes: Vec<u8>,
    /// The bytes of the original that each byte stands for; `None`: itself.
    places: Option<Vec<Range<usize>>>,
}

/// What stands at the beginning of a text, and how long it is there. `None`: itself.
type Reading = fn(&[u8]) -> Option<(Vec<u8>, usize)>;

impl View {
    /// The views in which a secret is searched for: the text itself, and what it reads as.
    pub(super) fn all(text: &[u8]) -> Vec<Self> {
        let text = Self { bytes: text.to_ascii_lowercase(), places: None };
        let mut views = Vec::new();
        for first in [text.read(escape), text.read(quoted_printable), text.read(grouped)] {
            let mut next = first;
            for _ in 1..LEVELS_MAX {
                let Some(view) = next else { break };
                next = view.read(escape);
                views.push(view);
            }
            views.extend(next);
        }
        views.extend(text.read(line_break));
        views.push(text);
        views
    }

    /// Where a run of this view is in the original.
    pub(super) fn place(&self, run: Range<usize>) -> Range<usize> {
        match &self.places {
            None => run,
            Some(places) => places[run.start].start..places[run.end - 1].end,
        }
    }

    /// The text as it reads; `None` if that is the same.
    fn read(&self, reading: Reading) -> Option<Self> {
        // Mostly there is none.
        (0..self.bytes.len()).find(|at| reading(&self.bytes[*at..]).is_some())?;
        let mut bytes = Vec::with_capacity(self.bytes.len());
        let mut places = Vec::with_capacity(self.bytes.len());
        let mut at = 0;
        while let Some(byte) = self.bytes.get(at) {
            let Some((read, length)) = reading(&self.bytes[at..]) else {
                bytes.push(*byte);
                places.push(self.place(at..at + 1));
                at += 1;
                continue;
            };
            let place = self.place(at..at + length);
            places.extend(read.iter().map(|_| place.clone()));
            bytes.extend(read.iter().map(u8::to_ascii_lowercase));
            at += length;
        }
        Some(Self { bytes, places: Some(places) })
    }
}

/// A line break, plain, escaped or of quoted-printable, with the indentation after it, reads as nothing. A secret may be
/// wrapped, as base64 and mail are. So does the zero in each character of a text in UTF-16.
fn line_break(bytes: &[u8]) -> Option<(Vec<u8>, usize)> {
    const BREAKS: [&[u8]; 7] = [b"=\r\n", b"=\n", b"\r", b"\n", b"\\r", b"\\n", b"\0"];
    let text = BREAKS.into_iter().find(|text| bytes.starts_with(text))?;
    let indented = bytes[text.len()..].iter().take_while(|byte| matches!(byte, b' ' | b'\t'));
    Some((Vec::new(), text.len() + indented.count()))
}

/// Spaces before a group of hexadecimal digits, as `xxd` and `od` show two or four bytes, read as nothing.
fn grouped(bytes: &[u8]) -> Option<(Vec<u8>, usize)> {
    // No more are counted than count.
    let begin = &bytes[..bytes.len().min(GROUP_SPACES_MAX + 1)];
    let spaces = begin.iter().take_while(|byte| **byte == b' ').count();
    if !(1..=GROUP_SPACES_MAX).contains(&spaces) {
        return None;
    }
    let digits = bytes[spaces..].iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
    let ends = bytes.get(spaces + digits).is_none_or(|byte| !byte.is_ascii_alphanumeric());
    (GROUP_DIGITS.contains(&digits) && ends).then_some((Vec::new(), spaces))
}

/// `=2B`, or a line break. Apart from the others, because a value often follows an equals sign.
fn quoted_printable(bytes: &[u8]) -> Option<(Vec<u8>, usize)> {
    match bytes {
        [b'=', ..] => number(bytes, 1, 2, 16).map(byte).or_else(|| line_break(bytes)),
        _ => line_break(bytes),
    }
}

/// A line break, or an escape of an address, of HTML, of JSON or of a programming language.
fn escape(bytes: &[u8]) -> Option<(Vec<u8>, usize)> {
    match bytes {
        _ if matches!(bytes, [b'=' | b'\n' | b'\r' | b'\0', ..] | [b'\\', b'n' | b'r', ..]) => {
            line_break(bytes)
        }
        [b'%', ..] => number(bytes, 1, 2, 16).map(byte),
        [b'&', b'#', b'x', ..] => up_to(bytes, 3, 16, b';').map(character),
        [b'&', b'#', ..] => up_to(bytes, 2, 10, b';').map(character),
        [b'&', ..] => named(bytes),
        [b'\\', b'x', b'{', ..] | [b'\\', b'u', b'{', ..] => {
            up_to(bytes, 3, 16, b'}').map(character)
        }
        [b'\\', b'x', ..] => number(bytes, 2, 2, 16).map(byte),
        [b'\\', b'u', ..] => number(bytes, 2, 4, 16).map(character),
        [b'\\', b'0'..=b'7', ..] => number(bytes, 1, 3, 8).map(byte),
        [b'\\', b't', ..] => Some((vec![b'\t'], 2)),
        [b'\\', other, ..] if other.is_ascii_punctuation() => Some((vec![*other], 2)),
        _ => None,
    }
}

/// A number of so many digits, and where it ends.
fn number(bytes: &[u8], from: usize, digits: usize, radix: u32) -> Option<(u32, usize)> {
    let text = std::str::from_utf8(bytes.get(from..from + digits)?).ok()?;
    // It takes a sign, too.
    let all = text.chars().all(|digit| digit.is_digit(radix));
    Some((u32::from_str_radix(text, radix).ok().filter(|_| all)?, from + digits))
}

/// A number up to `end`, and where that ends.
fn up_to(bytes: &[u8], from: usize, radix: u32, end: u8) -> Option<(u32, usize)> {
    let rest = &bytes[from..bytes.len().min(ESCAPE_BYTES_MAX)];
    let digits = rest.iter().position(|byte| *byte == end)?;
    number(bytes, from, digits, radix).map(|(number, at)| (number, at + 1))
}

fn byte((number, length): (u32, usize)) -> (Vec<u8>, usize) {
    (vec![number.to_le_bytes()[0]], length)
}

fn character((number, length): (u32, usize)) -> (Vec<u8>, usize) {
    let character = char::from_u32(number).unwrap_or(char::REPLACEMENT_CHARACTER);
    (character.to_string().into_bytes(), length)
}

fn named(bytes: &[u8]) -> Option<(Vec<u8>, usize)> {
    NAMED.into_iter().find_map(|(name, byte)| {
        let rest = bytes[1..].strip_prefix(name)?;
        (rest.first() == Some(&b';')).then(|| (vec![byte], name.len() + 2))
    })
}
