//! No change of what a signature does not cover changes the events of a request, or makes an event of a question:
//! over every vendor's file, and over schemes that a user could write.

mod borders;
mod methods;
mod own;
mod requests;
mod values;

use std::collections::BTreeSet;
use std::io::Write as _;
use std::sync::LazyLock;
use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue, Uri, header};
use proptest::prelude::*;
use ring::rand::SystemRandom;

use super::super::decode;
use super::super::rules::Rules;
use super::super::settings::Repeat;
use super::*;
use crate::config::vendors::{self, Vendor};
use crate::model::{Coverage, RepetitionKey, RepetitionSeed, Secret, SignedBody, SignedParts};
use crate::normalize::{Sample, Sender, UnsignedTypes};
use crate::verify::{self, KeyForm, Scheme, Signer, Unsigned, Verifier};

/// Vendors that sign no content: anyone who can send a request can choose every part of it.
const SIGN_NOTHING: [&str; 6] =
    ["azure-event-grid", "cloudflare-token", "gitlab-token", "google-pubsub", "mailgun", "okta"];
/// Vendors whose events are named by an unsigned header, which counts only if a source sets `unsigned_types`. Then
/// the type, and a title made of it, may change to another word of a list, and nothing else may.
const NAMED_BY_HEADER: [&str; 9] = [
    "bitbucket",
    "contentful",
    "forgejo",
    "gitea",
    "github",
    "sentry",
    "shopify",
    "snyk",
    "woocommerce",
];

const URL: &str = "https://hooks.example.org";
const ADDRESS: &str = "/hook?x=1";
const NOW: Timestamp = Timestamp::from_millis(1_790_000_000_000);
/// What an attacker would like a person to read.
const FREE_TEXT: &str = "call +1-900-555-0199";
const VALUES: [&str; 20] = [
    "",
    FREE_TEXT,
    "critical",
    "7e9c0000-0000-0000-0000-000000000001",
    "2031-01-01T00:00:00Z",
    "1790000000",
    "https://evil.example.org",
    "push",
    "issue",
    "orders/create",
    "webhook_callback_verification",
    "application/x-www-form-urlencoded",
    "multipart/form-data; boundary=x",
    "application/json; charset=utf-16",
    "text/plain",
    "gzip",
    "br",
    "deflate, gzip",
    "zstd",
    "compress",
];

/// A request as its vendor would send it, and what is read from it.
struct Signed {
    vendor: &'static str,
    /// The sample, and how its body is compressed.
    name: String,
    verifier: Verifier,
    sender: Sender,
    types: UnsignedTypes,
    request: Request,
    /// Headers that the sender reads.
    headers: Vec<HeaderName>,
    /// None for a question.
    events: Vec<Seen>,
}

#[derive(Clone, Debug, PartialEq)]
struct Seen {
    kind: String,
    title: String,
    dedup: Option<RepetitionKey>,
    /// Everything else that is read from the event.
    rest: String,
    data: Bytes,
}

const SKIP: Repeat = Repeat::Skip { window: Duration::from_secs(3_600) };

/// The events of a request; `None` if it is refused or a handshake.
fn events(verifier: &Verifier, sender: &Sender, request: Request) -> Option<Vec<Seen>> {
    static RULES: LazyLock<Rules> = LazyLock::new(|| {
        let (settings, router) = kit::rules(&[SECRET], 1);
        Rules::new(settings, router, None)
    });
    let verified = verifier.verify(request).ok()?;
    if verifier.answer(&verified).ok()?.is_some() {
        return None;
    }
    let body = decode::decoded(sender, verified.request(), kit::BODY_BYTES_MAX).ok()?;
    let Request { headers, uri, .. } = verified.request();
    let media =
        normalize::media_type(sender, headers, uri.query(), &body, normalize::Content::Plain);
    let (bytes_max, seed) = (kit::BODY_BYTES_MAX, RepetitionSeed::default());
    let (planned, ..) = RULES.plan(sender, SKIP, &verified, &body, bytes_max, seed).ok()?;
    let seen = |planned: crate::model::Planned| {
        let event = planned.event;
        let a = event.attributes;
        let rest = (a.severity, a.subject, a.time, a.link, event.shape, &media);
        let (kind, title, rest) = (a.event_type, a.title, format!("{rest:?}"));
        Seen { kind, title, dedup: event.dedup, rest, data: event.data }
    };
    Some(planned.into_iter().map(seen).collect())
}

/// Every sample of every vendor that signs its content, plain and compressed, and every question.
static SIGNED: LazyLock<Vec<Signed>> = LazyLock::new(|| {
    let random = SystemRandom::new();
    let default =
        vendors::all().flat_map(|vendor| requests::signed(vendor, UnsignedTypes::Ignored, &random));
    let named = vendors::all().filter(|vendor| NAMED_BY_HEADER.contains(&vendor.name));
    let listed = named.flat_map(|vendor| requests::signed(vendor, UnsignedTypes::Listed, &random));
    default.chain(listed).chain(own::signed(&random)).collect()
});

