//! Reads what a request claims: its signatures and its timestamp. Nothing is trusted yet.
//!
//! Each header is read once, from left to right. Limits: [`ELEMENTS_MAX`] elements in a header,
//! [`SIGNATURES_MAX`] signatures in a request.

use http::{HeaderMap, HeaderName};

use super::VerifyRefusal;
use super::scheme::{Encoding, Place, Signature, StampIn};
use super::{codec, spot, stamp};

/// Most elements in the text of a signature. While keys are rotated there are a few.
pub const ELEMENTS_MAX: usize = 32;
/// Most signatures that are compared with each key.
pub const SIGNATURES_MAX: usize = 16;
/// Longest signature, in bytes.
pub(super) const SIGNATURE_BYTES_MAX: usize = 72;

/// A signature as sent, and the index of its mark in the scheme's list.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Claim<'r> {
    pub(super) mark: usize,
    pub(super) text: &'r [u8],
}

#[derive(Debug)]
pub(super) struct Claims<'r> {
    claims: [Claim<'r>; SIGNATURES_MAX],
    count: usize,
    /// The timestamp beside the signatures.
    pub(super) stamp: Option<&'r [u8]>,
    /// Index of the header name that the sender uses.
    pub(super) set: usize,
}

impl<'r> Claims<'r> {
    /// `in_body` is the signature's text if the scheme does not have it in a header.
    pub(super) fn find(
        signature: &Signature,
        headers: &'r HeaderMap,
        in_body: Option<&'r str>,
    ) -> Result<Self, VerifyRefusal> {
        let mut claims =
            Self { claims: [Claim::default(); SIGNATURES_MAX], count: 0, stamp: None, set: 0 };
        match &signature.place {
            Place::First(names) => {
                claims.set = set(names, headers);
                // A scheme has at least one name: a test checks the built-in ones, the reader a user's.
                if let Some(name) = names.get(claims.set) {
                    claims.read_header(signature, headers, name)?;
                }
            }
            Place::Each(names) => {
                let mut sent = names.iter().filter(|name| headers.contains_key(*name)).peekable();
                if let (None, Some(first)) = (sent.peek(), names.first()) {
                    return Err(VerifyRefusal::Missing { header: first.clone() });
                }
                for name in sent {
                    claims.read_header(signature, headers, name)?;
                }
            }
            Place::Inside(spots) => {
                let place = || spot::shown(spots);
                claims.read(signature, in_body.unwrap_or_default().as_bytes(), &place)?;
            }
        }
        Ok(claims)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = Claim<'r>> {
        self.claims.iter().take(self.count).copied()
    }

    fn read_header(
        &mut self,
        signature: &Signature,
        headers: &'r HeaderMap,
        name: &HeaderName,
    ) -> Result<(), VerifyRefusal> {
        let text = single(headers, name)?;
        self.read(signature, text, &|| format!("header {name}"))
    }

    /// Checks the form if the whole text is one signature. Among several, a signature of a wrong form is
    /// just not a match.
    pub(super) fn check_form(&self, signature: &Signature) -> Result<(), VerifyRefusal> {
        let (None, Place::First(names)) = (signature.separator, &signature.place) else {
            return Ok(());
        };
        match (self.iter().next(), names.get(self.set)) {
            (Some(claim), Some(name)) => check_form(signature, claim, name),
            _ => Ok(()),
        }
    }

    fn read(
        &mut self,
        signature: &Signature,
        text: &'r [u8],
        place: &dyn Fn() -> String,
    ) -> Result<(), VerifyRefusal> {
        let before = self.count;
        match signature.separator {
            None => self.element(signature, text, place)?,
            Some(separator) => {
                for (number, element) in text.split(|byte| *byte == separator).enumerate() {
                    if number == ELEMENTS_MAX {
                        return Err(VerifyRefusal::TooMany { place: place(), max: ELEMENTS_MAX });
                    }
                    self.element(signature, element.trim_ascii(), place)?;
                }
            }
        }
        if self.count == before {
            let expected: Vec<&str> = signature.marks.iter().map(|mark| &*mark.text).collect();
            return Err(VerifyRefusal::NoVersion {
                place: place(),
                expected: expected.join("… or "),
            });
        }
        Ok(())
    }

