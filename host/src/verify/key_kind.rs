//! Recognizes a key of the wrong kind: a public key used as a shared secret would let in anyone who knows it, and it
//! is public.

use super::scheme::{KeyForm, Mark};
use super::{point, public};

const NOT_PRIVATE: &str = "a private key, which only the sender may have; ask the vendor's page for the secret or \
    public key that is meant for receivers";
const NOT_PUBLIC: &str = "a public key, but this scheme needs the shared secret";
const PUBLIC_NEEDS_PREFIX: &str = "a public key without the prefix of its kind, or a shared secret that looks like \
    one; write the prefix in front of it (`dispatcher verify --list` shows them)";
const NOT_SHARED: &str = "a shared secret, but this scheme needs the public key";

const VERSIONED: &str = "a secret with the version of a signature in front of it; remove `v1,`, so that it begins with \
    `whsec_`";

/// How a vendor's page may show the version of the signatures in front of the secret, or of a public key.
const VERSION: &str = "v1,";
const PUBLIC_VERSION: &str = "v1a,";
/// How Standard Webhooks writes its kinds of keys.
const SHARED_PREFIX: &str = "whsec_";
const PUBLIC_PREFIX: &str = "whpk_";
const PRIVATE_PREFIX: &str = "whsk_";
/// How OpenSSH writes its kinds of public keys.
const SSH_PREFIXES: [&str; 4] = ["ssh-ed25519 ", "ssh-rsa ", "ecdsa-sha2-", "sk-ssh-"];
/// How the second word of such a line begins, or a later one if options are before its kind.
const SSH_BODY: &str = "AAAA";
/// Most times that a key is encoded again.
const ENCODINGS_MAX: usize = 3;

/// What `text` is, if it is not a key for `mark`, the one of `marks` that was chosen for it. `has_prefix`: the text
/// has the prefix of that mark.
pub(super) fn mistaken(
    marks: &[Mark],
    mark: &Mark,
    has_prefix: bool,
    text: &str,
) -> Option<&'static str> {
    let text = bare(text);
    if text.strip_prefix(VERSION).is_some_and(|rest| behind(rest, SHARED_PREFIX).is_some()) {
        return Some(VERSIONED);
    }
    let inner = match &mark.key {
        KeyForm::Base64 { prefix } | KeyForm::Public { prefix } => {
            text.strip_prefix(&**prefix).unwrap_or(text)
        }
        _ => text,
    };
    let kind = kind(inner);
    if kind == Some(Kind::Private) || is_private(text) {
        return Some(NOT_PRIVATE);
    }
    if !mark.algorithm.is_symmetric() {
        let is_shared = !has_prefix && behind(text, SHARED_PREFIX).is_some();
        return is_shared.then_some(NOT_SHARED);
    }
    let mut others = marks.iter().filter(|other| !other.algorithm.is_symmetric()).peekable();
    let is_known = others.peek().is_some();
    let has_form = !has_prefix && others.any(|other| is_key_of(other, text));
    let wrong = if is_known { PUBLIC_NEEDS_PREFIX } else { NOT_PUBLIC };
    (has_form || kind.is_some()).then_some(wrong)
}

/// What a token is, if it is a key; of a user and password, what the password is.
pub(super) fn mistaken_token(text: &str) -> Option<&'static str> {
    let behind_user = text.split_once(':').map(|(_, password)| password);
    let kinds = [Some(text), behind_user].into_iter().flatten().filter_map(|text| kind(bare(text)));
    let private = |kind| if kind == Kind::Private { NOT_PRIVATE } else { NOT_PUBLIC };
    kinds.max().map(private)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Public,
    Private,
}

/// What kind of key the text can be nothing but, also as a text that is encoded as a whole.
fn kind(text: &str) -> Option<Kind> {
    let inner = behind(text, SHARED_PREFIX).unwrap_or(text).trim_start();
    let version = [VERSION, PUBLIC_VERSION].iter().find_map(|version| inner.strip_prefix(version));
    let inner = version.unwrap_or(inner);
    let encoded = decoded(inner);
    let all = || encoded.iter().map(String::as_str).chain([inner]);
    if behind(inner, PRIVATE_PREFIX).is_some() || all().any(is_private) {
        return Some(Kind::Private);
    }
    (behind(inner, PUBLIC_PREFIX).is_some() || all().any(is_public_key)).then_some(Kind::Public)
}

