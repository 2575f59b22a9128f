//! Tables of forms, and the law that no long run of a secret is shown.

use proptest::prelude::*;

use super::*;

/// Encodings written without the code under test.
const TOKEN: &str = "s3cr3t/Token+\"é";
const ENCODED: [&str; 12] = [
    TOKEN,
    // base64: standard, for addresses, unpadded, and within `me:…` and `you:…`.
    "czNjcjN0L1Rva2VuKyLDqQ==",
    "czNjcjN0L1Rva2VuKyLDqQ",
    "bWU6czNjcjN0L1Rva2VuKyLDqQ==",
    "eW91OnMzY3IzdC9Ub2tlbisiw6k=",
    "7333637233742f546f6b656e2b22c3a9",
    "7333637233742F546F6B656E2B22C3A9",
    "s3cr3t%2FToken%2B%22%C3%A9",
    "s3cr3t\\/Token+\\\"\\u00e9",
    "%73%33%63%72%33%74%2f%54%6f%6b%65%6e%2b%22%c3%a9",
    "73:33:63:72:33:74:2F:54:6F:6B:65:6E:2B:22:C3:A9",
    "\\x73\\x33\\x63\\x72\\x33\\x74\\x2f\\x54\\x6f\\x6b\\x65\\x6e\\x2b\\x22\\xc3\\xa9",
];

fn masker(secrets: &[&str]) -> Masker {
    Masker::new(&secrets.iter().map(|secret| Secret::new(*secret)).collect::<Vec<_>>())
}

#[test]
fn every_form_is_hidden() {
    let masker = masker(&[&format!("Bearer {TOKEN}")]);
    for form in ENCODED {
        let hidden = masker.hide(form).into_owned();
        assert!(hidden.len() <= "bWU6***".len() + 2, "{form}: {hidden}");
        assert!(masker.finds(form.as_bytes()), "{form}");
    }
}

/// As docs/reference/security.md names them: forms that are masked, and then those that are not.
const NAMED: [(&str, &[&str]); 10] = [
    (
        "a list of decimal bytes",
        &[
            "115, 51, 99, 114, 51, 116, 47, 84, 111, 107, 101, 110, 43, 34, 195, 169",
            "[115 51 99 114 51 116 47 84 111 107 101 110 43 34 195 169]",
            "[115,51,99,114,51,116,\n 47,84,111,107,101,110,43,34,195,169]",
            "{\"0\":115,\"1\":51,\"2\": 99,\"3\":114,\"4\":51,\"5\":116,\"6\":47,\"7\":84,\"8\":111}",
        ],
    ),
    (
        "of signed bytes",
        &["[115, 51, 99, 114, 51, 116, 47, 84, 111, 107, 101, 110, 43, 34, -61, -87]"],
    ),
    (
        "of hexadecimal bytes",
        &[
            "[]byte{0x73, 0x33, 0x63, 0x72, 0x33, 0x74, 0x2f, 0x54, 0x6f, 0x6b, 0x65, 0x6e, 0x2b}",
            "0x73,0x33,0x63,0x72,0x33,0x74,0x2F,0x54,0x6F,0x6B,0x65,0x6E,0x2B,0x22,0xC3,0xA9",
            "73, 33, 63, 72, 33, 74, 2f, 54, 6f, 6b, 65, 6e, 2b, 22, c3, a9",
        ],
    ),
    (
        "base64 of UTF-16",
        &[
            "cwAzAGMAcgAzAHQALwBUAG8AawBlAG4AKwAiAOkA",
            "AHMAMwBjAHIAMwB0AC8AVABvAGsAZQBuACsAIgDp",
            "//54AD0AcwAzAGMAcgAzAHQALwBUAG8AawBlAG4AKwAiAOkA",
        ],
    ),
    (
        "base64 in base64",
        &[
            // Of the token, of `me:…`, and of `token=` with base64 of `you:…`.
            "Y3pOamNqTjBMMVJ2YTJWdUt5TERxUT09",
            "YldVNmN6Tmpjak4wTDFSdmEyVnVLeUxEcVE9PQ==",
            "dG9rZW49ZVc5MU9uTXpZM0l6ZEM5VWIydGxiaXNpdzZrPQ==",
            // Three and four times.
            "VVcxV2FHTnRWbmxKU0UxNldUTkplbVJET1ZWaU1uUnNZbWx6YVhjMmF6MD0=",
            "VlZjeFYyRkhUblJXYm14S1UwVXhObGRVVGtwbGJWSkVUMVpXYVUxdVVuTlpiV3g2WVZoak1tRjZNRDA9",
            "qqqcXFjVmRXWkV0bGF6QjVWRzVzVGsweFJqSldhMk0xWTJ4d1dFNUlTa3BqTURsMw==",
        ],
    ),
    (
        "hexadecimal, base32 and base64 of one another",
        &[
            // Hexadecimal of base64, and base32 of hexadecimal.
            "637a4e6a636a4e304c31527661325675",
            "G4ZTGMZWGM3TEMZTG42DEZRVGQ3GMNTCGY2TMZJSMIZDEYZTME4Q",
            // base64 of what is escaped: `&#115;&#51;…`, `%73%33…`.
            "JiMxMTU7JiM1MTsmIzk5OyYjMTE0OyYjNTE7JiMxMTY7JiM0NzsmIzg0OyYjMTExOw==",
            "JTczJTMzJTYzJTcyJTMzJTc0JTJmJTU0JTZmJTZiJTY1JTZl",
        ],
    ),
    (
        "base64 more than four times",
        &[
            "VmxaamVGWXlSa2hVYmxKWFltMTRTMVV3VlhoT2JHUlZWR3R3YkdKV1NrVlVNVnBYWVZVeGRWVnVUbHBpVjNnMldWWm9hazF0UmpaTlJFQTk=",
        ],
    ),
    ("base85", &["b2DRdGjuOhZ);_4D<Z?G"]),
    ("ascii85", &["F#.<H1NY9LDeip%.jDm1"]),
    ("uuencode", &["0<S-C<C-T+U1O:V5N*R+#J0"]),
];
const MASKED: usize = 6;

