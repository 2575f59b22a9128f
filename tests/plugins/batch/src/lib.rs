//! Returns verdicts that depend on the events' titles. The daemon's tests load it.

#![deny(unsafe_code)]

use dispatcher_plugin_api::prelude::*;

#[derive(Deserialize, JsonSchema)]
#[serde(crate = "serde", rename_all = "kebab-case")]
enum Act {
    Each,
    All,
    TooFew,
    TooMany,
    None,
    PanicOnOwnThread,
}

#[derive(Deserialize, JsonSchema)]
#[serde(crate = "serde", deny_unknown_fields)]
struct Settings {
    /// How to answer.
    act: Act,
    /// Put where it must not be shown.
    #[serde(default)]
    token: Option<Secret>,
}

struct Answering(Settings);

impl Target for Answering {
    type Settings = Settings;

    fn create(settings: Settings, _: Host) -> Result<Self, Invalid> {
        Ok(Self(settings))
    }
}

impl Batch for Answering {
    async fn deliver(&self, events: Events<'_>) -> Verdicts {
        let by_title = |event: Event<'_>| match event.title() {
            "bad" => Err(Failure::reject("bad")),
            title => {
                Ok(Receipt::id(title).with("request", event.header("x-request").unwrap_or("-")))
            }
        };
        match self.0.act {
            Act::Each => events.each(by_title),
            Act::All => events.all(Err(Failure::retry("full"))),
            Act::TooFew => events.iter().skip(1).map(by_title).collect(),
            Act::TooMany => events.iter().chain(events).map(by_title).collect(),
            Act::None => Vec::new().into(),
            Act::PanicOnOwnThread => {
                let token = self.0.token.as_ref().map_or("", Secret::expose).to_owned();
                let thread = std::thread::spawn(move || panic!("bomb on a thread, {token}"));
                events.all(thread.join().map_err(|_| Failure::reject("the thread panicked")))
            }
        }
    }
}

export_target!(Answering, name = "test-batch", batch);