/// A key as it may stand in a file of settings, without quotes.
fn bare(text: &str) -> &str {
    text.trim().trim_matches(['"', '\'', '`']).trim()
}

/// What is behind a prefix in upper or lower case.
fn behind<'a>(text: &'a str, prefix: &str) -> Option<&'a str> {
    let begin = text.get(..prefix.len())?;
    begin.eq_ignore_ascii_case(prefix).then(|| &text[prefix.len()..])
}

/// Whether the text alone can be a key for this mark.
fn is_key_of(mark: &Mark, text: &str) -> bool {
    public::key(mark.algorithm, text).is_ok()
}

/// Whether the text can be nothing but a public key or a certificate.
fn is_public_key(text: &str) -> bool {
    let is_key = |bytes: Vec<u8>| {
        public::is_der(&bytes) || public::is_ssh(&bytes) || point::is_on_p256(&bytes)
    };
    is_public_text(text) || public::bytes(text).is_some_and(is_key)
}

/// Whether it is one in a form that is not only encoded bytes.
fn is_public_text(text: &str) -> bool {
    let is_ssh = |word: &str| {
        word.starts_with(SSH_BODY)
            && public::bytes(word).is_some_and(|bytes| public::is_ssh(&bytes))
    };
    SSH_PREFIXES.iter().any(|prefix| behind(text, prefix).is_some())
        || text.split_whitespace().any(is_ssh)
        || text.contains("-----BEGIN ")
        || text.contains("---- BEGIN SSH2")
        || contains(text, "comment: minisign public key")
        || is_age(text)
        || !jwks(text).is_empty()
}

fn is_private(text: &str) -> bool {
    jwks(text).iter().any(|key| key.contains_key("d"))
        || text.contains("PRIVATE KEY")
        || PRIVATE_MARKS.iter().any(|mark| contains(text, mark))
        || public::bytes(text).is_some_and(|bytes| public::is_private_der(&bytes))
}

/// What only private keys contain: of PuTTY, age and minisign.
const PRIVATE_MARKS: [&str; 3] =
    ["PuTTY-User-Key-File", "AGE-SECRET-KEY-1", "comment: minisign encrypted secret key"];

/// Whether the text contains this in upper or lower case.
fn contains(text: &str, mark: &str) -> bool {
    text.to_ascii_lowercase().contains(&mark.to_ascii_lowercase())
}

/// Whether it is a public key of age: `age1` and 58 characters of Bech32.
fn is_age(text: &str) -> bool {
    let is_bech32 = |byte: u8| matches!(byte, b'a'..=b'z' | b'0' | b'2'..=b'9');
    text.strip_prefix("age1").is_some_and(|rest| rest.len() == 58 && rest.bytes().all(is_bech32))
}

/// The keys of a JWK, or of a set or list of them.
fn jwks(text: &str) -> Vec<serde_json::Map<String, serde_json::Value>> {
    use serde_json::Value;
    let text = text.trim();
    if !text.starts_with(['{', '[']) {
        return Vec::new();
    }
    let keys = match serde_json::from_str(text) {
        Ok(Value::Array(keys)) => keys,
        Ok(Value::Object(mut set)) => match set.remove("keys") {
            Some(Value::Array(keys)) => keys,
            _ => vec![Value::Object(set)],
        },
        _ => Vec::new(),
    };
    let key = |key| match key {
        Value::Object(key) => Some(key).filter(|key| key.contains_key("kty")),
        _ => None,
    };
    keys.into_iter().filter_map(key).collect()
}

