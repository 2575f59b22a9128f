//! Whether a text is an RFC 3339 time, which CloudEvents requires.

/// Checks the calendar too; accepts leap seconds.
pub(crate) fn is_rfc3339(text: &str) -> bool {
    read(text.as_bytes()).is_some()
}

fn read(text: &[u8]) -> Option<()> {
    let (date, rest) = text.split_at_checked(10)?;
    let [y1, y2, y3, y4, b'-', m1, m2, b'-', d1, d2] = *date else { return None };
    let year = number(&[y1, y2, y3, y4])?;
    let month = within(&[m1, m2], 1, 12)?;
    within(&[d1, d2], 1, days(year, month))?;
    let ([b'T' | b't'], rest) = rest.split_at_checked(1)? else { return None };
    let (clock, rest) = rest.split_at_checked(8)?;
    let [h1, h2, b':', m1, m2, b':', s1, s2] = *clock else { return None };
    within(&[h1, h2], 0, 23)?;
    within(&[m1, m2], 0, 59)?;
    within(&[s1, s2], 0, 60)?;
    let offset = match rest.strip_prefix(b".") {
        Some(fraction) => {
            let digits = fraction.iter().take_while(|byte| byte.is_ascii_digit()).count();
            fraction.get(digits..).filter(|_| digits > 0)?
        }
        None => rest,
    };
    match *offset {
        [b'Z' | b'z'] => Some(()),
        [b'+' | b'-', h1, h2, b':', m1, m2] => {
            within(&[h1, h2], 0, 23)?;
            within(&[m1, m2], 0, 59).map(|_| ())
        }
        _ => None,
    }
}

fn number(digits: &[u8]) -> Option<u32> {
    digits.iter().try_fold(0, |number, digit| {
        digit.is_ascii_digit().then(|| number * 10 + u32::from(digit - b'0'))
    })
}

fn within(digits: &[u8], least: u32, most: u32) -> Option<u32> {
    number(digits).filter(|number| (least..=most).contains(number))
}

const fn days(year: u32, month: u32) -> u32 {
    match month {
        2 if year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400)) => {
            29
        }
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_rfc_3339_times_are_accepted() {
        for text in [
            "2016-12-21T07:22:32.732000+00:00",
            "2021-02-08T12:45:00.363Z",
            "2021-02-08t12:45:00z",
            "2016-12-31T23:59:60Z",
            "2024-02-29T00:00:00-23:59",
            "2000-02-29T00:00:00.1234567890123Z",
            "0000-01-01T00:00:00Z",
        ] {
            assert!(is_rfc3339(text), "{text}");
        }
        for text in [
            "",
            "2021-02-08",
            "2021-02-08T12:45:00",
            "2021-02-08 12:45:00Z",
            "2021-02-08T12:45Z",
            "2021-02-08T12:45:00.Z",
            "2021-02-08T12:45:00,5Z",
            "2021-02-08T12:45:00+0000",
            "2021-02-08T12:45:00+00",
            "2021-02-08T12:45:00+24:00",
            "2021-02-08T12:45:00Z ",
            "2021-02-08T24:00:00Z",
            "2021-02-08T12:60:00Z",
            "2021-02-08T12:45:61Z",
            "2021-13-08T12:45:00Z",
            "2021-00-08T12:45:00Z",
            "2021-02-29T12:45:00Z",
            "1900-02-29T12:45:00Z",
            "2021-04-31T12:45:00Z",
            "2021-02-00T12:45:00Z",
            "+021-02-08T12:45:00Z",
            "12021-02-08T12:45:00Z",
            "2021-02-08T12:45:00Z\u{2028}",
            "é021-02-08T12:45:00Z",
            "1612788300",
        ] {
            assert!(!is_rfc3339(text), "{text}");
        }
    }
}
