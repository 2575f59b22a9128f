//! The reference page of schemes is written from the table, and this holds it to that.
//!
//! `UPDATE_DOCS=1 cargo test -p dispatcher reference_page` writes it anew; read the difference.

use std::fmt::Write as _;
use std::path::Path;

use super::*;
use crate::config::vendors::Signs;
use crate::verify::SECRETS_MAX;

const HEAD: &str = "\
# Signature schemes

Written by a test from the table in `host/src/verify/presets/`; `dispatcher verify --list` shows the same.

A source's scheme is the one of its name, or `scheme = \"NAME\"`. A source has up to {SECRETS} secrets, and
each is tried, so that one can be replaced without a gap. The signature is checked over the bytes as they
came, before anything is decompressed or parsed. A header that is sent twice is refused, and so is a second
timestamp. Signatures of a version that is not known are ignored; one of a known version must match.

- **signed** is put together in this order, without separators. `address` is `server.public_url` with the
  path and query that came, never the Host header: such schemes need `server.public_url`.
- **time** is the place of the timestamp and how far it may be from now. One that is \"not signed\" proves
  nothing and is not looked at.
- **a copy** is what tells an event that is sent again within a day: it is answered with 200, counted in
  `duplicates` and not delivered a second time. First comes the id that the sender gives its event. An event
  without one is told by what the signature covers and by its place in the request, unless its sender may
  repeat itself (Alertmanager and Grafana, Dropbox, Sqreen's test message, a sender of your own with
  `may_repeat = true`, an empty body). Where the signature covers no content, ids in it prove nothing: what
  was signed counts alone, whatever came with it, and a request that brings several events is refused.
- **unconfirmed**: read in second-hand sources only. Try it with a real request before you rely on it.

To see why a request is refused:
`dispatcher verify --scheme NAME --secret SECRET --header 'K: V' --explain < body`.

";

const OWN: &str = r#"
## Your own

```toml
[schemes.acme]
header = "X-Acme-Signature"                  # or a list: the first that is sent counts
prefix = "v1="                               # before the signature
separator = ","                              # between elements; without it the value is one element
algorithm = "hmac-sha256"                    # hmac-sha1, hmac-sha256, hmac-sha512, ed25519, ecdsa-p256
encoding = "hex"                             # hex, base64
key = "text"                                 # text, hex, base64, base64:PREFIX, time-and-text, public-key
signed = ["time", "literal:.", "body"]       # in this order
time = "element:t="                          # header:NAME, element:MARK, body:/POINTER
time_unit = "seconds"                        # seconds, milliseconds, rfc3339, http-date
tolerance = "5m"                             # how old, and how far in the future unless …
tolerance_future = "1m"
id = "X-Acme-Id"                             # the header of an id that is signed
methods = ["POST"]

[sources.acme]
secrets = "env:ACME_SECRET"
```

Only `header` is needed: without more it is HMAC-SHA256 of the body in hexadecimal digits. What can be signed:
`body`, `time`, `id`, `method`, `url`, `url-any-port`, `url-unescaped`, `path`, `sorted-form`, `body-sha256`,
`literal:TEXT`, `header:NAME`, `listed-headers:NAME`, `body:/POINTER`. A time that is in none of it is not looked
at, and `check` says so. With `time_optional = true` a time inside the body may be missing.
"#;

fn page() -> String {
    let mut page = HEAD.replace("{SECRETS}", &SECRETS_MAX.to_string());
    page.push_str(
        "| scheme | where | how | signed | secret | time | a copy is told by | remarks |\n",
    );
    page.push_str("|---|---|---|---|---|---|---|---|\n");
    for scheme in vendors::schemes() {
        let mut remarks = Vec::new();
        if scheme.unconfirmed {
            remarks.push("**unconfirmed**".to_owned());
        }
        if !scheme.remark.is_empty() {
            remarks.push(scheme.remark.to_string());
        }
        let methods: Vec<&str> = scheme.methods.iter().map(Method::as_str).collect();
        if methods != ["POST"] {
            remarks.push(methods.join(", "));
        }
        let cells = [
            format!("`{}`", scheme.name),
            scheme.place_shown(),
            scheme.algorithm_shown(),
            scheme.signed_shown(),
            scheme.key_shown(),
            scheme.stamp_shown(),
            scheme.replay().shown().to_owned(),
            remarks.join("; "),
        ];
        // Writing into a String cannot fail.
        let _ = writeln!(page, "| {} |", cells.join(" | "));
    }
    page.push_str("\n## Vendors that do not sign\n\n");
    for vendor in vendors::all() {
        if let Signs::Not { instead } = &vendor.signs {
            let _ = writeln!(page, "- {}: `{instead}`", vendor.name);
        }
    }
    page.push_str(
        "\n`token` takes `token_in = \"header:NAME\"` or `\"query:NAME\"`; without it the token stands in \
         `Authorization`, after `Bearer` or alone. The secret of `basic` is `user:password`. `none` lets \
         everybody in and must be written out.\n\n\
         Not here: CrowdStrike Falcon, because its sources contradict one another; PayPal and Amazon SNS, \
         which sign with certificates that would have to be fetched; Azure Event Grid and Google Pub/Sub, \
         which send tokens of an identity provider.\n",
    );
    page.push_str(OWN);
    page
}

#[test]
fn the_reference_page_says_what_the_table_says() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/reference/schemes.md");
    let page = page();
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&file, &page).unwrap();
    }
    let written = std::fs::read_to_string(&file).unwrap_or_default();
    assert!(written == page, "{} is not as the table: UPDATE_DOCS=1 writes it", file.display());
}

#[test]
fn the_scheme_of_ones_own_in_the_reference_page_is_right() {
    let folder = tempfile::tempdir().unwrap();
    let text =
        OWN.split("```").nth(1).unwrap().trim_start_matches("toml").replace("env:", "literal:");
    let file = folder.path().join("dispatcher.toml");
    std::fs::write(&file, text + "[targets.a]\nplugin = \"p\"\n").unwrap();
    let config = crate::config::load(&file, &crate::config::Environment::default()).unwrap();
    assert_eq!(config.ingest.sources[0].verifier.scheme().stamp_shown(), "t=… (s, -300 +60 s)");
}
