//! Finds the parts of a file that must not be shown because they may contain a secret.
//!
//! The readers mask every literal secret that they recognize. This is the safety net below them: values of keys
//! that sound like secrets, and lines that are not valid TOML.

use std::ops::Range;

use toml::de::{DeTable, DeValue};

use super::reader::whole_dollar_name;
use super::reference::Reference;
use super::settings::inside;
use crate::model::sounds_secret;

/// Adds the places of strings under a suspicious key that are not references, and of every `literal:`, except those in
/// what a scheme signs, which is known to everybody.
pub(super) fn of_table(table: &DeTable<'_>, masks: &mut Vec<Range<usize>>) {
    for (key, value) in table {
        match value.get_ref() {
            DeValue::Table(schemes) if key.get_ref() == "schemes" => {
                for (_, scheme) in schemes {
                    of_scheme(scheme, masks);
                }
            }
            found => of_value(value, is_suspicious_entry(key.get_ref(), found), masks),
        }
    }
}

fn of_scheme(scheme: &toml::Spanned<DeValue<'_>>, masks: &mut Vec<Range<usize>>) {
    let DeValue::Table(table) = scheme.get_ref() else { return of_value(scheme, false, masks) };
    for (key, value) in table.iter().filter(|(key, _)| key.get_ref() != "signed") {
        of_value(value, is_suspicious_entry(key.get_ref(), value.get_ref()), masks);
    }
}

/// Adds the places of users and passwords in addresses, such as `http://USER:PASSWORD@host`, wherever they are.
pub(super) fn of_addresses(text: &str, masks: &mut Vec<Range<usize>>) {
    for (at, separator) in text.match_indices("://") {
        let start = at + separator.len();
        let ends = |c: char| c.is_whitespace() || c.is_control() || "/?#\"'`".contains(c);
        let authority = &text[start..];
        // A password that was not escaped may contain a slash, so that the `@` comes after it.
        let line = authority.find(|c: char| c.is_control() || "\"'`".contains(c));
        let authority = &authority[..authority.find(ends).unwrap_or(authority.len())];
        let rest = &text[start..line.map_or(text.len(), |end| start + end)];
        let colon = authority.find(':').map(|colon| &authority[colon + 1..]);
        let opens = colon.is_some_and(|port| port.parse::<u16>().is_err());
        let within = if authority.contains('@') || !opens { authority } else { rest };
        if let Some(end) = within.rfind('@') {
            masks.push(start..start + end);
        }
    }
}

/// `token_in` sounds like a secret, but a valid place of a token is not one.
fn is_suspicious_entry(key: &str, value: &DeValue<'_>) -> bool {
    let place = |text: &str| key == "token_in" && crate::verify::token_in(text).is_some();
    sounds_secret(key) && !matches!(value, DeValue::String(text) if place(text))
}

fn of_value(value: &toml::Spanned<DeValue<'_>>, suspicious: bool, masks: &mut Vec<Range<usize>>) {
    match value.get_ref() {
        DeValue::String(text) => match Reference::parse(text) {
            Some(Reference::Literal(_)) => masks.push(inside(&value.span())),
            None if suspicious && whole_dollar_name(text).is_none() => {
                masks.push(inside(&value.span()));
            }
            _ => {}
        },
        DeValue::Integer(_) | DeValue::Float(_) if suspicious => masks.push(value.span()),
        DeValue::Array(items) => items.iter().for_each(|item| of_value(item, suspicious, masks)),
        DeValue::Table(table) => {
            for (key, value) in table {
                let suspicious = suspicious || is_suspicious_entry(key.get_ref(), value.get_ref());
                of_value(value, suspicious, masks);
            }
        }
        _ => {}
    }
}

/// For each line of a text, the nearest line above it that has a `=`.
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

/// The part to mask of the line around `place`, which is not valid TOML: if anything on it is suspicious, the
/// text after its first `=`, or all of it. `key` is the nearest line above that has a `=`.
pub(super) fn of_invalid_line(text: &str, place: &Range<usize>, key: &str) -> Option<Range<usize>> {
    let at = place.start.min(text.len());
    let start = text.get(..at)?.rfind('\n').map_or(0, |end| end + 1);
    let end = text.get(at..)?.find('\n').map_or(text.len(), |length| at + length);
    let line = &text[start..end];
    // A value may span lines; then its key is on a line above.
    let opens = key.split_once('=').map_or("", |(_, value)| value.trim());
    let open = opens.starts_with(['[', '{']) && !opens.ends_with([']', '}'])
        || opens.starts_with("\"\"\"")
        || opens.starts_with("'''");
    let continues = !line.contains('=') && open && sounds_secret(key);
    if !sounds_secret(line) && !continues && !line.contains("literal:") {
        return None;
    }
    let value = line.find('=').map_or(line, |equals| line[equals + 1..].trim_start());
    Some(end - value.len()..end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn literal_secrets_are_masked_and_references_are_not() {
        let text = "secrets = [\"pw1\", 'env:A']\nheaders = {X-Api-Key = \"pw0\"}\nsettings = {auth_token = \"pw2\", url = \"https://x\"}\n\
                    k = \"literal:pw3\"\npassword.x = 4711\n\
                    [schemes.s]\nsigned = [\"literal:v0:\", \"body\"]\nkey = \"literal:pw4\"\n";
        let table = DeTable::parse(text).unwrap();
        let mut masks = Vec::new();
        of_table(table.get_ref(), &mut masks);
        let mut hidden: Vec<&str> = masks.into_iter().map(|mask| &text[mask]).collect();
        hidden.sort_unstable();
        assert_eq!(hidden, ["4711", "literal:pw3", "literal:pw4", "pw0", "pw1", "pw2"]);
    }

    #[test]
    fn users_and_passwords_of_addresses_are_masked() {
        for (text, hidden) in [
            ("url = \"http://u:pw@host/x\"", "u:pw"),
            ("url = \"https://token@host\"", "token"),
            ("# see http://u:p%40w@host?x=a@b", "u:p%40w"),
            ("url = 'http://u:p@w@host:80/x", "u:p@w"),
            ("url = \"http://u:p/w@host/x\"", "u:p/w"),
        ] {
            let mut masks = Vec::new();
            of_addresses(text, &mut masks);
            assert_eq!(masks.iter().map(|mask| &text[mask.clone()]).collect::<Vec<_>>(), [hidden]);
        }
        let mut masks = Vec::new();
        of_addresses("a = \"https://host:80/@x\" # u@h\nb = \"http://h/?m=a@b\"", &mut masks);
        assert_eq!(masks, []);
    }

    #[test]
    fn an_invalid_line_with_a_secret_is_masked_after_its_key() {
        let text = "a = 1\nsecrets = \"pw\nplain = x\n";
        assert_eq!(keys_above(text), ["", "a = 1", "secrets = \"pw", "plain = x"]);
        let mask = of_invalid_line(text, &(17..18), "a = 1").unwrap();
        assert_eq!(&text[mask], "\"pw");
        assert_eq!(of_invalid_line(text, &(1..2), ""), None);
        assert_eq!(of_invalid_line(text, &(28..29), "secrets = \"pw"), None);
        assert_eq!(of_invalid_line("secret", &(6..6), ""), Some(0..6));
        let list = "secrets = [\n  'a',\n  'pw\n]";
        assert_eq!(keys_above(list)[2], "secrets = [");
        assert_eq!(of_invalid_line(list, &(22..22), "secrets = ["), Some(19..24));
    }
}
