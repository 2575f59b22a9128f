//! What a configuration is read as. The texts of its problems are in the golden files of `check`.

use std::path::Path;
use std::time::Duration;

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::model::{Severity, TargetNumber};
use crate::retry::{MaybeSent, Policy};
use crate::{ingest, net, normalize, plugin};

const SECRET: &str = "6fd4a9e2-not-to-be-shown";

/// Loads `text` from a new folder, with `dispatcher.env` if `env` is not empty.
fn load_text(text: &str, env: &str) -> Result<Config, Problems> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("dispatcher.toml");
    std::fs::write(&file, text).unwrap();
    if !env.is_empty() {
        let path = folder.path().join(ENV_FILE);
        std::fs::write(&path, env).unwrap();
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
        std::fs::set_permissions(&path, mode).unwrap();
    }
    load(&file, &Environment::new(&[("SQREEN_SECRET", SECRET)], None))
}

fn golden(name: &str) -> Config {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/golden/config");
    load(&root.join(name), &Environment::new(&[("SQREEN_SECRET", SECRET)], None)).unwrap()
}

const SMALLEST: &str = "[sources.sqreen]\nsecrets = \"env:SQREEN_SECRET\"\n\
                        [targets.a]\nplugin = \"file-log\"\nsettings.path = \"x\"\nsettings.to = [\"b\", \"c\"]\n";

#[test]
fn the_smallest_file_has_every_default() {
    let config = load_text(SMALLEST, "").unwrap();
    let (source, secret) = config.source("sqreen").unwrap();
    assert_eq!((source.path.as_str(), source.body_bytes_max), ("/sqreen", 4 << 20));
    assert_eq!((&*source.verifier.scheme().name, &*source.sender.name), ("sqreen", "sqreen"));
    assert_eq!(secret.expose(), SECRET);
    assert_eq!(config.address(source), "http://127.0.0.1:7070/sqreen");
    assert_eq!(config.server, net::Settings::default());
    assert_eq!(config.store.directory, config.home.join("data"));
    assert_eq!((config.free_low_bytes, source.silent_after), (1 << 30, None));
    assert_eq!(config.store.free_min_bytes, None);
    assert_eq!(config.store.retention_age_ms, Some(30 * 86_400_000));
    assert_eq!(config.store.retention_bytes, Some(10 << 30));
    assert_eq!(config.plugins.cache, config.home.join("plugin-cache"));
    assert_eq!(config.plugins.directories.last(), Some(&config.home.join("plugins.d")));
    let target = &config.targets[0];
    assert!(target.enabled && target.route.rules.is_empty() && target.allow.is_empty());
    assert_eq!(target.policy, Policy::default());
    let deliver = target.deliver(TargetNumber(3), plugin::Mode::Batch);
    assert_eq!((deliver.batch_max, deliver.concurrency), (256, 1));
    assert_eq!(target.settings.json, json!({"path": "x", "to": ["b", "c"]}));
}

