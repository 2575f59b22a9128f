//! Where the address and what follows it are signed without a separator, the signature holds wherever the border is.

use sha2::{Digest as _, Sha256};

use super::requests::{keyed, sign};
use super::*;
use crate::normalize::Record;
use crate::verify::{Part, Unit};

#[test]
fn no_other_border_between_address_and_json_gives_an_event() {
    for signed in SIGNED.iter().filter(|signed| signed.name.starts_with("square/")) {
        let whole = [signed.request.uri.to_string().as_bytes(), &signed.request.body].concat();
        let border = whole.len() - signed.request.body.len();
        for at in (1..whole.len()).filter(|at| *at != border) {
            let Ok(uri) = Uri::try_from(&whole[..at]) else { continue };
            let body = Bytes::copy_from_slice(&whole[at..]);
            let request = Request { uri, body, ..signed.request.clone() };
            let found = events(&signed.verifier, &signed.sender, request);
            assert!(found.is_none_or(|found| found == signed.events), "{} at {at}", signed.name);
        }
    }
}

/// What an attacker would like to be delivered.
const EVENT: &str = r#"[{"MessageSid":"SM9","MessageStatus":"failed","Body":"call"}]"#;

/// Forms whose address and fields, one after the other, are an honest request's, with the end of its address as a field.
fn forms_at_the_beginning_of(address: &str, fields: &[(&str, &str)]) -> Vec<(Method, Uri, String)> {
    let mut all = Vec::new();
    for at in 1..address.len() {
        let (Ok(uri), rest) = (Uri::try_from(&address[..at]), &address[at..]) else { continue };
        for (name, value) in (0..=rest.len()).map(|border| rest.split_at(border)) {
            let mut form = form_urlencoded::Serializer::new(String::new());
            form.append_pair(name, value).extend_pairs(fields);
            all.push((Method::POST, uri.clone(), form.finish()));
        }
        // Its end before the first field, whose own name is a part of its value.
        if let Some(((first, value), others)) = fields.split_first() {
            for (name, begin) in (0..=rest.len()).map(|border| rest.split_at(border)) {
                let mut form = form_urlencoded::Serializer::new(String::new());
                form.append_pair(name, &format!("{begin}{first}{value}")).extend_pairs(others);
                all.push((Method::POST, uri.clone(), form.finish()));
            }
        }
    }
    all
}

/// Requests whose address and fields, one after the other, are this text, with all of it in the address or with one field
/// that begins and ends anywhere.
fn requests(text: &str) -> Vec<(Method, Uri, String)> {
    let mut all = Vec::new();
    for at in 1..=text.len() {
        let Ok(uri) = Uri::try_from(&text[..at]) else { continue };
        let rest = &text[at..];
        if rest.is_empty() {
            all.push((Method::GET, uri.clone(), String::new()));
            let bodies = ["", "=", "&=", EVENT];
            all.extend(bodies.map(|body| (Method::POST, uri.clone(), body.to_owned())));
            continue;
        }
        for (name, value) in (0..=rest.len()).map(|border| rest.split_at(border)) {
            let mut form = form_urlencoded::Serializer::new(String::new());
            form.append_pair(name, value);
            all.push((Method::POST, uri.clone(), form.finish()));
        }
    }
    all
}

/// What verifies and reads Twilio's requests, and who signs any address with the same secret.
fn twilio() -> (Verifier, Sender, Signer) {
    let twilio = vendors::scheme("twilio").unwrap();
    let (_, verifier) = keyed(twilio, &SystemRandom::new());
    let sender =
        vendors::sender("twilio").unwrap().limited(&twilio.coverage(), UnsignedTypes::Ignored);
    let mut scheme = Scheme::clone(twilio);
    let verify::Proof::Signature(signature) = &mut scheme.proof else { panic!() };
    signature.signed = vec![verify::Part::Url];
    let (signer, _) = keyed(&Arc::new(scheme), &SystemRandom::new());
    (verifier, sender, signer)
}

