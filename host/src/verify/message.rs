//! Assembles the bytes that a signature covers from a request, by the scheme's list of parts.
//!
//! Parts that are signed as sent are not copied; parts that must be computed are computed once per
//! request. Limits: [`FORM_FIELDS_MAX`], [`LISTED_HEADERS_MAX`].

use std::borrow::Cow;

use http::Method;
use sha2::{Digest as _, Sha256};

use super::claim::single;
use super::scheme::{Part, Signature, StampIn, Unit};
use super::{VerifyRefusal, codec, json, spot, stamp, url};
use crate::model::Request;

/// Most fields of a signed form.
pub const FORM_FIELDS_MAX: usize = 1_000;
/// Most headers that a request may list as signed.
pub const LISTED_HEADERS_MAX: usize = 64;

/// The parameter of the address with the hash of a body that is not a form.
const BODY_HASH: &str = "bodySHA256";

/// See the module's description.
#[derive(Debug)]
pub(super) struct Message<'r> {
    parts: &'r [Part],
    request: &'r Request,
    id: &'r [u8],
    stamp: Option<&'r [u8]>,
    /// The computed parts, in order.
    prepared: Vec<Vec<u8>>,
    /// The address in each form that is tried; empty if it is not signed.
    urls: Vec<String>,
}

impl<'r> Message<'r> {
    pub(super) fn new(
        signature: &'r Signature,
        request: &'r Request,
        id: &'r [u8],
        stamp: Option<&'r [u8]>,
        public_url: Option<&str>,
    ) -> Result<Self, VerifyRefusal> {
        let mut urls = Vec::new();
        if signature.signs_url() {
            let base = public_url.ok_or(VerifyRefusal::NoPublicUrl)?;
            let path = request.uri.path_and_query().map_or("", |path| path.as_str());
            urls = url::forms(base, path, signature.signed.contains(&Part::UrlAnyPort));
        }
        unambiguous(signature, id)?;
        if !signature.delimits_body() && !shows_its_border(signature, request) {
            return Err(VerifyRefusal::BodyUnclear);
        }
        let mut prepared = Vec::new();
        let mut values = Values::new(&signature.signed, request);
        for (place, part) in signature.signed.iter().enumerate() {
            match part {
                Part::BodySha256Hex => prepared.push(body_hash(request).into_bytes()),
                Part::SortedForm { always } => prepared.push(sorted_form(request, always)?),
                Part::ListedHeaders(list) => {
                    prepared.push(listed_headers(signature, request, list)?);
                }
                Part::Text(spots) => {
                    let text = spot::text(spots, request)
                        .ok_or_else(|| VerifyRefusal::NotInside { place: spot::shown(spots) })?;
                    prepared.push(text.into_owned().into_bytes());
                }
                Part::Value { .. } => prepared.push(values.next_of(&signature.signed, place)?),
                Part::Header(name) => {
                    single(&request.headers, name)?;
                }
                Part::StampIfSent(behind) if stamp.is_none() => unmoved(&request.body, behind)?,
                _ => {}
            }
        }
        Ok(Self { parts: &signature.signed, request, id, stamp, prepared, urls })
    }

    /// How many forms of the address to try: at least one.
    pub(super) fn url_forms(&self) -> usize {
        self.urls.len().max(1)
    }

    pub(super) fn url(&self) -> Option<&str> {
        self.urls.first().map(String::as_str)
    }

    pub(super) const fn stamp(&self) -> Option<&'r [u8]> {
        self.stamp
    }

    /// Passes the signed bytes to `put`, piece by piece.
    #[inline]
    pub(super) fn feed(&self, url_form: usize, mut put: impl FnMut(&[u8])) {
        let mut prepared = self.prepared.iter();
        let url = || self.urls.get(url_form).map_or("", String::as_str);
        for part in self.parts {
            match part {
                Part::Body => put(&self.request.body),
                Part::Literal(text) => put(text.as_bytes()),
                Part::Id => put(self.id),
                Part::Stamp => put(self.stamp.unwrap_or_default()),
                Part::StampIfSent(behind) => {
                    if let Some(stamp) = self.stamp {
                        put(stamp);
                        put(behind.as_bytes());
                    }
                }
                Part::Method => put(self.request.method.as_str().as_bytes()),
                Part::Url | Part::UrlAnyPort => put(url().as_bytes()),
                Part::UrlDecoded => put(url::decode(url()).as_bytes()),
                Part::Path => put(url::path(url()).as_bytes()),
                Part::Header(name) => {
                    put(self.request.headers.get(name).map_or(&[][..], |value| value.as_bytes()));
                }
                Part::BodySha256Hex
                | Part::SortedForm { .. }
                | Part::ListedHeaders(_)
                | Part::Text(_)
                | Part::Value { .. } => put(prepared.next().map_or(&[][..], Vec::as_slice)),
            }
        }
    }

    /// The signed bytes in one piece, for algorithms that need that.
    pub(super) fn bytes(&self, url_form: usize) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.request.body.len() + 128);
        self.feed(url_form, |piece| bytes.extend_from_slice(piece));
        bytes
    }
}