#[test]
fn every_setting_takes_effect() {
    let config = golden("right-everything.toml");
    assert_eq!(config.server.listen, "0.0.0.0:8080".parse().unwrap());
    assert_eq!(config.server.header_timeout, Duration::from_secs(5));
    assert_eq!(config.server.idle_timeout, Duration::from_secs(60));
    assert_eq!(config.server.drain_timeout, Duration::from_secs(15));
    assert_eq!(config.server.connections_max, 100);
    let time = config.ingest.body_time;
    assert_eq!((time.timeout, time.grace), (Duration::from_secs(20), Duration::from_secs(3)));
    assert_eq!(time.rate_min, 2 << 10);
    assert_eq!(config.ingest.bytes_in_flight_max, 32 << 20);
    assert_eq!(config.store.directory, Path::new("/var/tmp/dispatcher-data"));
    assert_eq!((config.store.segment_bytes, config.free_low_bytes), (16 << 20, 0));
    assert_eq!(config.store.free_min_bytes, Some(100 << 20));
    assert_eq!(config.store.retention_age_ms, Some(7 * 86_400_000));
    assert_eq!(config.store.retention_bytes, Some(64 << 20));
    assert!(config.targets[0].overflow && !config.targets[1].overflow);
    assert_eq!(config.plugins.directories.last(), Some(&config.home.join("more")));
    let source = &config.ingest.sources[0];
    assert_eq!((&*source.name, source.body_bytes_max), ("sqreen", 512 << 10));
    assert_eq!(config.server.trusted_proxies[1].to_string(), "fd00::/8");
    assert!(!config.server.proxy_protocol);
    assert_eq!(source.allow[0].to_string(), "140.82.112.0/20");
    let minute = ingest::Rate { count: 1000, per: Duration::from_secs(60) };
    assert_eq!((source.rates.len(), source.rates[1]), (2, minute));
    assert_eq!(source.silent_after, Some(Duration::from_secs(6 * 3_600)));
    assert_eq!(config.ingest.sources[1].silent_after, None);
    assert_eq!(config.address(source), "https://hooks.example.org/in/hooks/sqreen");
    assert_eq!(config.ingest.sources[1].sender.name, "json");
    let target = &config.targets[0];
    let allowed: Vec<String> = target.allow.iter().map(ToString::to_string).collect();
    assert_eq!(allowed, ["10.1.2.0/24", "::1/128"]);
    assert_eq!((target.batch_max, target.concurrency), (10, Some(2)));
    assert_eq!(target.timeout, Duration::from_millis(500));
    assert_eq!(target.policy.attempts_max, Some(5));
    assert_eq!(target.policy.maybe_sent, MaybeSent::DeadLetter);
    let expected = json!({
        "path": "logs/events.jsonl", "number": 16, "ratio": 0.5, "on": true, "list": ["a", ["b"]],
        "inner": { "day": "2026-01-02", "secret": SECRET },
    });
    assert_eq!(target.settings.json, expected);
    assert_eq!(target.settings.secrets.len(), 1);
    let rule = &config.targets[1].route.rules[0];
    assert_eq!((rule.sources.len(), rule.types.len()), (1, 2));
    assert_eq!(rule.severity, Some(Severity::Error));
    assert!(!config.targets[3].enabled && config.targets[3].settings.incomplete);
}

