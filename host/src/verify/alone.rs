//! Decides whether a request that could be an event has nothing besides what a question has.
//!
//! Only such a request is answered as a question; with anything more it is an event, and events are stored. What the
//! scheme reads its signature, time or token from does not count. A body in parts, or longer than
//! [`QUESTION_BYTES_MAX`](super::QUESTION_BYTES_MAX), is not a question.

use std::collections::HashMap;

use http::Method;
use serde_json::value::RawValue;

use super::json::{FIRST, is_named};
use super::question::{Asked, Question};
use super::scheme::{Place, Proof, Scheme, Spot, StampIn, TokenIn};
use super::{Verifier, codec};
use crate::model::Request;

impl Verifier {
    /// Whether the request, which has all that the question has, has nothing else that an event could bring.
    pub(super) fn is_alone(&self, question: &Question, request: &Request) -> bool {
        let mut known: Vec<&Spot> = self.scheme.own_spots();
        let asked = question.has.iter().map(|sign| &sign.place).chain(&question.repeat);
        known.extend(asked.filter_map(|place| match place {
            Asked::Inside(spot) => Some(spot),
            Asked::Header(_) => None,
        }));
        let body = &request.body;
        let body_is_known = match body.trim_ascii() {
            [] => body.is_empty(),
            [b'{' | b'[', ..] => json_has_only(&known, body),
            [b'-', b'-', ..] => false,
            form => form_has_only(&known, form),
        };
        // Events by their query: a GET, and where empty bodies are events, a request without a body.
        let may_be_event =
            request.method == Method::GET || (self.takes_empty_bodies && body.is_empty());
        body_is_known && (!may_be_event || self.scheme.query_has_only(&known, request))
    }
}

impl Scheme {
    fn query_has_only(&self, known: &[&Spot], request: &Request) -> bool {
        let query = request.uri.query().unwrap_or_default();
        query.split('&').filter(|pair| !pair.is_empty()).all(|pair| {
            let name = pair.split_once('=').map_or(pair, |(name, _)| name);
            let name = codec::unescape(name.as_bytes(), true);
            let is = |known: &str| known.as_bytes() == name;
            let is_token = matches!(&self.proof, Proof::Token(TokenIn::Query(token)) if is(token));
            is_token || known.iter().any(|spot| matches!(spot, Spot::Query(known) if is(known)))
        })
    }

    /// Where in the body or the query the signature and its time are.
    fn own_spots(&self) -> Vec<&Spot> {
        let Proof::Signature(signature) = &self.proof else { return Vec::new() };
        let mut spots = Vec::new();
        if let Place::Inside(inside) = &signature.place {
            spots.extend(inside);
        }
        if let Some(StampIn::Inside(inside)) = signature.stamp.as_ref().map(|stamp| &stamp.place) {
            spots.extend(inside);
        }
        spots
    }
}

fn json_has_only(known: &[&Spot], body: &[u8]) -> bool {
    let pointers = known.iter().filter_map(|spot| match spot {
        Spot::Json(pointer) => pointer.strip_prefix('/'),
        _ => None,
    });
    has_only(body, &pointers.collect::<Vec<_>>())
}

/// Whether every value of the body is at one of these pointers, or in the value at one. They are without the first slash.
fn has_only(body: &[u8], pointers: &[&str]) -> bool {
    std::str::from_utf8(body).is_ok_and(|body| is_within(body.trim(), pointers))
}

/// As deep as the pointers at most.
fn is_within(value: &str, pointers: &[&str]) -> bool {
    let is_known = |name: &str, value: &str| {
        let mut deeper = Vec::new();
        for pointer in pointers {
            match pointer.split_once('/') {
                Some((first, rest)) if is_named(first, name) => deeper.push(rest),
                None if is_named(pointer, name) => return true,
                _ => {}
            }
        }
        !deeper.is_empty() && is_within(value, &deeper)
    };
    if value.starts_with('[') {
        let only = serde_json::from_str::<[&RawValue; 1]>(value);
        return only.is_ok_and(|[only]| is_known(FIRST, only.get()));
    }
    let members = serde_json::from_str::<HashMap<String, &RawValue>>(value);
    members.is_ok_and(|members| {
        !members.is_empty() && members.iter().all(|(name, value)| is_known(name, value.get()))
    })
}

fn form_has_only(known: &[&Spot], body: &[u8]) -> bool {
    let is_known = |name: &[u8]| {
        known.iter().any(|spot| matches!(spot, Spot::Form(known) if known.as_bytes() == name))
    };
    let fields = || body.split(|byte| *byte == b'&').filter(|field| !field.is_empty());
    fields().next().is_some()
        && fields().all(|field| {
            let end = field.iter().position(|byte| *byte == b'=').unwrap_or(field.len());
            is_known(&codec::unescape(&field[..end], true))
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_with_more_than_what_is_named_is_found() {
        for (body, pointers, only) in [
            (r#"{"challenge": "x"}"#, &["challenge"][..], true),
            (r#" {"challenge": "x"} "#, &["challenge"], true),
            ("{}", &["challenge"], false),
            (r#"{"challenge": "x", "event": {}}"#, &["challenge"], false),
            (r#"{"challenge": "x", "type": "t"}"#, &["challenge", "type"], true),
            (r#"{"a": {"b": 1}}"#, &["a/b"], true),
            (r#"{"a": {"b": 1, "c": 2}}"#, &["a/b"], false),
            (r#"{"a": {"b": 1, "c": 2}}"#, &["a/b", "a"], true),
            (r#"{"a": {"b": 1, "c": 2}}"#, &["a/b", "a/c"], true),
            (r#"{"a": 1}"#, &["a/b"], false),
            (r#"{"a/b~": {"c": 1}}"#, &["a~1b~0/c"], true),
            (r#"{"a~1b": 1}"#, &["a~1b"], false),
            (r#"{"a": {}}"#, &["a/b"], false),
            (r#"[{"a": 1}]"#, &["0/a"], true),
            (r#"[{"a": 1}, {"a": 1}]"#, &["0/a"], false),
            (r#"[{"a": 1}]"#, &["a"], false),
            ("1", &["a"], false),
            ("{", &["a"], false),
            ("", &["a"], false),
        ] {
            assert_eq!(has_only(body.as_bytes(), pointers), only, "{body} {pointers:?}");
        }
    }

    #[test]
    fn an_empty_form_has_nothing_that_is_named() {
        let known = [&Spot::Form("a".into())];
        for (body, only) in [
            ("a=1", true),
            ("a=1&", true),
            ("%61=1&a=2", true),
            ("a=1&b=2", false),
            ("&", false),
            ("b", false),
        ] {
            assert_eq!(form_has_only(&known, body.as_bytes()), only, "{body}");
        }
    }
}
