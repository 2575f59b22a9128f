//! Returns what it got, for comparison. The daemon's tests load it.

#![deny(unsafe_code)]

use dispatcher_plugin_api::prelude::*;

#[derive(Deserialize, JsonSchema)]
#[serde(crate = "serde", deny_unknown_fields)]
struct Settings {
    /// Whether to fail with progress instead.
    #[serde(default)]
    fail: bool,
    /// Rejects a message with an event whose title contains that.
    #[serde(default)]
    reject: Option<String>,
}

struct Echo(Settings);

impl Target for Echo {
    type Settings = Settings;

    fn create(settings: Settings, _: Host) -> Result<Self, Invalid> {
        Ok(Self(settings))
    }
}

impl Together for Echo {
    async fn deliver(&self, digest: Digest<'_>) -> Verdict {
        if self.0.fail {
            return Err(Failure::retry("half").progress(*b"half"));
        }
        if let Some(words) = &self.0.reject
            && digest.events().iter().any(|event| event.title().contains(words.as_str()))
        {
            return Err(Failure::reject("an event of it is refused"));
        }
        let ids: Vec<_> = digest.events().iter().map(|event| event.id().to_owned()).collect();
        Ok(Receipt::id(digest.key())
            .with("message", digest.message())
            .with("count", digest.count())
            .with("ids", ids.join(" "))
            .with("progress", format!("{:?}", digest.progress())))
    }
}

export_target!(Echo, name = "test-together", together);