/// The texts that this text encodes, one in the other.
fn decoded(text: &str) -> Vec<String> {
    let next = |text: &String| {
        let inner = String::from_utf8(public::bytes(text)?).ok()?;
        Some(inner.trim_start().to_owned())
    };
    std::iter::successors(next(&text.to_owned()), next).take(ENCODINGS_MAX).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::codec::{base64, hex};
    use super::super::{Algorithm, Scheme, Verifier};
    use super::*;
    use crate::config::vendors::schemes;
    use crate::model::Secret;
    use proptest::prelude::*;

    #[test]
    fn a_secret_with_a_version_in_front_is_refused_by_every_scheme() {
        for scheme in schemes().iter().filter(|scheme| scheme.signature().is_some()) {
            let secret = Secret::new("v1,whsec_dGVzdHRlc3R0ZXN0dGVzdA==");
            let error = Verifier::new(scheme, &[secret], Some("https://a.example")).unwrap_err();
            assert!(error.to_string().contains("remove `v1,`"), "{}: {error}", scheme.name);
        }
    }

    /// Texts that are public or private keys in every form, whatever the scheme.
    fn foreign() -> Vec<(String, &'static str)> {
        let ed = public::whole(Algorithm::Ed25519, &[7; 32]);
        let p256 = public::whole(Algorithm::EcdsaP256, &[&[4][..], &[7; 64]].concat());
        let rsa = [
            &[0x30, 0x82, 1, 0x22, 0x30, 0x0d, 6, 9][..],
            &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 1],
            &[5, 0, 3, 0x82, 1, 0x0f, 0],
            &[7; 270],
        ];
        let p384 = [
            &[0x30, 0x76, 0x30, 0x10, 6, 7, 0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1][..],
            &[6, 5, 0x2b, 0x81, 4, 0, 0x22, 3, 0x62, 0, 4],
            &[7; 96],
        ];
        let x25519 =
            [&[0x30, 0x2a, 0x30, 5, 6, 3, 0x2b, 0x65, 0x6e, 3, 0x21, 0][..], &[7; 32]].concat();
        let mut texts = Vec::new();
        for whole in [ed, p256, rsa.concat(), p384.concat(), x25519] {
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
        for (der, kind) in in_der() {
            texts.push((base64(&der), kind));
            texts.push((hex(&der), kind));
            // As `openssl` shows it.
            let digits: Vec<String> = der.iter().map(|byte| format!("{byte:02x}")).collect();
            let lines: Vec<String> = digits.chunks(15).map(|line| line.join(":")).collect();
            texts.push((lines.join(":\n    "), kind));
            texts.push((format!("whsec_{}", base64(&der)), kind));
        }
        let blob = [&[0, 0, 0, 11][..], b"ssh-ed25519", &[0, 0, 0, 32], &[7; 32]].concat();
        let blob = base64(&blob);
        texts.push((base64(base64(blob.as_bytes()).as_bytes()), "a public key"));
        texts.push((format!("from=\"192.0.2.7\" ssh-ed448\t{blob} me"), "a public key"));
        texts.push((blob, "a public key"));
        texts.extend(with_a_mark());
        for kind in ["ssh-ed25519", "ssh-rsa", "ecdsa-sha2-nistp256", "sk-ssh-ed25519@openssh.com"]
        {
            texts.push((
                format!("{kind} AAAAC3NzaC1lZDI1NTE5AAAAIAcH me@example.org"),
                "a public key",
            ));
        }
        let x = base64(&[7; 32]);
        texts.push((format!("WHPK_{x}"), "a public key"));
        texts.push((format!("WhSk_{}", base64(&[7; 64])), "a private key"));
        texts.push((format!(r#"{{"kty":"OKP","crv":"Ed25519","x":"{x}"}}"#), "a public key"));
        let private = format!(r#"{{"kty":"OKP","crv":"Ed25519","x":"{x}","d":"{x}"}}"#);
        texts.push((private, "a private key"));
        texts.push((format!("whpk_{x}"), "a public key"));
        texts.push((format!("whsk_{}", base64(&[7; 64])), "a private key"));
        // Texts as a whole in base64 or hexadecimal.
        let is_text = |text: &str| text.contains("BEGIN ") || text.starts_with(['{', 's']);
        let encoded = texts.iter().filter(|(text, _)| is_text(text)).flat_map(|(text, kind)| {
            let bytes = text.as_bytes();
            [base64(bytes), hex(bytes), format!("whsec_{}", base64(bytes))]
                .map(|text| (text, *kind))
        });
        let encoded: Vec<_> = encoded.collect();
        texts.extend(encoded);
        texts
    }

    /// Keys that are known by a word in them.
    fn with_a_mark() -> Vec<(String, &'static str)> {
        let mut texts = Vec::new();
        texts.push(("PuTTY-User-Key-File-3: ssh-ed25519".to_owned(), "a private key"));
        texts.push(("# mine\nputty-user-key-file-2: ssh-rsa".to_owned(), "a private key"));
        texts.push((format!("AGE-SECRET-KEY-1{}", "Q".repeat(58)), "a private key"));
        let minisign = "untrusted comment: minisign encrypted secret key\nRWRTY0Iy";
        texts.push((minisign.to_owned(), "a private key"));
        texts.push((minisign.replace("encrypted secret", "public"), "a public key"));
        texts.push((format!("age1{}", "q".repeat(58)), "a public key"));
        texts.push((format!("v1a,whpk_{}", base64(&[7; 32])), "a public key"));
        texts.push((format!("\"whpk_{}\"", base64(&[7; 32])), "a public key"));
        let okp = r#"{"\u006bty":"OKP","crv":"Ed25519","x":"AA"}"#;
        texts.push((okp.to_owned(), "a public key"));
        texts.push((format!("[{okp}]"), "a public key"));
        texts.push((format!(r#"{{"keys":[{okp}]}}"#), "a public key"));
        texts.push((r#"[{"kty":"OKP","d":"AA"}]"#.to_owned(), "a private key"));
        texts
    }

    /// Keys without a text around them.
    fn in_der() -> Vec<(Vec<u8>, &'static str)> {
        let pkcs8 = [
            &[0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20][..],
            &[7; 32],
        ];
        let sec1 = [&[0x30, 0x31, 2, 1, 1, 4, 0x20][..], &[7; 32], &[0xa0, 10], &[6; 10]];
        let pkcs1 = [&[0x30, 0x82, 1, 7, 2, 1, 0, 2, 0x82, 1, 0][..], &[7; 256]];
        let rsa = [&[0x30, 0x82, 1, 10, 2, 0x82, 1, 1, 0][..], &[7; 256], &[2, 3, 1, 0, 1]];
        let rsa_3 = [&[0x30, 0x82, 1, 8, 2, 0x82, 1, 1, 0][..], &[7; 256], &[2, 1, 3]];
        let encrypted = [&[0x30, 0x4e, 0x30, 0x0b, 6, 9][..], &[7; 9], &[4, 0x3f], &[7; 63]];
        let algorithm_and_signature =
            [&[0x30, 10, 6, 8][..], &[7; 8], &[3, 0x48, 0], &[7; 71]].concat();
        // Of version 3, of version 1, and a request for one.
        let signed = [&[0xa0, 3, 2, 1, 2][..], &[2, 1, 7], &[2, 1, 0]].map(|begin| {
            let inner = [&[0x30, 72][..], begin, &[4; 72][..72 - begin.len()]].concat();
            let content = [inner, algorithm_and_signature.clone()].concat();
            (
                [&[0x30, 0x81, u8::try_from(content.len()).unwrap()][..], &content].concat(),
                "a public key",
            )
        });
        let mut keys = vec![
            (point::example(), "a public key"),
            (pkcs8.concat(), "a private key"),
            (sec1.concat(), "a private key"),
            (pkcs1.concat(), "a private key"),
            (rsa.concat(), "a public key"),
            (rsa_3.concat(), "a public key"),
            (encrypted.concat(), "a private key"),
            ([&b"openssh-key-v1\0"[..], &[7; 64]].concat(), "a private key"),
        ];
        keys.extend(signed);
        keys
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
    fn a_key_is_not_a_token_and_not_a_password() {
        for name in ["token", "basic", "gitlab-token", "okta"] {
            let scheme = crate::config::vendors::scheme(name).unwrap();
            for (text, kind) in foreign() {
                let text = if name == "basic" { format!("user:{text}") } else { text };
                let error = refused(scheme, &text).unwrap_or_else(|| panic!("{name}: {text}"));
                assert!(error.starts_with(&format!("secret 1 is {kind}")), "{error}: {text}");
            }
            for text in ["a:[]", "{}:1", "[{\"keys\":[1]}]:", "glpat-x:Qz1", "age1:age1"] {
                assert_eq!(refused(scheme, text), None, "{name}: {text}");
            }
        }
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

    proptest! {
        #[test]
        fn no_random_secret_is_taken_for_another_kind_of_key(
            bytes in proptest::collection::vec(any::<u8>(), 16..=96),
        ) {
            for scheme in schemes() {
                let Some(signature) = scheme.signature() else { continue };
                let is_alone = signature.marks.iter().all(|mark| mark.algorithm.is_symmetric());
                let whsec = format!("whsec_{}", base64(&bytes));
                let texts = if is_alone { vec![whsec, base64(&bytes), hex(&bytes)] } else { vec![whsec] };
                for text in texts.iter().filter(|_| signature.marks[0].algorithm.is_symmetric()) {
                    let error = refused(scheme, text).unwrap_or_default();
                    prop_assert!(!error.contains(" key"), "{}: {error}: {text}", scheme.name);
                }
            }
        }
    }
}
