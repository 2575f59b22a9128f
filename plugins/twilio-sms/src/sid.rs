//! Identifiers of Twilio: accounts, keys, services and messages.

/// Two letters and 32 hexadecimal digits.
pub(crate) fn is_sid(text: &str, prefixes: &[&str]) -> bool {
    let digits = prefixes.iter().find_map(|prefix| text.strip_prefix(prefix));
    digits.is_some_and(|digits| {
        digits.len() == 32 && digits.bytes().all(|byte| byte.is_ascii_hexdigit())
    })
}
