//! Tables and properties of the text of an SMS.

use proptest::prelude::*;

use super::*;

const OTHERWISE: &str = "attack 01J0";

fn repeated(text: &str, times: usize) -> String {
    text.repeat(times)
}

/// One event, at most two segments.
fn short(message: &str) -> String {
    compose(message, 1, OTHERWISE, 2)
}

#[test]
fn segments_are_counted_as_the_networks_do() {
    for (text, expected) in [
        ("a".to_owned(), 1),
        // GSM-7: 160, or 153 each.
        (repeated("a", 160), 1),
        (repeated("a", 161), 2),
        (repeated("a", 306), 2),
        (repeated("a", 307), 3),
        (repeated("a", 459), 3),
        (repeated("a", 460), 4),
        (repeated("@£ΔÑ\n", 32), 1),
        // The extension table counts two.
        (repeated("€", 80), 1),
        (repeated("€", 81), 2),
        (repeated("a", 159) + "[", 2),
        (repeated("{}", 40), 1),
        // An escape and its character stay together: 76 fit into a segment, not 76 and a half.
        (repeated("€", 152), 2),
        (repeated("€", 153), 3),
        (repeated("a", 152) + "€" + &repeated("a", 152), 3),
        (repeated("a", 151) + "€" + &repeated("a", 153), 2),
        // UCS-2: 70, or 67 each.
        (repeated("ч", 70), 1),
        (repeated("ч", 71), 2),
        (repeated("م", 70), 1),
        (repeated("م", 134), 2),
        (repeated("م", 135), 3),
        // A single such character makes the whole message UCS-2.
        (repeated("a", 69) + "ç", 1),
        (repeated("a", 70) + "ç", 2),
        // An emoji is two units, and its halves stay together: 33 fit into a segment.
        (repeated("😀", 35), 1),
        (repeated("😀", 36), 2),
        (repeated("😀", 66), 2),
        (repeated("😀", 67), 3),
        // A family is eleven units: six families a segment.
        (repeated("👨‍👩‍👧‍👦", 6), 1),
        (repeated("👨‍👩‍👧‍👦", 12), 2),
        (repeated("👨‍👩‍👧‍👦", 13), 3),
    ] {
        assert_eq!(segments(&text), expected, "{} × {text}", text.chars().count());
    }
}

#[test]
fn a_text_that_fits_is_sent_unchanged() {
    for text in [
        "Attack on \"shop\" from 203.0.113.9",
        "line one\nline two {x} [y] ~ € ^",
        "هجوم SQL على المتجر",
        "🚨 Attaque réussie 👨‍👩‍👧‍👦 🇫🇷",
        "reçu",
    ] {
        assert_eq!(short(text), text);
    }
    for text in [repeated("a", 306), repeated("م", 134), repeated("😀", 66)] {
        assert_eq!(short(&text), text);
    }
}

#[test]
fn look_alikes_are_replaced_where_that_saves_the_encoding() {
    assert_eq!(short("it’s – “cut”… `x` → y"), "it's - \"cut\"... 'x' -> y");
    assert_eq!(short("it’s ✓ “cut”…"), "it’s ✓ “cut”…");
}

#[test]
fn extra_white_space_and_invisible_characters_are_removed() {
    for (message, expected) in [
        ("  a\t b \u{a0} c  ", "a b c"),
        ("a\r\n\r\nb\u{2028}c", "a\nb\nc"),
        ("a\u{1b}[31mb\u{0}c\u{7f}d", "a [31mb c d"),
        ("a\u{202e}b\u{200b}c\u{feff}", "abc"),
        ("\u{301}a", "a"),
        ("\u{200d}\u{fe0f} x", "x"),
    ] {
        assert_eq!(short(message), expected, "{message:?}");
    }
}

#[test]
fn a_message_without_visible_text_is_replaced() {
    for message in ["", " ", "\n\t", "\u{200b}", "\u{200d}\u{fe0f}", "\u{3164}", "\u{0}\u{1b}"] {
        assert_eq!(short(message), OTHERWISE, "{message:?}");
    }
    assert_eq!(compose("\u{200b} (+4 more)", 5, OTHERWISE, 1), "attack 01J0 (+4 more)");
}