/// A request whose signature is of this text.
fn signed(signer: &Signer, text: &str, method: Method, path: &str, body: &str) -> Request {
    let unsigned = Unsigned {
        method: method.clone(),
        public_url: Some(URL),
        path: text,
        headers: HeaderMap::new(),
        body: &[],
        now: NOW,
        id: "",
    };
    let mut headers = HeaderMap::new();
    for (name, value) in signer.sign(unsigned, &SystemRandom::new()).unwrap().headers {
        headers.insert(name, HeaderValue::from_str(&value).unwrap());
    }
    let (source, body) = (Arc::from("hook"), Bytes::copy_from_slice(body.as_bytes()));
    Request { source, method, uri: path.parse().unwrap(), headers, body, received_at: NOW }
}

#[test]
fn no_other_border_between_address_and_form_gives_an_event() {
    let (verifier, sender, signer) = twilio();
    let hash = |body: &str| {
        Sha256::digest(body).iter().map(|byte| format!("{byte:02x}")).collect::<String>()
    };
    let mut tried = 0;
    // Someone else wrote the text before the request was captured.
    for written in [
        "hello".to_owned(),
        "x&MessageSid=SM9&MessageStatus=failed&Body=call&".to_owned(),
        "x&AccountSid=AC0&MessageSid=SM9&MessageStatus=failed&".to_owned(),
        format!("x&bodySHA256={}&", hash(EVENT)),
        format!("x&bodySHA256={}", hash(EVENT)),
        format!("x&bodySHA256={}&MessageSid=SM9&MessageStatus=failed&", hash("")),
    ] {
        let fields = [
            ("AccountSid", "AC0"),
            ("ApiVersion", "2010-04-01"),
            ("Body", written.as_str()),
            ("From", "+33600000002"),
            ("MessageSid", "SM1"),
            ("To", "+33600000001"),
        ];
        let form = form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
        let joined: String = fields.into_iter().flat_map(|(name, value)| [name, value]).collect();
        let post = format!("{ADDRESS}{joined}");
        let get = format!("{ADDRESS}&{form}");
        let is_clear = |words: &[&str]| !words.iter().any(|word| written.contains(word));
        for (honest, signed_text, is_taken) in [
            (
                signed(&signer, &post, Method::POST, ADDRESS, &form),
                &post,
                is_clear(&["&AccountSid=", "bodySHA256="]),
            ),
            (signed(&signer, &get, Method::GET, &get, ""), &get, is_clear(&["AccountSid"])),
        ] {
            let found = events(&verifier, &sender, honest.clone());
            assert_eq!(found.is_some(), is_taken, "{written}");
            if let Some(found) = found {
                assert_eq!(found[0].title, format!("+33600000002: {written}"));
            }
            for (method, uri, body) in requests(signed_text) {
                if method == honest.method && uri == honest.uri {
                    continue;
                }
                tried += 1;
                let shown = format!("{method} {uri} {body}");
                let request = Request { method, uri, body: body.into(), ..honest.clone() };
                assert_eq!(events(&verifier, &sender, request), None, "{shown}");
            }
        }
    }
    assert!(tried > 10_000, "{tried}");
}

/// All hooks of an account are signed with one secret, so its end may also lead from one source to another.
#[test]
fn no_end_of_the_address_becomes_a_field_of_the_form() {
    let (verifier, sender, signer) = twilio();
    let fields = [("AccountSid", "AC0"), ("Body", "hi"), ("MessageSid", "SM1"), ("To", "+336")];
    let form = form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
    let joined: String = fields.into_iter().flat_map(|(name, value)| [name, value]).collect();
    for address in [
        ADDRESS,
        "/hook/2",
        "/hook-2",
        "/hook2",
        "/hook.AccountSid",
        "/hook.AccountSidX",
        "/hook%41",
    ] {
        let text = format!("{address}{joined}");
        let honest = signed(&signer, &text, Method::POST, address, &form);
        let is_taken = !address.contains("AccountSid");
        assert_eq!(events(&verifier, &sender, honest.clone()).is_some(), is_taken, "{address}");
        for (method, uri, body) in forms_at_the_beginning_of(address, &fields) {
            let shown = format!("{uri} {body}");
            let request = Request { method, uri, body: body.into(), ..honest.clone() };
            assert_eq!(events(&verifier, &sender, request), None, "{shown}");
        }
    }
}

