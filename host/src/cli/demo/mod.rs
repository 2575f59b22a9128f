//! `dispatcher demo`: the main job on this machine, without configuration, in a few seconds.
//!
//! The real parts run: the daemon's own library with a generated configuration in a temporary
//! folder, and for the last check the binary itself, which is killed with `kill -9`. Every figure
//! shown was measured.

mod crash;
mod story;

use std::path::Path;
use std::time::Instant;

use super::exit::Failure;
use super::run::Signals;
use super::testbed::{Scratch, generated_secret, write_config};
use super::{find, out};
use crate::app::App;
use crate::telemetry::Feed;

/// See it work: signed, forged, repeated, killed with `kill -9`
#[derive(Clone, Debug, clap::Args)]
pub(super) struct DemoArgs {
    /// End after the checks instead of serving on.
    #[arg(long)]
    once: bool,
}

const CONFIG: &str = r#"[server]
listen = "127.0.0.1:0"

# What is shown must not depend on the space of this machine.
[store]
free_low = "0B"
free_min = "0B"

[sources.sqreen]
secrets = "file:secret"

[targets.audit-log]
plugin = "file-log"
settings.path = "logs/events.jsonl"

[targets.urgent-log]
plugin = "file-log"
route = { severity = "error" }
settings.path = "logs/urgent.jsonl"
"#;

/// Runs the checks, then serves until Ctrl-C; gives whether all went as promised.
pub(super) fn run(args: &DemoArgs) -> Result<bool, Failure> {
    let mut signals = Signals::new()?;
    let began = Instant::now();
    let home = Scratch::new(None, "demo")?;
    let secret = generated_secret()?;
    let config = write_config(&home.path().join("home"), CONFIG, &secret)?;
    let feed = Feed::default();
    let notes = feed.listen();
    let app = start(&config, &feed)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    introduce(&app, &config);
    let mut story = story::Story::new(app.address(), &secret, notes);
    let mut kept = runtime.block_on(story.tell())?;
    kept.push(crash::tell(
        &runtime,
        &write_config(&home.path().join("killed"), CONFIG, &secret)?,
        &secret,
    )?);
    let as_promised = kept.iter().filter(|kept| **kept).count();
    out::line(&format!(
        "\n{} checks, {as_promised} as promised, in {:.1} s.",
        kept.len(),
        began.elapsed().as_secs_f64()
    ));
    if !args.once {
        out::line(&format!("Still serving http://{}/sqreen until Ctrl-C; look at:", app.address()));
        out::line(&format!(
            "  {}/logs/events.jsonl",
            config.parent().unwrap_or(home.path()).display()
        ));
        out::line("Next: put your secret into dispatcher.env, then `dispatcher check` and `run`.");
        signals.wait();
    }
    app.stop().map_err(Failure::new)?;
    Ok(as_promised == kept.len())
}

fn start(config: &Path, feed: &Feed) -> Result<App, Failure> {
    App::start(&find::load_to_run(Some(config))?, feed).map_err(Failure::new)
}

fn introduce(app: &App, config: &Path) {
    let folder = config.parent().unwrap_or(config).display();
    out::line(&format!(
        "dispatcher {} demo   files in {folder}, removed at the end",
        env!("CARGO_PKG_VERSION")
    ));
    out::line(&format!(
        "  source   sqreen       http://{}/sqreen   secret generated",
        app.address()
    ));
    out::line("  targets  audit-log    logs/events.jsonl              every event");
    out::line("           urgent-log   logs/urgent.jsonl              severity error and worse");
}
