//! Settings that are accepted, and invalid ones that are refused with their key.

use dispatcher_plugin_api::schemars::schema_for;
use dispatcher_plugin_api::serde_json::{self, Value};

use super::*;

const ACCOUNT: &str = "AC0123456789abcdef0123456789ABCDEF";
const KEY: &str = "SK0123456789abcdef0123456789abcdef";
const SERVICE: &str = "MG0123456789abcdef0123456789abcdef";

/// Good settings with some changed; null takes one away.
fn checked(changes: Value) -> Result<Checked, String> {
    let mut settings = json!({
        "account_sid": ACCOUNT,
        "auth_token": "hunter2hunter2",
        "from": "+15005550006",
        "to": ["+33612345678"],
    });
    let Value::Object(changes) = changes else { panic!("changes are an object") };
    for (key, value) in changes {
        if value.is_null() {
            settings.as_object_mut().unwrap().remove(&key);
        } else {
            settings[key] = value;
        }
    }
    let settings: Settings = serde_json::from_value(settings).map_err(|e| e.to_string())?;
    settings.checked().map_err(|invalid| invalid.to_string())
}

#[test]
fn valid_settings_are_accepted() {
    let token = checked(json!({})).unwrap();
    assert_eq!((token.user.as_str(), token.password.expose()), (ACCOUNT, "hunter2hunter2"));
    assert_eq!(token.sender.field(), ("From", "+15005550006"));
    assert_eq!(token.segments_max, 2);
    assert_eq!(
        token.url.as_str(),
        format!("https://api.twilio.com/2010-04-01/Accounts/{ACCOUNT}/Messages.json")
    );
    let key = json!({ "auth_token": null, "api_key": KEY, "api_key_secret": "s" });
    let key = checked(key).unwrap();
    assert_eq!((key.user.as_str(), key.password.expose()), (KEY, "s"));
    assert!(key.url.as_str().contains(ACCOUNT));
    let service = json!({ "from": null, "messaging_service_sid": SERVICE });
    assert_eq!(checked(service).unwrap().sender.field(), ("MessagingServiceSid", SERVICE));
    for from in ["+15005550006", "12345", "Acme", "Acme Ops 24", "A"] {
        checked(json!({ "from": from })).unwrap();
    }
    let base = checked(json!({ "api_base": "http://127.0.0.1:4010/" })).unwrap();
    assert!(base.url.as_str().starts_with("http://127.0.0.1:4010/2010-04-01/Accounts/AC"));
    checked(json!({ "to": "+33612345678", "segments_max": 10 })).unwrap();
}

#[test]
fn invalid_settings_are_refused_with_their_key() {
    for (changes, part) in [
        (json!({ "account_sid": null }), "missing field `account_sid`"),
        (json!({ "to": null }), "missing field `to`"),
        (json!({ "form": "+1" }), "unknown field `form`"),
        (
            json!({ "account_sid": KEY }),
            "account_sid: not AC and 32 hexadecimal digits: this is an",
        ),
        (json!({ "account_sid": "AC123" }), "account_sid: not AC and 32"),
        (json!({ "account_sid": "é" }), "account_sid: not AC and 32"),
        (json!({ "auth_token": null }), "auth_token is missing: set it, or set api_key"),
        (json!({ "auth_token": "" }), "auth_token: must not be empty"),
        (json!({ "auth_token": "abc\n" }), "auth_token: must not be empty, and must be ASCII"),
        (json!({ "api_key": KEY }), "auth_token: set together with an API key"),
        (json!({ "auth_token": null, "api_key": KEY }), "api_key: needs api_key_secret"),
        (json!({ "auth_token": null, "api_key_secret": "x" }), "api_key_secret: needs api_key"),
        (
            json!({ "auth_token": null, "api_key": ACCOUNT, "api_key_secret": "x" }),
            "api_key: not SK and 32",
        ),
        (json!({ "from": null }), "from is missing: set it to a number of the account, or set"),
        (json!({ "messaging_service_sid": SERVICE }), "messaging_service_sid: set together with"),
        (
            json!({ "from": null, "messaging_service_sid": "MG1" }),
            "messaging_service_sid: not MG and 32",
        ),
        (json!({ "from": SERVICE }), "from: is a messaging service"),
        (json!({ "from": "+1 500 555 0006" }), "from: not a phone number with its country code"),
        (json!({ "from": "Acme Security" }), "from: not a phone number"),
        (json!({ "from": "" }), "from: not a phone number"),
        (json!({ "to": ["+33612345678", "12"] }), "to[1]: not a phone number"),
        (json!({ "to": "+15005550006" }), "to: is the number in `from`"),
        (json!({ "segments_max": 0 }), "segments_max: must be between 1 and 10"),
        (json!({ "segments_max": 11 }), "segments_max: must be between 1 and 10"),
        (json!({ "segments_max": 300 }), "invalid value"),
        (json!({ "api_base": "api.twilio.com" }), "an address must start with https://"),
        (
            json!({ "api_base": "https://api.twilio.com/2010-04-01/" }),
            "api_base: must have only scheme",
        ),
        (json!({ "api_base": "https://api.twilio.com?x=1" }), "api_base: must have only scheme"),
    ] {
        let error = checked(changes.clone()).unwrap_err();
        assert!(error.contains(part), "{changes}: {error}");
        assert!(!error.contains("hunter2"), "{error}");
    }
}

#[test]
fn the_schema_marks_secrets_and_helps_editors() {
    let schema = schema_for!(Settings).to_value();
    assert_eq!(schema["additionalProperties"], json!(false));
    let properties = schema["properties"].as_object().unwrap();
    for (name, property) in properties {
        assert!(property["description"].is_string(), "{name}");
        let text = property.to_string();
        let secret = matches!(name.as_str(), "auth_token" | "api_key_secret");
        assert_eq!(text.contains("\"writeOnly\":true"), secret, "{text}");
    }
    assert_eq!(schema["required"], json!(["account_sid", "to"]));
}

#[test]
fn debug_shows_no_secret() {
    let shown = format!("{:?}", checked(json!({})).unwrap());
    assert!(!shown.contains("hunter2"), "{shown}");
}