/// Someone who wrote a text of a request sends its signature with the address as a form.
#[test]
fn no_form_is_accepted_whose_fields_were_in_a_signed_address() {
    let (verifier, sender, signer) = twilio();
    let text = "A0AccountSidAC1BodyPayNowFromEvilMessageSidSMEMessageStatusfailedTo911z";
    let get = format!("/hook?ToCountry=FR&Body={text}&To=1&AccountSid=AC0&From=2");
    let early = format!("/hook?AccountSid=AC0&Body={text}&To=1");
    let json = "/hook?a=23&bodySHA256=00ff";
    let fields = |first: (&str, &str), last: &str| {
        let all = [
            first,
            ("AccountSid", "AC1"),
            ("Body", "PayNow"),
            ("From", "Evil"),
            ("MessageSid", "SME"),
            ("MessageStatus", "failed"),
            ("To", "911"),
            ("z", last),
        ];
        form_urlencoded::Serializer::new(String::new()).extend_pairs(all).finish()
    };
    let one = |name: &str, value: &str| {
        form_urlencoded::Serializer::new(String::new()).append_pair(name, value).finish()
    };
    for (captured, address, body) in [
        (&*get, "/hook", fields(("?", "ToCountry=FR&Body=A0"), "&To=1&AccountSid=AC0&From=2")),
        (&get, "/hook", fields(("", "?ToCountry=FR&Body=A0"), "&To=1&AccountSid=AC0&From=2")),
        (&get, "/hook?ToCountry=FR&Body=A", fields(("0", ""), "&To=1&AccountSid=AC0&From=2")),
        (&early, "/hook?AccountSid=AC0&Body=A", fields(("0", ""), "&To=1")),
        (&get, &get, "&".to_owned()),
        (json, "/hook", one("?a", "=23&bodySHA256=00ff")),
        (json, "/hook?a=2", one("3", "&bodySHA256=00ff")),
        (json, "/hook?a=23&bo", one("dySHA256", "=00ff")),
    ] {
        let fields = form_urlencoded::parse(body.as_bytes());
        let joined: String = fields.flat_map(|(name, value)| [name, value]).collect();
        assert_eq!(format!("{address}{joined}"), captured, "the signature holds");
        let request = signed(&signer, captured, Method::POST, address, &body);
        assert_eq!(events(&verifier, &sender, request), None, "{captured} as {address} {body}");
    }
}

/// The bytes of a request that are signed as this part, if they can be changed.
fn bytes_of(request: &Request, part: &Part) -> Option<Vec<u8>> {
    let header = |name| Some(request.headers.get(name)?.as_bytes().to_vec());
    match part {
        Part::Path => Some(request.uri.to_string().into_bytes()),
        Part::Url => Some(format!("{URL}{}", request.uri).into_bytes()),
        Part::Id => header("x-id"),
        Part::Stamp | Part::StampIfSent(_) => header("x-time"),
        Part::Header(name) => header(name.as_str()),
        _ => None,
    }
}

/// The request with other bytes for this part; `None` if it cannot be sent.
fn with(request: &Request, part: &Part, bytes: &[u8]) -> Option<Request> {
    let mut request = request.clone();
    let name = match part {
        Part::Path => {
            request.uri = Uri::try_from(bytes).ok()?;
            return Some(request);
        }
        Part::Url => {
            request.uri = Uri::try_from(bytes.strip_prefix(URL.as_bytes())?).ok()?;
            return Some(request);
        }
        Part::Id => "x-id",
        Part::Stamp | Part::StampIfSent(_) => "x-time",
        Part::Header(name) => name.as_str(),
        _ => return None,
    };
    let name: HeaderName = name.parse().ok()?;
    request.headers.insert(name, HeaderValue::from_bytes(bytes).ok()?);
    Some(request)
}

