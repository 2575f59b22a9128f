//! Which parts of a file are not shown because a secret may stand there.
//!
//! The readers mask what they know to be a literal secret. This is the net below them: values of keys
//! that sound like secrets, and whole lines of a file that is no TOML.

use std::ops::Range;

use toml::de::{DeTable, DeValue};

use super::reader::whole_dollar_name;
use super::reference::Reference;
use super::settings::inside;

/// A key with one of these in its name holds a secret.
const TELLING: [&str; 6] = ["secret", "token", "password", "passwd", "api_key", "auth"];

/// Strings under a telling key that are no references, and every `literal:`.
pub(super) fn of_table(table: &DeTable<'_>, masks: &mut Vec<Range<usize>>) {
    for (key, value) in table {
        of_value(value, tells(key.get_ref(), value.get_ref()), masks);
    }
}

/// Where a token stands is no secret, if it is a place at all.
fn tells(key: &str, value: &DeValue<'_>) -> bool {
    let place = |text: &str| key == "token_in" && crate::verify::token_in(text).is_some();
    is_telling(key) && !matches!(value, DeValue::String(text) if place(text))
}

fn of_value(value: &toml::Spanned<DeValue<'_>>, telling: bool, masks: &mut Vec<Range<usize>>) {
    match value.get_ref() {
        DeValue::String(text) => match Reference::parse(text) {
            Some(Reference::Literal(_)) => masks.push(inside(&value.span())),
            None if telling && whole_dollar_name(text).is_none() => {
                masks.push(inside(&value.span()));
            }
            _ => {}
        },
        DeValue::Integer(_) | DeValue::Float(_) if telling => masks.push(value.span()),
        DeValue::Array(items) => items.iter().for_each(|item| of_value(item, telling, masks)),
        DeValue::Table(table) => {
            for (key, value) in table {
                of_value(value, telling || tells(key.get_ref(), value.get_ref()), masks);
            }
        }
        _ => {}
    }
}

/// Of each line of a text the nearest line above it with a `=`.
pub(super) fn keys_above(text: &str) -> Vec<&str> {
    let mut key = "";
    let above = |line| {
        let above = key;
        if str::contains(line, '=') {
            key = line;
        }
        above
    };
    text.split('\n').map(above).collect()
}

/// Of the line around `place`, where TOML could not be read: all behind the first `=`, or all of it, when
/// anything on it is telling. `key` is the nearest line above with a `=`.
pub(super) fn of_broken_line(text: &str, place: &Range<usize>, key: &str) -> Option<Range<usize>> {
    let at = place.start.min(text.len());
    let start = text.get(..at)?.rfind('\n').map_or(0, |end| end + 1);
    let end = text.get(at..)?.find('\n').map_or(text.len(), |length| at + length);
    let line = &text[start..end];
    // A list may go on over lines: then the key stands above.
    let opens = key.split_once('=').map_or("", |(_, value)| value.trim());
    let open = opens.starts_with(['[', '{']) && !opens.ends_with([']', '}'])
        || opens.starts_with("\"\"\"")
        || opens.starts_with("'''");
    let goes_on = !line.contains('=') && open && is_telling(key);
    if !is_telling(line) && !goes_on && !line.contains("literal:") {
        return None;
    }
    let value = line.find('=').map_or(line, |equals| line[equals + 1..].trim_start());
    Some(end - value.len()..end)
}

fn is_telling(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    TELLING.iter().any(|word| name.contains(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hides_literal_secrets_and_shows_references() {
        let text = "secrets = [\"pw1\", 'env:A']\nsettings = {auth_token = \"pw2\", url = \"https://x\"}\n\
                    k = \"literal:pw3\"\npassword.x = 4711\n";
        let table = DeTable::parse(text).unwrap();
        let mut masks = Vec::new();
        of_table(table.get_ref(), &mut masks);
        let mut hidden: Vec<&str> = masks.into_iter().map(|mask| &text[mask]).collect();
        hidden.sort_unstable();
        assert_eq!(hidden, ["4711", "literal:pw3", "pw1", "pw2"]);
    }

    #[test]
    fn a_broken_line_with_a_secret_is_hidden_behind_its_key() {
        let text = "a = 1\nsecrets = \"pw\nplain = x\n";
        assert_eq!(keys_above(text), ["", "a = 1", "secrets = \"pw", "plain = x"]);
        let mask = of_broken_line(text, &(17..18), "a = 1").unwrap();
        assert_eq!(&text[mask], "\"pw");
        assert_eq!(of_broken_line(text, &(1..2), ""), None);
        assert_eq!(of_broken_line(text, &(28..29), "secrets = \"pw"), None);
        assert_eq!(of_broken_line("secret", &(6..6), ""), Some(0..6));
        let list = "secrets = [\n  'a',\n  'pw\n]";
        assert_eq!(keys_above(list)[2], "secrets = [");
        assert_eq!(of_broken_line(list, &(22..22), "secrets = ["), Some(19..24));
    }
}