/// The values of the parts that are one, in order.
struct Values<'r>(std::vec::IntoIter<Result<Option<Cow<'r, str>>, json::Unclear>>);

impl<'r> Values<'r> {
    /// Finds all of them by one pass through the body, however many there are.
    fn new(parts: &[Part], request: &'r Request) -> Self {
        let pointers: Vec<&str> = parts.iter().filter_map(Part::pointer).collect();
        let values = if pointers.is_empty() {
            Vec::new()
        } else {
            json::values_at(&request.body, &pointers)
        };
        Self(values.into_iter())
    }

    /// The value of the part at this place. Refused if it contains the text before or behind it: it could be read as a
    /// shorter value and a piece of the next one.
    fn next_of(&mut self, parts: &[Part], place: usize) -> Result<Vec<u8>, VerifyRefusal> {
        let Some(Part::Value { pointer, open }) = parts.get(place) else { return Ok(Vec::new()) };
        let unclear = || VerifyRefusal::ValueUnclear { pointer: pointer.to_string() };
        let value = self.0.next().unwrap_or(Err(json::Unclear)).map_err(|_| unclear())?;
        let value = value.unwrap_or_default().into_owned().into_bytes();
        let beside = [place.checked_sub(1), Some(place + 1)].into_iter().flatten();
        let contains = |part: &Part| match part {
            Part::Literal(text) => memchr::memmem::find(&value, text.as_bytes()).is_some(),
            _ => false,
        };
        if !open && beside.filter_map(|place| parts.get(place)).any(contains) {
            return Err(unclear());
        }
        Ok(value)
    }
}

fn body_hash(request: &Request) -> String {
    codec::hex(&Sha256::digest(&request.body))
}

/// Whether the body shows where it begins and ends: JSON does, and a request by GET has none, if the signature covers
/// that it is one.
fn shows_its_border(signature: &Signature, request: &Request) -> bool {
    if request.method == Method::GET && signature.signed.contains(&Part::Method) {
        return request.body.is_empty();
    }
    json::is_document(&request.body)
}

/// Refuses an id that could be read as a shorter one: with the text after it, or the beginning of a time, before its end.
fn unambiguous(signature: &Signature, id: &[u8]) -> Result<(), VerifyRefusal> {
    let unit = signature.stamp.as_ref().map(|stamp| stamp.unit);
    for pair in signature.signed.windows(2) {
        let (is_clear, separator) = match pair {
            [Part::Id, Part::Literal(end)] if !end.is_empty() => {
                let whole = [id, end.as_bytes()].concat();
                let first = memchr::memmem::find(&whole, end.as_bytes());
                (first == Some(id.len()), end.to_string())
            }
            [Part::Id, Part::Stamp] if unit == Some(Unit::Rfc3339) => {
                (!stamp::contains_date(id), "a date".to_owned())
            }
            _ => continue,
        };
        if !is_clear {
            return Err(VerifyRefusal::IdUnclear { separator });
        }
    }
    Ok(())
}

/// Refuses a body that begins like `1700000000:`. It could be an intercepted request whose timestamp was
/// moved from its header into the body: the signed bytes are the same.
fn unmoved(body: &[u8], behind: &str) -> Result<(), VerifyRefusal> {
    let digits = body.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let moved = digits > 0 && body[digits..].starts_with(behind.as_bytes());
    if moved { Err(VerifyRefusal::StampInBody) } else { Ok(()) }
}

/// Whether only the fields of a form are signed, and not how they are written: their order and their escapes may
/// differ, and one may begin where another ends.
pub(super) fn is_sorted_form(signature: &Signature, request: &Request) -> bool {
    let query = request.uri.query().unwrap_or_default();
    signature.signs_sorted_form() && url::parameter(query, BODY_HASH).next().is_none()
}