/// Each request whose border between this part and the body is elsewhere; `between` is signed at the border.
fn with_other_borders(
    request: &Request,
    part: &Part,
    between: &[u8],
    is_before: bool,
) -> Vec<Request> {
    let Some(bytes) = bytes_of(request, part) else { return Vec::new() };
    let both = if is_before { [&bytes, &request.body[..]] } else { [&request.body[..], &bytes] };
    let whole = both.join(between);
    let mut all = Vec::new();
    for at in (0..=whole.len()).filter(|at| whole[*at..].starts_with(between)) {
        let (left, right) = (&whole[..at], &whole[at + between.len()..]);
        let (bytes, body) = if is_before { (left, right) } else { (right, left) };
        let moved = with(request, part, bytes);
        all.extend(moved.map(|moved| Request { body: Bytes::copy_from_slice(body), ..moved }));
    }
    all
}

/// A signed request; `None` if the scheme cannot sign this body.
fn with_headers(
    signer: &Signer,
    headers: [(&'static str, &'static str); 2],
    body: &str,
    random: &SystemRandom,
) -> Option<Request> {
    let headers = headers
        .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)));
    sign(signer, headers.into_iter().collect(), body.as_bytes(), random)
}

/// Each request with the same signed bytes, but other borders of its body.
fn with_moved_bytes(honest: &Request, signed: &[Part]) -> Vec<Request> {
    let place = signed.iter().position(|part| *part == Part::Body).unwrap();
    let text = |place: usize| match signed.get(place) {
        Some(Part::Literal(text)) => text.as_bytes(),
        _ => &[],
    };
    let mut moved = Vec::new();
    if place > 0 {
        let (between, beside) = match text(place - 1) {
            [] => (&b""[..], place - 1),
            between => (between, place.saturating_sub(2)),
        };
        let between = if matches!(signed[beside], Part::StampIfSent(_)) { b":" } else { between };
        moved.extend(with_other_borders(honest, &signed[beside], between, true));
    }
    if place + 1 < signed.len() {
        let between = text(place + 1);
        let beside = if between.is_empty() { place + 1 } else { place + 2 };
        moved.extend(with_other_borders(honest, &signed[beside], between, false));
    }
    moved
}

#[test]
fn no_bytes_move_between_a_body_and_the_part_beside_it() {
    let random = SystemRandom::new();
    let literal = |text: &'static str| Part::Literal(text.into());
    let event = || Part::Header(HeaderName::from_static("x-event"));
    let mut lists = Vec::new();
    for part in [event, || Part::Id, || Part::Stamp, || Part::Path, || Part::Url] {
        lists.push(vec![part(), Part::Body]);
        lists.push(vec![Part::Body, part()]);
        for between in [".", "\n", "&"] {
            lists.push(vec![part(), literal(between), Part::Body]);
            lists.push(vec![Part::Body, literal(between), part()]);
        }
    }
    lists.push(vec![Part::Method, Part::Url, Part::Body, Part::Stamp]);
    lists.push(vec![Part::StampIfSent(":".into()), Part::Body]);
    for between in ["--", "::", "aa"] {
        lists.push(vec![Part::Id, literal(between), Part::Body]);
        lists.push(vec![event(), literal(between), Part::Body]);
    }
    let (mut tried, mut accepted) = (0, 0);
    for (signed, unit) in lists.into_iter().flat_map(|list| {
        [Unit::Seconds, Unit::Millis, Unit::Rfc3339, Unit::HttpDate]
            .map(|unit| (list.clone(), unit))
    }) {
        let scheme = own::scheme(signed.clone(), unit);
        let (signer, verifier) = keyed(&scheme, &random);
        let sender = Sender::new("own", &Record { any_body: true, ..own::SENDER }).unwrap();
        let sender = sender.limited(&scheme.coverage(), UnsignedTypes::Ignored);
        for body in [
            r#"{"id":7,"title":"a\nb.c&d","level":"error"}"#,
            "a=1&title=x&level=critical&id=5&b=0001",
            "noseverity=critical&level=critical&id=9&title=a.b&x=\n1.2",
            "[UTC] all is well (x) GMT\n+00:00 1.1",
            "0001790000000",
            "-disk full",
            ":a",
            "",
        ] {
            let headers = [("x-event", "push"), ("x-id", "evt-1+00")];
            let Some(honest) = with_headers(&signer, headers, body, &random) else { continue };
            let found = events(&verifier, &sender, honest.clone());
            accepted += usize::from(found.is_some());
            let moved = with_moved_bytes(&honest, &signed);
            for request in moved {
                tried += 1;
                let shown = format!("{signed:?} {unit:?} {body:?} as {request:?}");
                let other = events(&verifier, &sender, request);
                assert!(other.is_none() || other == found, "{shown}");
            }
        }
    }
    assert!(tried > 3_000 && accepted > 500, "{tried} {accepted}");
}

