//! The alphabets of SMS: how much space a character needs, cheaper look-alikes, and which characters belong
//! together or are invisible.
//!
//! One character outside GSM-7 makes the whole message UCS-2, with 70 instead of 160 places. The Unicode classes
//! here are the common ranges, not the full tables: a cut may separate a mark of a rare script from its letter,
//! but it never splits a character.

/// How a whole message is encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Encoding {
    /// GSM 03.38 with its extension table; counted in septets.
    Gsm7,
    /// Counted in UTF-16 units.
    Ucs2,
}

impl Encoding {
    pub(crate) fn of(text: &str) -> Self {
        if text.chars().all(|c| septets(c).is_some()) { Self::Gsm7 } else { Self::Ucs2 }
    }

    /// Places of a message that is one segment.
    pub(crate) const fn single(self) -> usize {
        match self {
            Self::Gsm7 => 160,
            Self::Ucs2 => 70,
        }
    }

    /// Places of each of several segments: a header needs the rest.
    pub(crate) const fn part(self) -> usize {
        match self {
            Self::Gsm7 => 153,
            Self::Ucs2 => 67,
        }
    }
}

/// The basic table of GSM 03.38 without the escape.
const BASIC: &str = "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?\
                     ¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà";

/// Places in GSM-7, 2 for the extension table; `None` for what it does not have.
pub(crate) fn septets(c: char) -> Option<usize> {
    match c {
        '\u{c}' | '^' | '{' | '}' | '\\' | '[' | '~' | ']' | '|' | '€' => Some(2),
        'a'..='z' | 'A'..='Z' | '0'..='9' | ' ' => Some(1),
        _ => BASIC.contains(c).then_some(1),
    }
}

/// A replacement in GSM-7 that reads the same; texts from word processors and truncated titles need it often.
pub(crate) const fn look_alike(c: char) -> Option<&'static str> {
    Some(match c {
        '‘' | '’' | '‚' | '‛' | '′' | '`' | '´' => "'",
        '“' | '”' | '„' | '‟' | '″' | '«' | '»' => "\"",
        '‹' => "<",
        '›' => ">",
        '‐' | '‑' | '‒' | '–' | '—' | '―' | '−' => "-",
        '…' => "...",
        '•' => "*",
        '·' => ".",
        '×' => "x",
        '→' => "->",
        '←' => "<-",
        _ => return None,
    })
}

/// Invisible characters that only change the order of others: never sent.
pub(crate) const fn is_dropped(c: char) -> bool {
    matches!(c, '\u{ad}' | '\u{200b}' | '\u{2060}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

/// It is invisible on its own.
pub(crate) fn is_blank(c: char) -> bool {
    c.is_whitespace()
        || is_dropped(c)
        || is_mark(c)
        || matches!(
            c,
            '\u{115f}' | '\u{1160}' | '\u{180e}' | '\u{200c}'
                ..='\u{200f}' | '\u{2800}' | '\u{3164}' | '\u{ffa0}'
        )
}

/// Changes the character before it.
const fn is_mark(c: char) -> bool {
    matches!(
        c,
        '\u{300}'..='\u{36f}'
            | '\u{483}'..='\u{489}'
            | '\u{591}'..='\u{5bd}'
            | '\u{610}'..='\u{61a}'
            | '\u{64b}'..='\u{65f}'
            | '\u{670}'
            | '\u{6d6}'..='\u{6dc}'
            | '\u{6df}'..='\u{6e4}'
            | '\u{900}'..='\u{903}'
            | '\u{93a}'..='\u{93c}'
            | '\u{93e}'..='\u{94f}'
            | '\u{e31}'
            | '\u{e34}'..='\u{e3a}'
            | '\u{e47}'..='\u{e4e}'
            | '\u{1ab0}'..='\u{1aff}'
            | '\u{1dc0}'..='\u{1dff}'
            | '\u{20d0}'..='\u{20ff}'
            | '\u{3099}'..='\u{309a}'
            | '\u{fe00}'..='\u{fe0f}'
            | '\u{fe20}'..='\u{fe2f}'
            | '\u{1f3fb}'..='\u{1f3ff}'
            | '\u{e0020}'..='\u{e007f}'
            | '\u{e0100}'..='\u{e01ef}'
    )
}

const ZERO_WIDTH_JOINER: char = '\u{200d}';

/// Whether a cut between the two would change the visible text. `index` is that of `c` in its group.
pub(crate) fn belongs(before: char, c: char, index: usize) -> bool {
    let flag = |c: char| matches!(c, '\u{1f1e6}'..='\u{1f1ff}');
    is_mark(c)
        || c == ZERO_WIDTH_JOINER
        || before == ZERO_WIDTH_JOINER
        || (index == 1 && flag(before) && flag(c))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_alphabet_has_its_127_characters_and_10_more() {
        assert_eq!(BASIC.chars().count(), 127);
        let all = (0..=0x10_ffff).filter_map(char::from_u32);
        let (one, two): (Vec<_>, Vec<_>) =
            all.filter(|c| septets(*c).is_some()).partition(|c| septets(*c) == Some(1));
        assert_eq!((one.len(), two.len()), (127, 10));
        for c in ['ç', '`', '\t', '\u{1b}', '’', '–', '…', 'é', 'и', '😀'] {
            assert_eq!(septets(c).is_some(), c == 'é', "{c:?}");
        }
    }

    #[test]
    fn every_look_alike_is_in_the_alphabet() {
        for c in (0..=0x10_ffff).filter_map(char::from_u32) {
            let Some(other) = look_alike(c) else { continue };
            assert!(septets(c).is_none(), "{c}");
            assert_eq!(Encoding::of(other), Encoding::Gsm7, "{c}");
        }
    }
}
