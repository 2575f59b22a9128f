//! If a signature covers only some values of a body, no change of the others changes what is read from it.

use serde_json::Value;

use super::*;

/// Every pointer of a document, and what the value there is.
fn pointers(value: &Value, at: &str, all: &mut Vec<String>) {
    if !at.is_empty() {
        all.push(at.to_owned());
    }
    match value {
        Value::Object(members) => {
            for (name, value) in members {
                pointers(value, &format!("{at}/{name}"), all);
            }
        }
        Value::Array(elements) => {
            for (place, value) in elements.iter().enumerate() {
                pointers(value, &format!("{at}/{place}"), all);
            }
        }
        _ => {}
    }
}

/// The events of the request with another body.
fn with_body(signed: &Signed, body: &Value) -> Option<Vec<Seen>> {
    let body = Bytes::from(serde_json::to_vec(body).unwrap());
    events(&signed.verifier, &signed.sender, Request { body, ..signed.request.clone() })
}

#[test]
fn no_value_that_is_not_signed_changes_what_is_read() {
    let is_partly = |signed: &&Signed| {
        let coverage = signed.verifier.scheme().coverage();
        let partly = |one: &Coverage| matches!(one, Coverage::Signed(parts) if matches!(parts.body, SignedBody::Values(_)));
        coverage.iter().any(partly)
    };
    let (mut accepted, mut refused) = (0, 0);
    for signed in SIGNED.iter().filter(is_partly) {
        let document: Value = serde_json::from_slice(&signed.request.body).unwrap();
        let mut all = Vec::new();
        pointers(&document, "", &mut all);
        let mut changed: Vec<Value> = Vec::new();
        for pointer in &all {
            let others = VALUES.iter().map(|text| Value::from(*text));
            let others =
                others.chain([Value::Null, true.into(), 7.into(), serde_json::json!([{}])]);
            for other in others {
                let mut one = document.clone();
                *one.pointer_mut(pointer).unwrap() = other;
                changed.push(one);
            }
            for name in ["reason", "eventDate", "eventCode", "type", "data", "id", "extra"] {
                let mut one = document.clone();
                if let Some(object) = one.pointer_mut(pointer).and_then(Value::as_object_mut) {
                    object.entry(name).or_insert(FREE_TEXT.into());
                    changed.push(one);
                } else if let Some(list) = one.pointer_mut(pointer).and_then(Value::as_array_mut) {
                    list.push(serde_json::json!({ name: FREE_TEXT }));
                    changed.push(one);
                }
            }
        }
        for body in changed {
            let Some(found) = with_body(signed, &body) else {
                refused += 1;
                continue;
            };
            accepted += 1;
            let read = |seen: &Seen| (seen.kind.clone(), seen.title.clone(), seen.rest.clone());
            let (found, expected): (Vec<_>, Vec<_>) =
                (found.iter().map(read).collect(), signed.events.iter().map(read).collect());
            assert_eq!(found, expected, "{} {body}", signed.name);
        }
    }
    assert!(accepted > 250 && refused > 1_000, "{accepted} accepted, {refused} refused");
}
