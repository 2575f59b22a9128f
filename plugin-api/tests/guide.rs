//! The plugin and the test of `docs/guide/plugin.md`, compiled and run as they are printed there.

use dispatcher_plugin_api::prelude::*;

#[derive(Deserialize, JsonSchema)]
#[serde(crate = "serde", deny_unknown_fields)]
struct Settings {
    /// Where each event is posted.
    url: HttpUrl,
}
struct Greet {
    settings: Settings,
    host: Host,
}
impl Target for Greet {
    type Settings = Settings;
    fn create(settings: Settings, host: Host) -> Result<Self, Invalid> {
        Ok(Self { settings, host })
    }
}
impl Each for Greet {
    async fn deliver(&self, event: Event<'_>) -> Verdict {
        let request = self.host.post(&self.settings.url);
        request.body(event.data()).send().await?.verdict()
    }
}
export_target!(Greet, name = "greet", each);

#[cfg(test)]
mod tests {
    use super::*;
    use dispatcher_plugin_api::testing::{self, TestEvent, TestHost};

    #[test]
    fn a_busy_receiver_is_retried() {
        let host = TestHost::new();
        host.answer(503, "busy");
        let greet: Greet = host.create(json!({ "url": "https://example.org/" })).unwrap();
        let verdict = testing::each(&greet, &TestEvent::new("{}"));
        assert_eq!(verdict, Err(Failure::retry("answered 503: busy")));
        assert_eq!(host.requests()[0].body, b"{}");
    }
}

#[test]
fn the_guide_prints_code_that_is_compiled_here() {
    let code = [include_str!("guide.rs"), include_str!("guide_digest.rs")];
    let guide = include_str!("../../docs/guide/plugin.md");
    let blocks: Vec<_> = guide.split("```rust\n").skip(1).collect();
    assert_eq!(blocks.len(), 3);
    for block in blocks {
        let (block, _) = block.split_once("```").unwrap();
        assert!(code.iter().any(|code| code.contains(block)), "not in plugin-api/tests:\n{block}");
    }
}