#[test]
fn no_bytes_move_between_two_signed_parts() {
    let random = SystemRandom::new();
    let literal = |text: &'static str| Part::Literal(text.into());
    let event = || Part::Header(HeaderName::from_static("x-event"));
    let hash = || Part::BodySha256Hex;
    let mut tried = 0;
    for signed in [
        vec![Part::Id, event(), hash()],
        vec![event(), Part::Id, hash()],
        vec![Part::Id, literal("--"), event(), hash()],
        vec![Part::Method, Part::Path, Part::Id, hash()],
        vec![Part::Url, Part::Id, literal("\n"), Part::Body],
        vec![Part::Url, event(), hash()],
        vec![Part::Path, event(), literal("|"), hash()],
        vec![Part::Url, event(), literal("\n"), Part::Body],
        vec![event(), Part::Path, hash()],
        vec![Part::Path, Part::Stamp, event(), hash()],
        vec![Part::Id, Part::Stamp, hash()],
    ] {
        let scheme = own::scheme(signed.clone(), Unit::Rfc3339);
        let (signer, verifier) = keyed(&scheme, &random);
        let sender = Sender::new("own", &own::SENDER).unwrap();
        let sender = sender.limited(&scheme.coverage(), UnsignedTypes::Ignored);
        for body in [r#"{"title":"a","level":"error"}"#, r#"{"id":7}"#] {
            let event = "push&severity=critical&title=evil&id=1--2026-01-01T00:00:00Z";
            let headers = [("x-event", event), ("x-id", "evt-2026-01-01T")];
            let Some(honest) = with_headers(&signer, headers, body, &random) else { continue };
            let found = events(&verifier, &sender, honest.clone());
            for places in [[0, 1], [0, 2], [1, 2]] {
                let [Some(left), Some(right)] = places.map(|place| signed.get(place)) else {
                    continue;
                };
                let between = match &signed[places[0] + 1] {
                    Part::Literal(text) if places[0] + 2 == places[1] => text.as_bytes(),
                    _ if places[0] + 1 == places[1] => &[],
                    _ => continue,
                };
                let [Some(one), Some(other)] = [left, right].map(|part| bytes_of(&honest, part))
                else {
                    continue;
                };
                let whole = [&one[..], &other[..]].join(between);
                for at in (0..=whole.len()).filter(|at| whole[*at..].starts_with(between)) {
                    let moved = with(&honest, left, &whole[..at])
                        .and_then(|moved| with(&moved, right, &whole[at + between.len()..]));
                    let Some(moved) = moved else { continue };
                    tried += 1;
                    let shown = format!("{signed:?} as {moved:?}");
                    let other = events(&verifier, &sender, moved);
                    assert!(other.is_none() || other == found, "{shown}\n{found:?}\n{other:?}");
                }
            }
        }
    }
    assert!(tried > 400, "{tried}");
}