/// One change of what may be unsigned.
#[derive(Clone, Debug)]
enum Change {
    Set(HeaderName, &'static str),
    Add(HeaderName, &'static str),
    Remove(HeaderName),
    /// Sent twice.
    Double(HeaderName),
    /// In upper case.
    Upper(HeaderName),
    /// All headers in the opposite order.
    Reverse,
    Query(&'static str),
    /// Another spelling of the path.
    Path(&'static str),
    Method(usize),
}

const PATHS: [&str; 5] = ["/HOOK", "/hook/", "//hook", "/ho%6Fk", "/hook;x=1"];

/// Headers that say how a request is to be read, besides those that its sender reads.
fn common_headers() -> Vec<HeaderName> {
    let names = [
        "content-type",
        "content-encoding",
        "ce-id",
        "ce-type",
        "ce-severity",
        "x-event",
        "webhook-id",
        "webhook-signature",
        "svix-id",
        "svix-signature",
        "twitch-eventsub-message-type",
        "x-http-method-override",
    ];
    names.iter().map(|name| HeaderName::from_static(name)).collect()
}

fn change(request: &mut Request, change: &Change, methods: &[Method]) {
    let value = |text: &&'static str| HeaderValue::from_static(text);
    match change {
        Change::Set(name, text) => {
            request.headers.insert(name, value(text));
        }
        Change::Add(name, text) => {
            request.headers.append(name, value(text));
        }
        Change::Remove(name) => {
            request.headers.remove(name);
        }
        Change::Double(name) => {
            if let Some(value) = request.headers.get(name).cloned() {
                request.headers.append(name, value);
            }
        }
        Change::Upper(name) => {
            if let Some(value) = request.headers.get_mut(name) {
                *value = HeaderValue::from_bytes(&value.as_bytes().to_ascii_uppercase()).unwrap();
            }
        }
        Change::Reverse => {
            let all: Vec<_> = request.headers.iter().map(|(n, v)| (n.clone(), v.clone())).collect();
            request.headers.clear();
            for (name, value) in all.into_iter().rev() {
                request.headers.append(name, value);
            }
        }
        Change::Path(path) => {
            let query = request.uri.query().map(|query| format!("?{query}")).unwrap_or_default();
            request.uri = format!("{path}{query}").parse::<Uri>().unwrap();
        }
        Change::Query(query) => {
            request.uri = format!("/hook?{query}").parse::<Uri>().unwrap();
        }
        Change::Method(index) => request.method = methods[index % methods.len()].clone(),
    }
}

/// Checks that the changed request is refused or has the same events.
fn check(signed: &Signed, changes: &[Change]) {
    let mut request = signed.request.clone();
    for one in changes {
        change(&mut request, one, &signed.verifier.scheme().methods);
    }
    let Some(found) = events(&signed.verifier, &signed.sender, request) else { return };
    let what = || format!("{}, {} with {changes:?}", signed.vendor, signed.name);
    assert_eq!(found.len(), signed.events.len(), "{}", what());
    for (found, expected) in found.iter().zip(&signed.events) {
        assert_eq!((&found.rest, &found.data), (&expected.rest, &expected.data), "{}", what());
        if signed.types == UnsignedTypes::Listed {
            let shown = format!("{} {}", found.kind, found.title);
            assert!(!shown.contains(FREE_TEXT), "{}: {shown}", what());
            assert_ne!(found.kind, "critical", "{}", what());
        } else {
            assert_eq!(found, expected, "{}", what());
        }
    }
}

#[test]
fn every_vendor_that_signs_its_content_is_tried() {
    let vendors = SIGNED.iter().filter(|signed| signed.vendor != own::NAME);
    let tried: BTreeSet<&str> = vendors.map(|signed| signed.vendor).collect();
    let expected: BTreeSet<&str> = vendors::all()
        // Those with published keys sign nothing that a test could send: `verify` and `published` have keys for them.
        .filter(|vendor| vendor.scheme().is_some_and(|scheme| scheme.has_secrets()))
        .filter(|vendor| !SIGN_NOTHING.contains(&vendor.name))
        .map(|vendor| vendor.name)
        .collect();
    assert_eq!(tried, expected);
    for name in SIGN_NOTHING {
        assert_eq!(vendors::scheme(name).unwrap().coverage(), [Coverage::Nothing], "{name}");
    }
    let questions = SIGNED.iter().filter(|signed| signed.events.is_empty());
    assert_eq!(questions.count(), requests::QUESTIONS.len());
    assert!(SIGNED.iter().any(|signed| signed.name.ends_with(" gzip")));
    assert!(SIGNED.iter().any(|signed| signed.name.ends_with(" deflate")));
}

#[test]
fn the_type_changes_only_where_the_source_lets_a_header_name_it() {
    for signed in SIGNED.iter().filter(|signed| signed.types == UnsignedTypes::Ignored) {
        for name in signed.headers.iter().filter(|_| !signed.events.is_empty()) {
            let mut request = signed.request.clone();
            request.headers.remove(name);
            if let Some(found) = events(&signed.verifier, &signed.sender, request) {
                assert_eq!(found, signed.events, "{}", signed.name);
            }
        }
    }
    let lists = |vendor: &Vendor| vendors::sender(vendor.name).is_some_and(|s| s.lists_types());
    let listing: Vec<&str> =
        vendors::all().filter(|vendor| lists(vendor)).map(|vendor| vendor.name).collect();
    assert_eq!(listing, NAMED_BY_HEADER);
}

#[test]
fn no_single_change_of_an_unsigned_part_changes_an_event() {
    for signed in &*SIGNED {
        for name in &signed.headers {
            for change in [Change::Remove, Change::Double, Change::Upper] {
                check(signed, &[change(name.clone())]);
            }
            for value in VALUES {
                check(signed, &[Change::Set(name.clone(), value)]);
            }
        }
        check(signed, &[Change::Reverse]);
        for path in PATHS {
            check(signed, &[Change::Path(path)]);
        }
    }
    // How a body is read does not depend on the vendor.
    for signed in
        SIGNED.iter().filter(|s| ["slack", "github", "zendesk", own::NAME].contains(&s.vendor))
    {
        for name in common_headers() {
            check(signed, &[Change::Remove(name.clone())]);
            for value in VALUES {
                check(signed, &[Change::Set(name.clone(), value)]);
                check(signed, &[Change::Add(name.clone(), value)]);
            }
        }
    }
}

/// A captured request with the headers of one set cannot get the id of another.
#[test]
fn an_added_id_of_another_set_is_not_used() {
    let mut vendors = BTreeSet::new();
    for signed in SIGNED.iter().filter(|s| s.request.headers.contains_key("webhook-signature")) {
        if signed.vendor == "cloudflare-stream" {
            continue;
        }
        vendors.insert(signed.vendor);
        let mut request = signed.request.clone();
        for (old, new) in
            [("id", "svix-id"), ("timestamp", "svix-timestamp"), ("signature", "svix-signature")]
        {
            let value = request.headers.remove(format!("webhook-{old}")).unwrap();
            request.headers.insert(new, value);
        }
        let branded = events(&signed.verifier, &signed.sender, request.clone());
        assert_eq!(branded.as_ref(), Some(&signed.events), "{}", signed.name);
        request.headers.insert("webhook-id", HeaderValue::from_static("fresh"));
        request.headers.insert("webhook-timestamp", HeaderValue::from_static("1790000000"));
        assert_eq!(events(&signed.verifier, &signed.sender, request), branded, "{}", signed.name);
    }
    assert!(vendors.contains("standard-webhooks") && vendors.contains("gitlab"), "{vendors:?}");
}

#[test]
fn equal_events_are_several_unless_the_request_is_a_copy() {
    for (vendor, is_dated) in [("grafana", true), ("dropbox", false)] {
        let mut found = SIGNED.iter().filter(|signed| signed.vendor == vendor).peekable();
        assert!(found.peek().is_some(), "{vendor}");
        for signed in found.filter(|signed| !signed.events.is_empty()) {
            let is_known = signed.events.iter().all(|event| event.dedup.is_some());
            assert_eq!(is_known, is_dated, "{}", signed.name);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3_000))]

    #[test]
    fn no_change_of_unsigned_parts_changes_an_event(
        index in any::<prop::sample::Index>(),
        changes in prop::collection::vec(
            (0usize..9, any::<prop::sample::Index>(), 0..VALUES.len()), 1..6,
        ),
    ) {
        const QUERIES: [&str; 4] = ["", "x=2", "event=push&bodySHA256=00", "x=1&severity=critical"];
        let signed = index.get(&SIGNED);
        let mut names = common_headers();
        names.extend(signed.headers.iter().cloned());
        let change = |(kind, name, value): (usize, prop::sample::Index, usize)| {
            let (name, text) = (name.get(&names).clone(), VALUES[value]);
            match kind {
                0 => Change::Set(name, text),
                1 => Change::Add(name, text),
                2 => Change::Remove(name),
                3 => Change::Query(QUERIES[value % QUERIES.len()]),
                4 => Change::Double(name),
                5 => Change::Upper(name),
                6 => Change::Reverse,
                7 => Change::Path(PATHS[value % PATHS.len()]),
                _ => Change::Method(value),
            }
        };
        let changes: Vec<Change> = changes.into_iter().map(change).collect();
        check(signed, &changes);
    }
}