#[test]
fn only_a_scheme_that_leaves_content_unsigned_is_warned_about() {
    let by_get = "methods = [\"GET\"]";
    let by_both = "methods = [\"GET\", \"POST\"]";
    for (signed, of_scheme, of_sources, warns) in [
        (r#""method", "url""#, "", &[by_get][..], false),
        (r#""method", "url""#, by_get, &[], false),
        (r#""method", "url""#, by_get, &[""], false),
        (r#""method", "literal:|", "path""#, "", &[by_get, by_get], false),
        (r#""url""#, "", &[by_get], false),
        (r#""url", "body""#, "", &[""], false),
        (r#""value:/a""#, "", &[""], false),
        (r#""method", "url""#, "", &[], true),
        (r#""method", "url""#, "", &[""], true),
        (r#""method", "url""#, "", &[by_both], true),
        (r#""method", "url""#, "", &[by_get, by_both], true),
        (r#""method", "url""#, by_get, &[by_get, by_both], true),
        (r#""method", "url", "id""#, "", &[by_get], true),
        (r#""method""#, "", &[by_get], true),
    ] {
        let mut text = format!(
            "server.public_url = \"https://hooks.example.com\"\n[schemes.own]\nheader = \"x-sig\"\n\
             algorithm = \"hmac-sha256\"\nid = \"x-id\"\nsigned = [{signed}]\n{of_scheme}\n"
        );
        for (number, lines) in of_sources.iter().enumerate() {
            let source = format!("[sources.s{number}]\nscheme = \"own\"\n{lines}\n");
            text += &format!("{source}secrets = \"literal:{number}-{SECRET}\"\n");
        }
        let shown = match load_text(&text, "") {
            Ok(config) => config.problems(Vec::new()).render(false),
            Err(problems) => panic!("{}", problems.render(false)),
        };
        let found = shown.matches("scheme `own` does not sign the content").count();
        assert_eq!(found, usize::from(warns), "[{signed}] {of_scheme} {of_sources:?}: {shown}");
    }
}

#[test]
fn a_rule_is_said_to_match_no_event_only_if_that_is_true() {
    let never = Some("` matches no event");
    let others = Some("` matches only elements that are not JSON objects");
    let (plain, typed, severe) = (
        "events = \"list\"\nseverity_default = \"info\"",
        "type = \"push\"\nseverity = \"error\"",
        "type = \"{kind}\"\nseverity = \"info\"",
    );
    for (sender, rule, expected) in [
        // All JSON objects are of type `unknown` and `info`.
        (plain, r#"types = "unknown""#, None),
        (plain, r#"types = "push""#, never),
        (plain, r#"severity = "info""#, None),
        (plain, r#"severity = "warning""#, others),
        (plain, r#"types = "unknown", severity = "warning""#, others),
        (plain, r#"severity = "error""#, never),
        (plain, r#"types = "unknown", severity = "critical""#, never),
        // All are of type `push` and `error`; `[7]` is `unknown` and `warning` all the same.
        (typed, r#"types = "unknown""#, None),
        (typed, r#"types = ["unknown"], severity = "warning""#, None),
        (typed, r#"types = "!push""#, None),
        (typed, r#"types = ["unknown"], severity = "error""#, never),
        (typed, r#"severity = "error""#, None),
        (typed, r#"severity = "critical""#, never),
        (typed, r#"types = ["!push", "!unknown"]"#, never),
        (severe, r#"types = "door""#, None),
        (severe, r#"types = "door", severity = "warning""#, never),
        (severe, r#"severity = "warning""#, others),
    ] {
        let text = format!(
            "[senders.own]\n{sender}\n[sources.s]\nscheme = \"github\"\nsender = \"own\"\n\
             secrets = \"env:SQREEN_SECRET\"\n[targets.a]\nplugin = \"file-log\"\nroute = {{ {rule} }}\n"
        );
        let shown = match load_text(&text, "") {
            Ok(config) => config.problems(Vec::new()).render(false),
            Err(problems) => panic!("{}", problems.render(false)),
        };
        let found = [never, others].into_iter().flatten().find(|text| shown.contains(text));
        assert_eq!(found, expected, "{sender} {rule}: {shown}");
    }
}

#[test]
fn debug_output_contains_no_secret() {
    let shown = format!("{:?}", golden("right-everything.toml"));
    assert!(!shown.contains(SECRET) && !shown.contains("the-old-one"), "{shown}");
}

#[test]
fn dispatcher_env_adds_variables_and_similar_names_are_suggested() {
    let text = "[sources.sqreen]\nsecrets = [\"env:FROM_FILE\", \"env:SQREEN_SECRET\"]\n[targets.a]\nplugin = \"p\"\n";
    let config = load_text(text, "FROM_FILE=first\nSQREEN_SECRET=not this one\n").unwrap();
    assert_eq!(config.source("sqreen").unwrap().1.expose(), "first");
    let text = "[sources.sqreen]\nsecrets = \"env:GITHUB_SECRET\"\n[targets.a]\nplugin = \"p\"\n";
    let problems = load_text(text, "GITHUB_WEBHOOK_SECRET=hunter2\nhunter2\n").unwrap_err();
    let shown = problems.to_string();
    assert!(
        shown.contains("help: dispatcher.env has a similar name: GITHUB_WEBHOOK_SECRET"),
        "{shown}"
    );
    assert!(shown.contains("dispatcher.env:2"), "{shown}");
    assert!(!shown.contains("hunter2"), "{shown}");
}

#[test]
fn the_hash_covers_the_text_and_not_the_secrets() {
    let hash = |text: &str, env: &str| load_text(text, env).unwrap().hash;
    let other = SMALLEST.replace("SQREEN_SECRET", "OTHER");
    assert_eq!(hash(&other, "OTHER=1"), hash(&other, "OTHER=2"));
    assert_ne!(hash(SMALLEST, ""), hash(&format!("{SMALLEST}# x\n"), ""));
}

#[test]
fn a_plugins_complaint_is_shown_at_the_setting() {
    let config = load_text(SMALLEST, "").unwrap();
    for (path, line, caret) in [
        ("to[1]", 6, "\"c\""),
        ("to[7].x", 6, "to"),
        ("path", 5, "\"x\""),
        ("path.inner", 5, "path"),
        ("missing", 5, "settings"),
        ("", 5, "settings"),
    ] {
        let problem = config.targets[0].setting_problem(path, "no");
        let Place::Span(span) = &problem.place else { panic!("{problem:?}") };
        assert_eq!(
            (config.document.position(span.start).line, span.len()),
            (line, caret.len()),
            "{path}"
        );
    }
    let misplaced = config.targets[0].setting_problem("timeout", "unknown field `timeout`");
    let help = "`timeout` is a key of the target, not of the plugin: write targets.a.timeout";
    assert_eq!(misplaced.help, [help]);
}

#[test]
fn a_secret_setting_in_plain_text_is_an_error_that_does_not_show_it() {
    let config = load_text(SMALLEST, "").unwrap();
    let schema = json!({"properties": {"path": {"writeOnly": true}}});
    let open = config.targets[0].open_secrets(&schema);
    let line = &config.problems(open.clone()).lines()[0];
    assert!(line.contains("dispatcher.toml:5: `targets.a.settings.path` is a secret"), "{line}");
    let shown = config.problems(open).to_string();
    assert!(shown.contains("settings.path = \"***\"") && !shown.contains("\"x\""), "{shown}");
}

#[test]
fn an_unreadable_file_is_reported_in_one_line() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("dispatcher.toml");
    let shown = || load(&file, &Environment::default()).unwrap_err().to_string();
    assert!(shown().starts_with("error: cannot read"), "{}", shown());
    std::fs::write(&file, [b'#'; CONFIG_BYTES_MAX + 1]).unwrap();
    assert!(shown().contains("larger than 1048576 bytes"), "{}", shown());
    std::fs::write(&file, [0xff]).unwrap();
    assert!(shown().contains("not UTF-8"), "{}", shown());
}

proptest! {
    /// A damaged file is rejected or read. No problem shows the value of a reference.
    #[test]
    fn no_damage_causes_a_panic_or_reveals_a_secret(
        cut in 0usize..2_000, length in 0usize..40, put in "[a-z\\[\\]{}\"'=.,\n# ]{0,6}",
    ) {
        let text = include_str!("../../../tests/golden/config/right-everything.toml");
        let (start, end) = (cut.min(text.len()), (cut + length).min(text.len()));
        let damaged = format!("{}{put}{}", &text[..start], &text[end..]);
        let shown = match load_text(&damaged, "") {
            Ok(config) => config.problems(Vec::new()).to_string(),
            Err(problems) => problems.to_string(),
        };
        prop_assert!(!shown.contains(SECRET));
    }

    /// Whatever custom scheme and sender a damaged file defines, they can process requests.
    #[test]
    fn no_custom_scheme_or_sender_makes_a_request_panic(
        cut in 0usize..1_200, length in 0usize..30, put in "[a-z\\[\\]{}\"'=:/.,\n# ]{0,6}",
        body in "[\\[\\]{}\",:a1 ]{0,30}",
    ) {
        let text = concat!(
            "senders.door = { events = \"a\", id = [\"{b}/{c.0}\"], title = \"{root:d} {@type}\", ",
            "severity = \"{e}\", severity_words = { x = \"error\" }, may_repeat = true, body = \"any\" }\n",
            include_str!("../../../tests/golden/config/right-schemes.toml"),
        );
        let (start, end) = (cut.min(text.len()), (cut + length).min(text.len()));
        let damaged = format!("{}{put}{}", &text[..start], &text[end..]);
        if let Ok(config) = load_text(&damaged, "") {
            for source in &config.ingest.sources {
                let (headers, body) = (http::HeaderMap::new(), bytes::Bytes::from(body.clone()));
                let input = normalize::Input::example(&headers, &body);
                let _ = normalize::normalize(&source.sender, input);
                let request = crate::model::Request {
                    source: source.name.clone(), method: http::Method::POST, headers,
                    uri: http::Uri::default(), body, received_at: crate::model::Timestamp::from_millis(1),
                };
                let accepted = source.verifier.verify(request).is_ok();
                prop_assert!(!accepted || source.verifier.scheme().proof == crate::verify::Proof::None);
            }
        }
    }

    #[test]
    fn no_text_causes_a_panic(text: String) {
        if let Err(problems) = load_text(&text, "") {
            prop_assert!(problems.errors() > 0 && !problems.to_string().is_empty());
        }
    }
}
