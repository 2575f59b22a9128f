//! What an event is, as the header fields of a CloudEvent in binary mode: the body stays as the sender wrote it.

use dispatcher_plugin_api::prelude::*;

/// The fields that every request has; a configuration may not set them.
pub(crate) const NAMES: [&str; 8] = [
    "ce-specversion",
    "ce-id",
    "ce-source",
    "ce-type",
    "ce-time",
    "ce-subject",
    "ce-severity",
    "ce-title",
];

/// The fields of an event. Values are ASCII without spaces, and not empty, as CloudEvents requires.
pub(crate) fn fields(event: Event<'_>) -> Vec<(&'static str, String)> {
    let received_at = event.received_at_rfc3339();
    let time = event.time().filter(|time| is_rfc3339(time)).unwrap_or(&received_at);
    let values = [
        Some("1.0"),
        Some(event.id()),
        Some(event.source()),
        Some(event.event_type()),
        Some(time),
        event.subject(),
        Some(event.severity().as_str()),
        Some(event.title()),
    ];
    let all = NAMES.into_iter().zip(values);
    let known =
        all.filter_map(|(name, value)| Some((name, value.filter(|text| !text.is_empty())?)));
    known.map(|(name, value)| (name, encoded(value))).collect()
}

/// As the HTTP binding of CloudEvents requires: a space, `"`, `%` and everything that is not printable ASCII is
/// percent-encoded as UTF-8.
fn encoded(value: &str) -> String {
    let mut text = String::with_capacity(value.len());
    for byte in value.bytes() {
        if byte.is_ascii_graphic() && !matches!(byte, b'"' | b'%') {
            text.push(char::from(byte));
        } else {
            text.push_str(&format!("%{byte:02X}"));
        }
    }
    text
}

/// `2021-02-08T12:45:00.363Z`, or with an offset such as `+01:00`. Days of months are not checked.
fn is_rfc3339(text: &str) -> bool {
    let fits = |text: &[u8], form: &[u8]| {
        text.len() == form.len()
            && text.iter().zip(form).all(|(byte, form)| match form {
                b'0' => byte.is_ascii_digit(),
                form => byte.eq_ignore_ascii_case(form),
            })
    };
    const SECONDS: &[u8] = b"0000-00-00T00:00:00";
    let Some((seconds, rest)) = text.as_bytes().split_at_checked(SECONDS.len()) else {
        return false;
    };
    let rest = match rest.split_first() {
        Some((b'.', fraction)) => {
            let digits = fraction.iter().take_while(|byte| byte.is_ascii_digit()).count();
            if digits == 0 {
                return false;
            }
            &fraction[digits..]
        }
        _ => rest,
    };
    fits(seconds, SECONDS) && (fits(rest, b"Z") || fits(rest, b"+00:00") || fits(rest, b"-00:00"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn decoded(text: &str) -> Vec<u8> {
        let (mut bytes, mut rest) = (Vec::new(), text.as_bytes());
        while let Some((byte, left)) = rest.split_first() {
            rest = left;
            if *byte == b'%' {
                let digits = std::str::from_utf8(&left[..2]).unwrap();
                bytes.push(u8::from_str_radix(digits, 16).unwrap());
                rest = &left[2..];
            } else {
                bytes.push(*byte);
            }
        }
        bytes
    }

    #[test]
    fn the_examples_of_the_http_binding_are_encoded_as_it_says() {
        assert_eq!(encoded("Euro € 😀"), "Euro%20%E2%82%AC%20%F0%9F%98%80");
        assert_eq!(encoded("100% \"sure\"\r\nx: y"), "100%25%20%22sure%22%0D%0Ax:%20y");
        assert_eq!(encoded("/plain-ASCII_~!"), "/plain-ASCII_~!");
    }

    #[test]
    fn only_a_time_of_rfc_3339_is_sent_as_the_time() {
        for time in
            ["2021-02-08T12:45:00Z", "2021-02-08t12:45:00.1z", "2021-02-08T12:45:00.363713-05:30"]
        {
            assert!(is_rfc3339(time), "{time}");
        }
        for other in
            ["", "1612788300", "2021-02-08", "2021-02-08T12:45:00", "2021-02-08T12:45:00.Z", "é"]
        {
            assert!(!is_rfc3339(other), "{other}");
        }
    }

    proptest! {
        #[test]
        fn every_value_is_safe_in_a_header_and_can_be_read_back(value: String) {
            let text = encoded(&value);
            prop_assert!(text.bytes().all(|byte| byte.is_ascii_graphic()));
            prop_assert_eq!(decoded(&text), value.as_bytes());
        }
    }
}
