//! Reads forms whose signature covers their fields in sorted order, without separators.
//!
//! Such a signature holds as well if bytes are moved from the name of a field into its value, or from the form into
//! the query of a signed address. So a form is refused if a field that the sender reads is missing and a part of it is
//! where it could have been moved to. What is moved from one value into the next looks like an honest form;
//! `docs/reference/security.md` says what follows.

use super::form::document;
use super::malformed::{FORM_FIELDS_MAX, Malformed};
use super::sender::{Read, Sender};
use crate::model::SignedBody;

/// The form as a JSON document. The order of its fields does not matter.
pub(super) fn read(sender: &Sender, query: Option<&str>, body: &[u8]) -> Result<String, Malformed> {
    let mut fields: Vec<_> = form_urlencoded::parse(body).take(FORM_FIELDS_MAX + 1).collect();
    fields.sort_unstable();
    if let Read::Fields(known) = &sender.read {
        let names: Vec<&str> = fields.iter().map(|(name, _)| &**name).collect();
        if known.event_keys().any(|known| is_moved(known, &names, query.unwrap_or_default())) {
            return Err(Malformed::MovedField);
        }
    }
    document(fields.into_iter())
}

/// The form in a query, as a JSON document. Refused if the sender reads none of its fields and the name of such a field
/// is in it: the fields of a form may have been moved behind the address.
pub(super) fn read_query(sender: &Sender, query: &[u8]) -> Result<String, Malformed> {
    let fields: Vec<_> = form_urlencoded::parse(query).take(FORM_FIELDS_MAX + 1).collect();
    if let (Read::Fields(known), Some(SignedBody::SortedForm)) = (&sender.read, &sender.signed_body)
    {
        let is_field = |known: &str| fields.iter().any(|(name, _)| *name == *known);
        let text: Vec<&str> = fields.iter().flat_map(|(name, value)| [&**name, &**value]).collect();
        let is_inside = |known: &str| text.iter().any(|text| text.contains(known));
        if !known.event_keys().any(is_field) && known.event_keys().any(is_inside) {
            return Err(Malformed::MovedField);
        }
    }
    document(fields.into_iter())
}

/// Whether bytes of the field `known`, or of its name, may be elsewhere. `names` is sorted.
fn is_moved(known: &str, names: &[&str], query: &str) -> bool {
    if names.binary_search(&known).is_ok() {
        return false;
    }
    let shares = |name: &&str| name.starts_with(known) || known.starts_with(*name);
    // Only fields before all others can become the end of the address.
    let is_before = names.first().is_some_and(|first| known < *first);
    names.iter().any(shares) || (is_before && query.contains(known))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::vendors;

    fn seen(query: &str, body: &str) -> Result<String, Malformed> {
        read(vendors::sender("twilio").unwrap(), Some(query), body.as_bytes())
    }

    #[test]
    fn a_form_that_is_signed_in_sorted_order_is_a_form_in_any_order() {
        let expected = Ok(r#"{"a":"2","b":"3"}"#.to_owned());
        for body in ["a=1&b=3&a=2", "a=2&a=1&b=3", "b=3&a=2&a=1", "&a=%32&&b=3"] {
            assert_eq!(seen("", body), expected, "{body}");
        }
        assert_eq!(seen("", "{\"a\":1}"), Ok(r#"{"{\"a\":1}":""}"#.to_owned()));
    }

    /// Every move of the border between a name and its value, and of the first fields into the query.
    #[test]
    fn a_field_that_the_sender_reads_cannot_be_renamed_or_moved_into_the_query() {
        let fields = [
            ("AccountSid", "AC0"),
            ("Body", "hello"),
            ("CallStatus", "failed"),
            ("MessageStatus", "undelivered"),
            ("To", "+33600000001"),
        ];
        let form = |fields: &[(String, String)]| {
            let mut form = form_urlencoded::Serializer::new(String::new());
            form.extend_pairs(fields).finish()
        };
        let honest = fields.map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert!(seen("x=1", &form(&honest)).is_ok());
        for (place, (name, value)) in fields.iter().enumerate().skip(1) {
            let joined = format!("{name}{value}");
            for border in (0..=joined.len()).filter(|border| *border != name.len()) {
                let mut moved = honest.clone();
                let (name, value) = joined.split_at(border);
                moved[place] = (name.to_owned(), value.to_owned());
                let is_refused = seen("x=1", &form(&moved)) == Err(Malformed::MovedField);
                assert!(is_refused, "{joined} at {border}");
            }
            let moved: String = fields[..place].iter().map(|(n, v)| format!("{n}{v}")).collect();
            let left = &honest[place..];
            let is_refused =
                seen(&format!("x=1{moved}"), &form(left)) == Err(Malformed::MovedField);
            assert_eq!(is_refused, place > 1, "{moved}: AccountSid is not read");
        }
    }

    #[test]
    fn a_longer_name_beside_the_one_that_the_sender_reads_is_honest() {
        for (query, body) in [
            ("", "To=1&ToCountry=FR&From=2&FromCity=x&Called=3&CalledVia=4"),
            ("redirectTo=Body", "AccountSid=AC0&CallSid=CA0&RecordingSid=RE0"),
        ] {
            assert!(seen(query, body).is_ok(), "{body}");
        }
    }
}