/// Names and values of a form, sorted by name, without duplicates. Empty if the address has the body's
/// hash, which then must match. Any other body would not be covered.
fn sorted_form(request: &Request, always: &str) -> Result<Vec<u8>, VerifyRefusal> {
    let address = request.uri.path_and_query().map_or("", |address| address.as_str());
    let unclear = || VerifyRefusal::FormUnclear { field: always.to_owned() };
    if url::contains_beside_names(address, always) {
        return Err(unclear());
    }
    let query = request.uri.query().unwrap_or_default();
    let mut hashes = url::parameter(query, BODY_HASH);
    if let Some(hash) = hashes.next() {
        let right = hash.eq_ignore_ascii_case(body_hash(request).as_bytes());
        return if right && hashes.next().is_none() {
            Ok(Vec::new())
        } else {
            Err(VerifyRefusal::BodyHash)
        };
    }
    let form = |field: &[u8]| codec::unescape(field, true);
    let mut fields = Vec::new();
    for field in request.body.split(|byte| *byte == b'&').filter(|field| !field.is_empty()) {
        if fields.len() == FORM_FIELDS_MAX {
            return Err(VerifyRefusal::NoForm { max: FORM_FIELDS_MAX });
        }
        let end = field.iter().position(|byte| *byte == b'=').unwrap_or(field.len());
        let value = field.get(end + 1..).unwrap_or_default();
        fields.push((form(&field[..end]), form(value)));
    }
    fields.sort_unstable();
    fields.dedup();
    let joined: Vec<u8> = fields
        .iter()
        .flat_map(|(name, value)| [&name[..], &value[..]])
        .flatten()
        .copied()
        .collect();
    if !request.body.is_empty() && is_moved(address, &fields, &joined, always) {
        return Err(unclear());
    }
    Ok(joined)
}

/// Whether a part of these fields could have been signed as a part of the address.
fn is_moved(address: &str, fields: &[(Vec<u8>, Vec<u8>)], joined: &[u8], always: &str) -> bool {
    let signed = [address.as_bytes(), joined].concat();
    let contains = |text: &str| memchr::memmem::find(&signed, text.as_bytes()).is_some();
    let is_name = |name: &[u8]| !name.is_empty() && !name.iter().any(|byte| b"?&=".contains(byte));
    let named = |(name, _): &&(Vec<u8>, Vec<u8>)| name == always.as_bytes();
    let own: Vec<_> = fields.iter().filter(named).collect();
    let is_clear = match own.as_slice() {
        [] => !contains(always),
        // The fields are in order. If one were before it, or its name were there again, that could be the end of an
        // address.
        [(name, value)] => {
            fields[0].0 == *name && memchr::memmem::find(value, always.as_bytes()).is_none()
        }
        _ => false,
    };
    !is_clear
        || fields.is_empty()
        || !fields.iter().all(|(name, _)| is_name(name))
        || contains(&format!("{BODY_HASH}="))
        || ["?", "&"].iter().any(|before| contains(&format!("{before}{always}=")))
}

/// `name:value;name:value` of the headers that a request lists as signed.
fn listed_headers(
    signature: &Signature,
    request: &Request,
    list: &http::HeaderName,
) -> Result<Vec<u8>, VerifyRefusal> {
    let place = || format!("header {list}");
    let malformed =
        || VerifyRefusal::Malformed { place: place(), expected: "a list of header names" };
    let names = std::str::from_utf8(single(&request.headers, list)?).map_err(|_| malformed())?;
    let mut joined = Vec::new();
    let mut has_stamp = false;
    let stamp = signature.stamp.as_ref().and_then(|stamp| match &stamp.place {
        StampIn::Headers(names) => names.first(),
        _ => None,
    });
    for (number, name) in names.split(',').map(str::trim).enumerate() {
        if number == LISTED_HEADERS_MAX {
            return Err(VerifyRefusal::TooMany { place: place(), max: LISTED_HEADERS_MAX });
        }
        let parsed = http::HeaderName::from_bytes(name.as_bytes()).map_err(|_| malformed())?;
        has_stamp |= Some(&parsed) == stamp;
        if number > 0 {
            joined.push(b';');
        }
        joined.extend_from_slice(parsed.as_str().as_bytes());
        joined.push(b':');
        joined.extend_from_slice(single(&request.headers, &parsed)?.trim_ascii());
    }
    match stamp {
        Some(stamp) if !has_stamp => Err(VerifyRefusal::StampNotListed { header: stamp.clone() }),
        _ => Ok(joined),
    }
}

/// The timestamp's text, from the signature's header or its own, if there is one. A timestamp in the body
/// is read after the signature is verified.
pub(super) fn stamp_text<'r>(
    signature: &Signature,
    headers: &'r http::HeaderMap,
    claims: &super::claim::Claims<'r>,
) -> Result<Option<&'r [u8]>, VerifyRefusal> {
    let Some(described) = &signature.stamp else { return Ok(None) };
    let found = match &described.place {
        StampIn::Headers(_) => super::claim::stamp_header(signature, headers, claims.set)?,
        StampIn::Element(_) => claims.stamp,
        StampIn::Inside(_) => return Ok(None),
    };
    if found.is_none() && described.covered && !described.optional {
        return Err(VerifyRefusal::NoStamp { place: stamp::place(described) });
    }
    Ok(found)
}