#[test]
fn the_forms_that_the_documentation_names_are_hidden_and_no_others() {
    let page = include_str!("../../../../docs/reference/security.md");
    let page = page.split_whitespace().collect::<Vec<_>>().join(" ");
    let masker = masker(&[&format!("Bearer {TOKEN}")]);
    for (number, (name, forms)) in NAMED.into_iter().enumerate() {
        assert!(page.contains(name), "{name} is missing in security.md");
        for form in forms {
            let text = format!("got {form} and x=1");
            let hidden = masker.hide(&text).into_owned();
            assert_eq!(hidden != text, number < MASKED, "{name}: {hidden}");
            // The bytes of the last quantum are those of a shorter form.
            let most = "got []byte{***} and x=1".len() + 4;
            assert!(number >= MASKED || hidden.len() <= most, "{name}: {hidden}");
        }
    }
    for text in [
        "1, 2, 3, 4, 5, 6, 7, 8, 9 of 10, 11",
        "2026-11-28 18:00:00 10.0.0.1 200 300 12 13 14 15 16 17",
        "YWJjZGVmZ2hpamtsbW5vcHFyc3R1dnd4eXo=",
        "a-very-long-name_of/a/path+that+is+base64+by/accident",
    ] {
        assert_eq!(masker.hide(text), text);
    }
}