#[test]
fn a_long_text_is_cut_with_an_ellipsis_of_its_encoding() {
    assert_eq!(short(&repeated("a", 307)), repeated("a", 303) + "...");
    assert_eq!(short(&repeated("€", 200)), repeated("€", 151) + "...");
    assert_eq!(short(&repeated("م", 135)), repeated("م", 133) + "…");
    assert_eq!(short(&repeated("word ", 100)), repeated("word ", 60) + "wor...");
    assert_eq!(compose(&repeated("word ", 100), 1, OTHERWISE, 1), repeated("word ", 31) + "wo...");
}

#[test]
fn no_character_is_cut_in_half() {
    assert_eq!(short(&repeated("😀", 100)), repeated("😀", 66) + "…");
    // 134 places: 66 families would be 726, twelve are 132 with two places left.
    assert_eq!(short(&repeated("👨‍👩‍👧‍👦", 20)), repeated("👨‍👩‍👧‍👦", 12) + "…");
    assert_eq!(short(&repeated("🇫🇷", 50)), repeated("🇫🇷", 32) + "…");
    assert_eq!(short(&repeated("e\u{301}", 100)), repeated("e\u{301}", 66) + "…");
}

#[test]
fn an_emoji_late_in_the_text_does_not_halve_it() {
    let text = repeated("a", 280) + "😀" + &repeated("b", 100);
    assert_eq!(short(&text), repeated("a", 280) + "...");
    let text = "😀".to_owned() + &repeated("b", 300);
    assert_eq!(short(&text), "😀".to_owned() + &repeated("b", 131) + "…");
}

#[test]
fn the_count_of_others_survives_the_cut_and_is_not_added_twice() {
    let cut = compose(&(repeated("a", 400) + " (+999 more)"), 1000, OTHERWISE, 1);
    assert_eq!(cut, repeated("a", 145) + "... (+999 more)");
    assert_eq!(cut.chars().count(), 160);
    assert_eq!(compose("a (+2 more)", 3, OTHERWISE, 1), "a (+2 more)");
    // A custom message may lack the count.
    assert_eq!(compose("attacks!", 3, OTHERWISE, 1), "attacks!");
    // A sender cannot forge a count that survives the cut.
    let cut = compose(&(repeated("a", 400) + " (+7 more)"), 1, OTHERWISE, 1);
    assert_eq!(cut, repeated("a", 157) + "...");
}

fn any_text() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        any::<char>().prop_map(String::from),
        "[ -~]{1,40}",
        "[é€{}\\[\\]~^|\\\\@Δ\n]{1,40}",
        "[’–…“”م‌ة😀\u{301}\u{200d}\u{fe0f}\u{1f3fb}\u{1f1e6}\u{200b}\u{202e}\u{0}-\u{1f}]{1,40}",
    ];
    proptest::collection::vec(piece, 0..60).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn every_text_can_be_sent(
        text in any_text(),
        count in prop_oneof![1u64..4, Just(u64::MAX)],
        counts_others in any::<bool>(),
        segments_max in 1u8..=SEGMENTS_MAX,
    ) {
        let more = if counts_others { format!(" (+{} more)", count - 1) } else { String::new() };
        let composed = compose(&format!("{text}{more}"), count, OTHERWISE, segments_max);
        prop_assert!(segments(&composed) <= usize::from(segments_max), "{composed:?}");
        prop_assert!(composed.chars().any(|c| !is_blank(c)), "{composed:?}");
        prop_assert!(composed.chars().count() <= CHARS_MAX);
        prop_assert!(composed.chars().all(|c| c == '\n' || !c.is_control()), "{composed:?}");
        prop_assert!(!composed.chars().any(is_dropped), "{composed:?}");
        if counts_others && count > 1 {
            prop_assert!(composed.ends_with(&more), "{composed:?}");
        }
    }

    #[test]
    fn a_cut_text_is_a_start_of_it(words in proptest::collection::vec("[a-zé€🚨م]{1,12}", 1..200)) {
        let text = words.join(" ");
        let composed = short(&text);
        let start = composed.strip_suffix("...").or_else(|| composed.strip_suffix('…'));
        prop_assert!(text.starts_with(start.unwrap_or(&composed)), "{composed:?}");
        prop_assert_eq!(start.is_none(), segments(&text) <= 2);
        prop_assert_eq!(compose(&composed, 1, OTHERWISE, 2), composed);
    }

    #[test]
    fn plain_text_is_counted_by_division(length in 1usize..2000) {
        let count = |single, part| if length <= single { 1 } else { length.div_ceil(part) };
        prop_assert_eq!(segments(&"x".repeat(length)), count(160, 153));
        prop_assert_eq!(segments(&"ж".repeat(length)), count(70, 67));
    }
}
