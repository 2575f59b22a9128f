//! What lists of proxies come to: a table, and what no text of a sender can do.

use super::*;
use http::HeaderValue;
use proptest::prelude::*;

const HOP: &str = "10.0.0.1";

fn trusted() -> Vec<Cidr> {
    ["10.0.0.0/8", "fd00::/8"].iter().map(|range| range.parse().unwrap()).collect()
}

/// Who sent a request that came by `hop`; `fields` are names and values.
fn sender(hop: &str, fields: &[(&'static str, &[u8])]) -> String {
    let mut headers = HeaderMap::new();
    for (name, value) in fields {
        headers.append(*name, HeaderValue::from_bytes(value).unwrap());
    }
    let client = client(&headers, hop.parse().unwrap(), &trusted());
    client.map_or_else(|| "unknown".to_owned(), |address| address.to_string())
}

#[test]
fn the_client_is_the_first_untrusted_address_from_the_right() {
    for (value, expected) in [
        ("203.0.113.7", "203.0.113.7"),
        ("  203.0.113.7\t", "203.0.113.7"),
        ("1.1.1.1, 203.0.113.7", "203.0.113.7"),
        ("203.0.113.7, 10.0.0.2", "203.0.113.7"),
        ("1.1.1.1,203.0.113.7,10.0.0.3,10.0.0.2", "203.0.113.7"),
        ("203.0.113.7:4711", "203.0.113.7"),
        ("2001:db8::7", "2001:db8::7"),
        ("[2001:db8::7]", "2001:db8::7"),
        ("[2001:db8::7]:443", "2001:db8::7"),
        ("::ffff:203.0.113.7", "203.0.113.7"),
        ("203.0.113.7, ::ffff:10.0.0.2", "203.0.113.7"),
        ("203.0.113.7, fd00::2", "203.0.113.7"),
        // All are trusted: the first of them is the sender itself.
        ("10.9.9.9, 10.0.0.2", "10.9.9.9"),
        ("203.0.113.7, , ", "203.0.113.7"),
        ("", HOP),
        (", ,", HOP),
        ("unknown", HOP),
        ("203.0.113.7, unknown", HOP),
        ("203.0.113.7, unknown, 10.0.0.2", "10.0.0.2"),
        ("203.0.113.7, _hidden", HOP),
        ("203.0.113.7, 10.0.0.2, garbage!", HOP),
        ("203.0.113.7, 1.2.3", HOP),
        ("203.0.113.7, 01.2.3.4", HOP),
        ("203.0.113.7, 1.2.3.4:", HOP),
        ("203.0.113.7, 1.2.3.4:999999", HOP),
        ("203.0.113.7, [2001:db8::7", HOP),
        ("203.0.113.7, [2001:db8::7]x", HOP),
        ("203.0.113.7, [1.2.3.4]", HOP),
        ("203.0.113.7, fe80::1%eth0", HOP),
        ("203.0.113.7, \"1.2.3.4\"", HOP),
        ("203.0.113.7 1.2.3.4", HOP),
    ] {
        assert_eq!(sender(HOP, &[("x-forwarded-for", value.as_bytes())]), expected, "{value}");
    }
    assert_eq!(sender(HOP, &[("x-forwarded-for", b"203.0.113.7, \xff")]), HOP);
    assert_eq!(sender(HOP, &[("x-forwarded-for", b"\xff\xff, 203.0.113.7")]), "203.0.113.7");
}

#[test]
fn forwarded_is_read_the_same_way() {
    for (value, expected) in [
        ("for=203.0.113.7", "203.0.113.7"),
        ("For=203.0.113.7;proto=https;by=10.0.0.1", "203.0.113.7"),
        ("proto=https; FOR=\"203.0.113.7:80\"", "203.0.113.7"),
        ("for=\"[2001:db8::7]\"", "2001:db8::7"),
        ("for=\"[2001:db8::7]:4711\";host=\"a, b; for=1.1.1.1\"", "2001:db8::7"),
        ("for=203.0.113.7:_gazonk", "203.0.113.7"),
        ("for=1.1.1.1, for=203.0.113.7, for=10.0.0.2", "203.0.113.7"),
        ("for=\", for=203.0.113.7", "203.0.113.7"),
        ("for=1.1.1.1;host=\"x\\\", for=203.0.113.7", "203.0.113.7"),
        ("for=1.1.1.1, for=203.0.113.7;host=\"\\\",\\\\\"", "203.0.113.7"),
        ("for=203.0.113.7, , ", "203.0.113.7"),
        ("", HOP),
        ("for=203.0.113.7, for=_hidden", HOP),
        ("for=203.0.113.7, for=\"_SEVKISEK\"", HOP),
        ("for=203.0.113.7, for=unknown", HOP),
        ("for=203.0.113.7, proto=https", HOP),
        ("for=203.0.113.7, for=1.1.1.1;for=2.2.2.2", HOP),
        ("for=203.0.113.7, nonsense", HOP),
        ("for=203.0.113.7, for=2001:db8::7", HOP),
        ("for=203.0.113.7, for=\"[2001:db8::7]\"x", HOP),
        ("for=203.0.113.7, for=\"1.1.1.1", HOP),
        // Where an element with an unclosed quote begins depends on what is at its left.
        ("for=203.0.113.7;proto=h\"a\", for=\"b", HOP),
        ("for=1.1.1.1, for=203.0.113.7;proto=h\"a\", for=\"b", HOP),
        ("for=203.0.113.7, for=", HOP),
    ] {
        assert_eq!(sender(HOP, &[("forwarded", value.as_bytes())]), expected, "{value}");
    }
}

#[test]
fn several_fields_are_one_list_and_two_kinds_must_agree() {
    let (simple, full) = ("x-forwarded-for", "forwarded");
    let fields: [(&'static str, &[u8]); 2] =
        [(simple, b"203.0.113.7, 1.1.1.1"), (simple, b"10.0.0.2")];
    assert_eq!(sender(HOP, &fields), "1.1.1.1");
    assert_eq!(sender(HOP, &[(simple, b"1.1.1.1"), (full, b"for=1.1.1.1")]), "1.1.1.1");
    // A sender that adds the other kind gains no address, not even the proxy's.
    for forged in [&b"for=10.0.0.9"[..], b"for=unknown", b"nonsense", b"for=2.2.2.2"] {
        assert_eq!(sender(HOP, &[(simple, b"203.0.113.7"), (full, forged)]), "unknown");
    }
    assert_eq!(sender(HOP, &[(simple, b"10.0.0.9"), (full, b"for=203.0.113.7")]), "unknown");
    assert_eq!(sender(HOP, &[]), HOP);
    assert_eq!(sender("::ffff:10.0.0.1", &[(simple, b"203.0.113.7")]), "203.0.113.7");
}

#[test]
fn headers_from_untrusted_hops_are_ignored() {
    let fields: [(&'static str, &[u8]); 2] =
        [("x-forwarded-for", b"10.0.0.5"), ("forwarded", b"for=10.0.0.6")];
    assert_eq!(sender("192.0.2.1", &fields), "192.0.2.1");
    assert_eq!(sender("::ffff:192.0.2.1", &fields), "192.0.2.1");
}

proptest! {
    /// The one thing that all of it is for: what a sender writes stands to the left of what the proxy
    /// appends.
    #[test]
    fn no_forged_beginning_hides_the_address_that_a_trusted_proxy_appends(
        written in prop::collection::vec(0x20u8..0x7f, 0..40), bits: u32, one_field: bool, v6: bool,
    ) {
        let address = if v6 {
            IpAddr::V6(Ipv6Addr::from_bits(0x2001_0db8 << 96 | u128::from(bits)))
        } else {
            IpAddr::V4((bits | 0x8000_0000).into())
        };
        let element = if v6 { format!("for=\"[{address}]\"") } else { format!("for={address}") };
        for (name, appended) in [("x-forwarded-for", address.to_string()), ("forwarded", element)] {
            let whole = [&written[..], b", ", appended.as_bytes()].concat();
            let found = if one_field {
                sender(HOP, &[(name, &whole)])
            } else {
                sender(HOP, &[(name, &written), (name, appended.as_bytes())])
            };
            prop_assert_eq!(found, address.to_string());
        }
    }

    #[test]
    fn what_is_written_at_the_left_of_a_list_never_changes_an_address_in_it(
        list in "(for=203\\.0\\.113\\.7|for=10\\.0\\.0\\.2|[\",;= \\\\]|proto=h){0,8}", left in "[for=\",;. \\\\1]{0,20}",
    ) {
        let whole = format!("{left}, {list}");
        let [alone, found] = [&list, &whole].map(|list| sender(HOP, &[("forwarded", list.as_bytes())]));
        prop_assert!(alone.starts_with("10.") || found == alone, "{whole}: {found}, not {alone}");
    }

    #[test]
    fn no_text_causes_a_panic_or_an_address_from_elsewhere(
        simple in "[ -~\t]{0,60}", full in "[for=\"\\\\,; \\[\\]:._0-9a-f]{0,60}",
    ) {
        let found = sender(HOP, &[("x-forwarded-for", simple.as_bytes())]);
        prop_assert!(found == HOP || found.parse::<IpAddr>().is_ok());
        let found = sender(HOP, &[("forwarded", full.as_bytes())]);
        prop_assert!(found == HOP || found.parse::<IpAddr>().is_ok());
    }
}