/// Written without the code under test; each gives text.
const ENCODERS: [fn(&[u8]) -> String; 9] = [
    |bytes| each(bytes, |byte| format!("{byte:02x}")),
    |bytes| each(bytes, |byte| format!("{byte:02X}-")),
    |bytes| format!("0x{}", each(bytes, |byte| format!("{byte:02X}"))),
    |bytes| digits(bytes, 6, b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"),
    |bytes| digits(bytes, 6, b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"),
    |bytes| digits(bytes, 5, b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"),
    |bytes| each(bytes, |byte| format!("%{byte:02X}")),
    |bytes| each(bytes, |byte| format!("&#{byte};")),
    |bytes| each(bytes, |byte| format!("\\u{byte:04x}")),
];

fn each(bytes: &[u8], encode: fn(u8) -> String) -> String {
    bytes.iter().map(|byte| encode(*byte)).collect()
}

/// Without padding.
fn digits(bytes: &[u8], bits: usize, alphabet: &[u8]) -> String {
    let all: Vec<u8> = bytes.iter().flat_map(|b| (0..8).rev().map(move |at| b >> at & 1)).collect();
    let digit = |bits: &[u8], size: usize| {
        let number = bits.iter().fold(0, |number, bit| number << 1 | usize::from(*bit));
        char::from(alphabet[number << (size - bits.len())])
    };
    all.chunks(bits).map(|chunk| digit(chunk, bits)).collect()
}

#[test]
fn a_secret_is_hidden_in_each_encoding_of_each_other() {
    let token = "q7Xz-41Token/Of+The.Hook_93~";
    let masker = masker(&[&format!("Bearer {token}")]);
    for (first, inner) in ENCODERS.into_iter().enumerate() {
        for (second, outer) in ENCODERS.into_iter().enumerate() {
            let form = outer(inner(token.as_bytes()).as_bytes());
            let hidden = masker.hide(&format!("got <{form}> here")).into_owned();
            let left = hidden.replace("***", "").len();
            // An escape, or the digits of one, may be left at an end.
            assert!(left <= "got <> here".len() + 24, "{first} in {second}: {hidden}");
        }
    }
}

/// As frameworks escape it in an error page: some of the characters, or all of them.
const ESCAPED: [&str; 17] = [
    "s3cr3t/Token+&quot;é",
    "s3cr3t/Token+&#34;é",
    "s3cr3t&#x2F;Token&#x2b;&#x22;&#xE9;",
    "s3cr3t&#47;Token&#43;&QUOT;&#233;",
    "s3cr3t&sol;Token&plus;&quot;é",
    "&#115;&#51;&#99;&#114;&#51;&#116;&#47;&#84;&#111;&#107;&#101;&#110;&#43;&#34;&#233;",
    // In HTML that is escaped, and in a query that is.
    "s3cr3t&amp;#x2F;Token+&amp;quot;é",
    "s3cr3t%252FToken%252B%2522%25C3%25A9",
    "s3cr3t%25252fToken+%22é",
    "s3cr3t=2FToken=2B=22=C3=A9",
    "s3cr3t/To=\r\nken=2B=22=C3=\r\n=A9",
    "s3cr3t\\057Token\\053\\042\\303\\251",
    "s3cr3t\\u002FToken\\u{2b}\\x22é",
    "s3cr3t\\/Token\\+\\\"é",
    "7333637233742F546f6B656e2B22C3a9",
    "3733333336333732333337343266353436663662363536653262323263336139",
    "S3CR3T/tOKEN+\"é",
];
/// base32: of the token, and after one and after four bytes.
const BASE32: [&str; 3] = [
    "OMZWG4RTOQXVI33LMVXCWIWDVE======",
    "nvztgy3sgn2c6vdpnnsw4kzcyouq",
    "MFQWCYLTGNRXEM3UF5KG62 3FNYVSFQ5J",
];

#[test]
fn what_frameworks_escape_is_hidden() {
    let masker = masker(&[&format!("Bearer {TOKEN}")]);
    for form in ESCAPED {
        for page in [form.to_owned(), format!("<p>got token={form}&amp;x=1</p>")] {
            let hidden = masker.hide(&page).into_owned();
            assert!(hidden.len() <= "<p>got token=***&amp;x=1</p>".len() + 2, "{page}: {hidden}");
        }
    }
    for form in BASE32 {
        let hidden = masker.hide(&form.replace(' ', "")).into_owned();
        assert!(hidden.len() <= "MFQWCY***".len() + 7, "{form}: {hidden}");
    }
    for text in ["100% &amp; more &#x41; \\u0041 =41", "%zz &#; &#x; \\8 &unknown; \\"] {
        assert_eq!(masker.hide(text), text);
    }
}

#[test]
fn a_secret_that_is_wrapped_is_hidden_in_every_form() {
    let masker = masker(&[TOKEN]);
    for form in ENCODED {
        for width in [3, 5, 7] {
            for line_break in ["\n", "\r\n", "\r\n\t ", "=\r\n", "\\n", "\\r\\n  "] {
                let characters: Vec<char> = form.chars().collect();
                let lines: Vec<String> = characters.chunks(width).map(String::from_iter).collect();
                let hidden = masker.hide(&lines.join(line_break)).into_owned();
                let most = "bWU6***".len() + 2 + 4 * line_break.len();
                assert!(hidden.len() <= most, "{form} {width} {line_break:?}: {hidden}");
            }
        }
    }
    assert_eq!(masker.hide("two\nplain\r\nlines\\n"), "two\nplain\r\nlines\\n");
}

#[test]
fn words_and_whole_values_are_hidden_and_other_text_is_not() {
    let masker = masker(&[
        "Bearer hunter22",
        "pass66",
        "tiny",
        "https://u:pw4711@host.example/T0/B0",
        "Basic bWU6aHVudGVyMzM=",
    ]);
    for (text, expected) in [
        ("invalid token=hunter22", "invalid token=***"),
        ("got Bearer hunter22!", "got ***!"),
        ("pass66 is wrong", "*** is wrong"),
        ("pass6 and tiny are kept", "pass6 and tiny are kept"),
        ("Bearer is required", "Bearer is required"),
        ("cannot reach https://host.example:443", "cannot reach https://host.example:443"),
        ("POST /T0/B0", "POST ***"),
        ("pw4711", "***"),
        ("the password is hunter33", "the password is ***"),
        ("ünter22/hunter2", "ünter22/hunter2"),
    ] {
        assert_eq!(masker.hide(text), expected);
    }
}

#[test]
fn a_secret_that_is_only_a_prefix_hides_nothing_and_a_longer_one_does() {
    let help = "such as `echo whsec_$(openssl rand -base64 32)` prints; pdl_ntfset_ and Bearer too";
    for prefix in ["whsec_", " whsec_", "pdl_ntfset_", "Bearer "] {
        assert_eq!(masker(&[prefix]).hide(help), help, "{prefix}");
    }
    assert_eq!(masker(&["whsec_abc"]).hide("it is whsec_abc"), "it is ***");
}

#[test]
fn debug_shows_no_secret() {
    assert_eq!(format!("{:?}", masker(&["hunter22"])), "Masker(***)");
}

proptest! {
    #[test]
    fn no_run_of_a_secret_is_shown_wherever_it_is_cut(
        secret in "[!-~é\u{20ac}]{8,40}",
        form in any::<prop::sample::Index>(),
        cut in any::<prop::sample::Index>(),
        (before, after) in ("[ a-z]{0,20}", "[ a-z]{0,20}"),
        from_start in any::<bool>(),
    ) {
        let forms = forms::forms(&secret);
        let form = String::from_utf8(form.get(&forms).clone()).unwrap();
        let at = cut.index(form.len() + 1);
        let at = (0..=at).rev().find(|at| form.is_char_boundary(*at)).unwrap();
        let piece = if from_start { &form[..at] } else { &form[at..] };
        let text = format!("{before} {piece} {after}");
        let masker = masker(&[&secret]);
        let shown = masker.hide(&text);
        prop_assert!(!masker.finds(shown.as_bytes()), "{shown}");
        for run in form.as_bytes().windows(PART_BYTES) {
            prop_assert!(!shown.as_bytes().windows(PART_BYTES).any(|part| part == run), "{shown}");
        }
    }

    #[test]
    fn text_without_secrets_is_unchanged(text in "[a-z ]{0,60}") {
        prop_assert_eq!(masker(&["0123456789"]).hide(&text), text.as_str());
    }
}

#[test]
fn the_spaces_around_a_secret_stay() {
    let masker = masker(&["Bearer hunter22", "pass 66 word"]);
    for (text, expected) in [
        ("got hunter22 and", "got *** and"),
        ("got\thunter22\nand", "got\t***\nand"),
        ("Bearer  hunter22", "Bearer  ***"),
        ("a pass 66 word b", "a *** b"),
    ] {
        assert_eq!(masker.hide(text), expected);
    }
}

/// As programs show bytes to people, and as a text in UTF-16 looks to who expects UTF-8.
#[test]
fn dumps_and_utf_16_are_hidden() {
    let masker = masker(&["s3cr3t/Token+4711"]);
    let utf_16 = |big: bool| -> String {
        let pair = |c: char| if big { ['\0', c] } else { [c, '\0'] };
        "s3cr3t/Token+4711".chars().flat_map(pair).collect()
    };
    for dump in [
        // xxd, xxd -g 4, od -x, hexdump -C
        "00000000: 7333 6372 3374 2f54 6f6b 656e 2b34 3731  s3cr3t/Token+471\n00000010: 310a  1.",
        "00000000: 73336372 33742f54 6f6b656e 2b343731  s3cr3t/Token+471",
        "0000000 3373 7263 7433 542f 6b6f 6e65 342b 3137",
        "00000000  73 33 63 72 33 74 2f 54  6f 6b 65 6e 2b 34 37 31  |s3cr3t/Token+471|",
        "0000000 733a 7333 6372 3374 2f54",
        &utf_16(true),
        &utf_16(false),
        &utf_16(false).replace('\0', "\\u0000"),
        &utf_16(true).replace('\0', "\\x00"),
        &utf_16(true).replace('\0', "%00"),
    ] {
        let hidden = masker.hide(dump).into_owned();
        let shown: String = hidden.chars().filter(char::is_ascii_alphanumeric).collect();
        let shown = shown.to_lowercase();
        let runs = ["s3cr", "oken", "6372", "7263", "6f6b", "6b6f", "656e", "3731", "4711"];
        assert!(runs.iter().all(|run| !shown.contains(run)), "{dump}: {hidden}");
    }
    for text in ["0a1b 2c3d 4e5f 6071 is plain", "face 1234\0 beef", "at 10:00 2026 1128 7080"] {
        assert_eq!(masker.hide(text), text);
    }
}
