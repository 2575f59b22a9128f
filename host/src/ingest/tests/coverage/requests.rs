//! Requests and questions as the vendors would sign them: each sample of each file, plain and compressed.

use super::*;

/// Questions that a vendor signs: the handshake answers them, and they bring no events.
pub(super) const QUESTIONS: [(&str, &str); 5] = [
    ("slack", r#"{"type":"url_verification","challenge":"abc","token":"t"}"#),
    ("zoom", r#"{"event":"endpoint.url_validation","payload":{"plainToken":"abc"}}"#),
    ("twitch", r#"{"challenge":"abc","subscription":{"id":"1","type":"stream.online"}}"#),
    ("discord", r#"{"type":1,"id":"1"}"#),
    ("discord", r#"{"type":0,"version":1}"#),
];

pub(super) fn signed(
    vendor: &'static Vendor,
    types: UnsignedTypes,
    random: &SystemRandom,
) -> Vec<Signed> {
    let (Some(scheme), Some(sender)) = (vendor.scheme(), vendors::sender(vendor.name)) else {
        return Vec::new();
    };
    let coverage = scheme.coverage();
    if scheme.signature().is_none() || coverage == [Coverage::Nothing] {
        return Vec::new();
    }
    let (signer, verifier) = keyed(scheme, random);
    let headers = headers_read(sender);
    let sender = sender.limited(&coverage, types);
    let questions = QUESTIONS.iter().filter(|(name, _)| *name == vendor.name);
    let questions = questions.map(|(name, body)| Sample {
        name: format!("{name}/question"),
        headers: Vec::new(),
        body: (*body).to_owned(),
        ids: Vec::new(),
        times: Vec::new(),
    });
    let samples: Vec<Sample> =
        vendors::samples(&sender.name).iter().cloned().chain(questions).collect();
    let mut all = Vec::new();
    for sample in &samples {
        let is_question = sample.name.ends_with("/question");
        for (encoding, body) in bodies(&sample.body) {
            let mut sent = HeaderMap::new();
            for (name, value) in &sample.headers {
                let name: HeaderName = name.parse().unwrap();
                sent.insert(name, HeaderValue::from_str(value).unwrap());
            }
            if !encoding.is_empty() {
                sent.insert(header::CONTENT_ENCODING, HeaderValue::from_static(encoding));
            }
            let Some(request) = sign(&signer, sent, &body, random) else { continue };
            let events = match events(&verifier, &sender, request.clone()) {
                Some(events) => {
                    // No vendor asks a compressed question.
                    if is_question {
                        assert!(!encoding.is_empty(), "{} is an event", sample.name);
                        continue;
                    }
                    events
                }
                None if is_question && encoding.is_empty() => Vec::new(),
                None => {
                    assert!(!encoding.is_empty(), "{} is refused", sample.name);
                    continue;
                }
            };
            all.push(Signed {
                vendor: vendor.name,
                name: format!("{} {encoding}", sample.name),
                verifier: verifier.clone(),
                sender: sender.clone(),
                types,
                request,
                headers: headers.clone(),
                events,
            });
        }
    }
    all
}

/// Who signs with the scheme, and who verifies that.
pub(super) fn keyed(scheme: &Arc<Scheme>, random: &SystemRandom) -> (Signer, Verifier) {
    let text = match scheme.signature().unwrap().marks[0].key {
        KeyForm::Hex => "00ff11ee",
        KeyForm::Base64 { .. } => "whsec_dGVzdHRlc3Q=",
        _ => "a secret",
    };
    let (private, public) =
        verify::trial_keys(scheme, random).unwrap_or((Secret::new(text), text.to_owned()));
    let verifier = Verifier::new(scheme, &[Secret::new(public)], Some(URL)).unwrap();
    (Signer::new(scheme, &private, random).unwrap(), verifier)
}

/// Headers that a sender reads.
pub(super) fn headers_read(sender: &Sender) -> Vec<HeaderName> {
    let (headers, same_as) = (Vec::new(), Vec::new());
    let none = SignedParts { headers, same_as, query: false, body: SignedBody::Bytes };
    let read = sender.unsigned(&[Coverage::Signed(none)]).into_iter();
    let headers: BTreeSet<String> =
        read.filter_map(|one| Some(one.part.strip_prefix("header ")?.to_owned())).collect();
    headers.iter().map(|name| name.parse().unwrap()).collect()
}

/// The body as it is, and compressed with and without a magic number.
fn bodies(body: &str) -> [(&'static str, Vec<u8>); 3] {
    let best = flate2::Compression::best();
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), best);
    gzip.write_all(body.as_bytes()).unwrap();
    let mut bare = flate2::write::DeflateEncoder::new(Vec::new(), best);
    bare.write_all(body.as_bytes()).unwrap();
    [
        ("", body.as_bytes().to_vec()),
        ("gzip", gzip.finish().unwrap()),
        ("deflate", bare.finish().unwrap()),
    ]
}

/// `None` if the scheme cannot sign this body.
pub(super) fn sign(
    signer: &Signer,
    headers: HeaderMap,
    body: &[u8],
    random: &SystemRandom,
) -> Option<Request> {
    let unsigned = Unsigned {
        method: Method::POST,
        public_url: Some(URL),
        path: ADDRESS,
        headers: headers.clone(),
        body,
        now: NOW,
        id: "msg_1",
    };
    let made = signer.sign(unsigned, random).ok()?;
    let mut request = Request {
        source: Arc::from("hook"),
        method: Method::POST,
        uri: made.path.as_deref().unwrap_or(ADDRESS).parse().unwrap(),
        headers,
        body: Bytes::from(made.body.unwrap_or_else(|| body.to_vec())),
        received_at: NOW,
    };
    for (name, value) in made.headers {
        request.headers.insert(name, HeaderValue::from_str(&value).unwrap());
    }
    Some(request)
}
