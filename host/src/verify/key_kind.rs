//! Recognizes a key of the wrong kind: a public key used as a shared secret would let in anyone who knows it, and it
//! is public.

use super::public;
use super::scheme::{KeyForm, Mark};

const NOT_PRIVATE: &str = "a private key, which only the sender may have; ask the vendor's page for the secret or \
    public key that is meant for receivers";
const NOT_PUBLIC: &str = "a public key, but this scheme needs the shared secret";
const PUBLIC_NEEDS_PREFIX: &str = "a public key without the prefix of its kind, or a shared secret that looks like \
    one; write the prefix in front of it (`dispatcher verify --list` shows them)";
const NOT_SHARED: &str = "a shared secret, but this scheme needs the public key";

/// How Standard Webhooks writes its kinds of keys.
const SHARED_PREFIX: &str = "whsec_";
const PUBLIC_PREFIX: &str = "whpk_";
const PRIVATE_PREFIX: &str = "whsk_";

/// What `text` is, if it is not a key for `mark`, the one of `marks` that was chosen for it. `has_prefix`: the text
/// has the prefix of that mark.
pub(super) fn mistaken(
    marks: &[Mark],
    mark: &Mark,
    has_prefix: bool,
    text: &str,
) -> Option<&'static str> {
    let text = text.trim();
    if text.contains("PRIVATE KEY") || text.starts_with(PRIVATE_PREFIX) || is_private_jwk(text) {
        return Some(NOT_PRIVATE);
    }
    if !mark.algorithm.is_symmetric() {
        return (!has_prefix && text.starts_with(SHARED_PREFIX)).then_some(NOT_SHARED);
    }
    let mut others = marks.iter().filter(|other| !other.algorithm.is_symmetric()).peekable();
    let is_known = others.peek().is_some();
    let has_form = !has_prefix && others.any(|other| is_key_of(other, text));
    let inner = match &mark.key {
        KeyForm::Base64 { prefix } => text.strip_prefix(&**prefix).unwrap_or(text),
        _ => text,
    };
    if has_form || inner.starts_with(PUBLIC_PREFIX) || is_public_key(inner) {
        return Some(if is_known { PUBLIC_NEEDS_PREFIX } else { NOT_PUBLIC });
    }
    None
}

/// Whether the text alone can be a key for this mark.
fn is_key_of(mark: &Mark, text: &str) -> bool {
    public::key(mark.algorithm, text).is_ok()
}

/// Whether the text can be nothing but a public key or a certificate.
fn is_public_key(text: &str) -> bool {
    if text.contains("-----BEGIN ") {
        return true;
    }
    let is_jwk = text.starts_with('{') && text.contains("\"kty\"");
    is_jwk || public::bytes(text).is_some_and(|bytes| public::is_whole(&bytes))
}

fn is_private_jwk(text: &str) -> bool {
    text.starts_with('{') && text.contains("\"kty\"") && text.contains("\"d\"")
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::codec::{base64, hex};
    use super::super::{Algorithm, Scheme, Verifier};
    use super::*;
    use crate::config::vendors::schemes;
    use crate::model::Secret;

    /// Texts that are public or private keys in every form, whatever the scheme.
    fn foreign() -> Vec<(String, &'static str)> {
        let ed = public::whole(Algorithm::Ed25519, &[7; 32]);
        let p256 = public::whole(Algorithm::EcdsaP256, &[&[4][..], &[7; 64]].concat());
        let rsa = [
            &[0x30, 0x82, 1, 0x22, 0x30, 0x0d, 6, 9][..],
            &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 1],
            &[5, 0, 3, 0x82],
            &[7; 270],
        ];
        let mut texts = Vec::new();
        for whole in [ed, p256, rsa.concat()] {
            let text = base64(&whole);
            texts.push((hex(&whole), "a public key"));
            for label in ["PUBLIC KEY", "RSA PUBLIC KEY", "CERTIFICATE"] {
                let pem = format!("-----BEGIN {label}-----\n{text}\n-----END {label}-----\n");
                texts.push((pem.replace('\n', "\\n"), "a public key"));
                texts.push((pem, "a public key"));
            }
            for label in ["PRIVATE KEY", "EC PRIVATE KEY"] {
                let pem = format!("-----BEGIN {label}-----\n{text}\n-----END {label}-----\n");
                texts.push((pem, "a private key"));
            }
            texts.push((text, "a public key"));
        }
        let x = base64(&[7; 32]);
        texts.push((format!(r#"{{"kty":"OKP","crv":"Ed25519","x":"{x}"}}"#), "a public key"));
        let private = format!(r#"{{"kty":"OKP","crv":"Ed25519","x":"{x}","d":"{x}"}}"#);
        texts.push((private, "a private key"));
        texts.push((format!("whpk_{x}"), "a public key"));
        texts.push((format!("whsk_{}", base64(&[7; 64])), "a private key"));
        texts
    }

    fn refused(scheme: &Arc<Scheme>, text: &str) -> Option<String> {
        let secrets = [Secret::new(text)];
        let built = Verifier::new(scheme, &secrets, Some("https://hooks.example.org"));
        built.err().map(|error| error.to_string())
    }

    #[test]
    fn no_scheme_takes_a_public_or_private_key_as_its_shared_secret() {
        let mut cases = 0;
        for scheme in schemes() {
            let Some(signature) = scheme.signature() else { continue };
            let is_shared = signature.marks[0].algorithm.is_symmetric();
            let has_public = signature.marks.iter().any(|mark| !mark.algorithm.is_symmetric());
            for (text, kind) in foreign() {
                cases += 1;
                let error = refused(scheme, &text);
                if is_shared && !(has_public && text.starts_with("whpk_")) {
                    let error = error.expect(&text);
                    assert!(error.starts_with(&format!("secret 1 is {kind}")), "{error}: {text}");
                } else if kind == "a private key" {
                    assert!(error.is_some(), "{}: {text}", scheme.name);
                }
            }
            if !is_shared {
                let error = refused(scheme, "whsec_dGVzdHRlc3Q=").unwrap();
                assert_eq!(error, format!("secret 1 is {NOT_SHARED}"), "{}", scheme.name);
            }
        }
        assert!(cases > 1000, "{cases}");
    }

    #[test]
    fn where_a_scheme_has_several_kinds_a_public_key_needs_its_prefix() {
        let several = |scheme: &&Arc<Scheme>| {
            let marks = scheme.signature().map_or(&[][..], |signature| &signature.marks);
            marks.iter().any(|mark| mark.algorithm.is_symmetric())
                && marks.iter().any(|mark| !mark.algorithm.is_symmetric())
        };
        let schemes: Vec<_> = schemes().iter().filter(several).collect();
        assert!(schemes.iter().any(|scheme| &*scheme.name == "standard-webhooks"));
        for scheme in schemes {
            let raw: Vec<u8> = (0..32).collect();
            for text in [base64(&raw), hex(&raw), format!(" {}\n", base64(&raw))] {
                let error = refused(scheme, &text).unwrap();
                assert_eq!(error, format!("secret 1 is {PUBLIC_NEEDS_PREFIX}"), "{text}");
            }
            for text in [
                format!("whpk_{}", base64(&raw)),
                format!(" whpk_{}", base64(&raw)),
                format!("whsec_{}", base64(&raw)),
                base64(&raw[..24]),
            ] {
                assert_eq!(refused(scheme, &text), None, "{}: {text}", scheme.name);
            }
        }
    }
}