    fn element(
        &mut self,
        signature: &Signature,
        element: &'r [u8],
        place: &dyn Fn() -> String,
    ) -> Result<(), VerifyRefusal> {
        if let Some(StampIn::Element(mark)) = signature.stamp.as_ref().map(|stamp| &stamp.place)
            && let Some(stamp) = element.strip_prefix(mark.as_bytes())
        {
            if self.stamp.replace(stamp).is_some() {
                return Err(VerifyRefusal::StampDoubled { place: place() });
            }
            return Ok(());
        }
        for (mark, form) in signature.marks.iter().enumerate() {
            let Some(text) = element.strip_prefix(form.text.as_bytes()) else { continue };
            let Some(free) = self.claims.get_mut(self.count) else {
                return Err(VerifyRefusal::TooMany { place: place(), max: SIGNATURES_MAX });
            };
            *free = Claim { mark, text };
            self.count += 1;
            break;
        }
        Ok(())
    }
}

/// Index of the first of these headers that is sent.
pub(super) fn set(names: &[HeaderName], headers: &HeaderMap) -> usize {
    names.iter().position(|name| headers.contains_key(name)).unwrap_or(0)
}

/// The value of a header that must be sent exactly once and not be empty.
pub(super) fn single<'r>(
    headers: &'r HeaderMap,
    name: &HeaderName,
) -> Result<&'r [u8], VerifyRefusal> {
    let mut values = headers.get_all(name).iter();
    let value = values.next().ok_or_else(|| VerifyRefusal::Missing { header: name.clone() })?;
    let others = values.count();
    if others > 0 {
        return Err(VerifyRefusal::Doubled { header: name.clone(), times: others + 1 });
    }
    if value.is_empty() {
        return Err(VerifyRefusal::Empty { header: name.clone() });
    }
    Ok(value.as_bytes())
}

/// Like [`single`], for the timestamp's header of this set; `None` if the scheme does not need one.
pub(super) fn stamp_header<'r>(
    signature: &Signature,
    headers: &'r HeaderMap,
    set: usize,
) -> Result<Option<&'r [u8]>, VerifyRefusal> {
    let Some(described) = &signature.stamp else { return Ok(None) };
    let StampIn::Headers(names) = &described.place else { return Ok(None) };
    let Some(name) = names.get(set).or(names.last()) else { return Ok(None) };
    match headers.get_all(name).iter().count() {
        0 if described.optional || !described.covered => Ok(None),
        0 => Err(VerifyRefusal::NoStamp { place: stamp::place(described) }),
        1 => single(headers, name).map(Some),
        _ => Err(VerifyRefusal::StampDoubled { place: stamp::place(described) }),
    }
}

/// Decodes a signature and returns its length; `None` if it has the wrong form.
pub(super) fn decode(
    signature: &Signature,
    text: &[u8],
    room: &mut [u8; SIGNATURE_BYTES_MAX],
) -> Option<usize> {
    let mut decode = |text| match signature.encoding {
        Encoding::Hex => codec::unhex_into(text, room),
        Encoding::Base64 => codec::unbase64_into(text, room),
    };
    // HaloPSA writes a space behind its prefix.
    decode(text).or_else(|| decode(text.strip_prefix(b" ")?))
}

fn check_form(
    signature: &Signature,
    claim: Claim<'_>,
    name: &HeaderName,
) -> Result<(), VerifyRefusal> {
    let Some(mark) = signature.marks.get(claim.mark) else { return Ok(()) };
    let (least, most) = mark.algorithm.signature_bytes();
    let expected = match signature.encoding {
        Encoding::Hex => 2 * most,
        Encoding::Base64 => most.div_ceil(3) * 4,
    };
    let found = claim.text.len();
    if claim.text.is_ascii() && least == most && found != expected && !claim.text.starts_with(b" ")
    {
        return Err(VerifyRefusal::Length { header: name.clone(), found, expected });
    }
    let decoded = decode(signature, claim.text, &mut [0; SIGNATURE_BYTES_MAX]);
    if decoded.is_some_and(|bytes| (least..=most).contains(&bytes)) {
        return Ok(());
    }
    let expected = match signature.encoding {
        Encoding::Hex => "a hexadecimal number",
        Encoding::Base64 => "base64",
    };
    Err(VerifyRefusal::Malformed { place: format!("header {name}"), expected })
}

/// The text after the name of an authentication scheme, whose case does not matter.
pub(super) fn behind<'v>(name: &[u8], value: &'v [u8]) -> Option<&'v [u8]> {
    let (head, rest) = value.split_at_checked(name.len())?;
    head.eq_ignore_ascii_case(name).then_some(rest)
}
