//! The plugin of `docs/guide/plugin.md` that makes one message of many events, compiled as it is printed there.

use dispatcher_plugin_api::prelude::*;

#[derive(Deserialize, JsonSchema)]
#[serde(crate = "serde", deny_unknown_fields)]
struct Settings {
    /// The address of the room's incoming webhook.
    webhook: HttpUrl,
}
struct Room {
    settings: Settings,
    host: Host,
}
impl Target for Room {
    type Settings = Settings;
    fn create(settings: Settings, host: Host) -> Result<Self, Invalid> {
        Ok(Self { settings, host })
    }
}
impl Together for Room {
    async fn deliver(&self, digest: Digest<'_>) -> Verdict {
        let links: Vec<_> = digest.events().iter().filter_map(|event| event.link()).collect();
        let body = json!({ "text": digest.message(), "count": digest.count(), "links": links });
        let request =
            self.host.post(&self.settings.webhook).header("idempotency-key", digest.key());
        request.json(&body).send().await?.verdict()
    }
}
export_target!(Room, name = "room", together);

#[cfg(test)]
mod tests {
    use super::*;
    use dispatcher_plugin_api::testing::{self, TestEvent, TestHost};

    #[test]
    fn many_events_are_one_message() {
        let host = TestHost::new();
        host.answer(200, "ok");
        let room: Room = host.create(json!({ "webhook": "https://example.org/" })).unwrap();
        let events =
            [TestEvent::new("{}").title("two doors"), TestEvent::new("{}").link("https://a")];
        assert_eq!(testing::together(&room, &events), Ok(Receipt::none()));
        let body: serde_json::Value = serde_json::from_slice(&host.requests()[0].body).unwrap();
        assert_eq!(body, json!({ "text": "two doors", "count": 2, "links": ["https://a"] }));
    }
}
