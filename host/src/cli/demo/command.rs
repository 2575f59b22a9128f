//! The command itself: starts the daemon, runs the checks and shows the result.

use std::path::Path;
use std::time::Instant;

use super::{crash, requests};
use crate::app::App;
use crate::cli::exit::Failure;
use crate::cli::run::Signals;
use crate::cli::testbed::{DaemonFolder, Scratch, generated_secret};
use crate::cli::{find, out};
use crate::telemetry::Feed;

/// See it work: signed, forged, repeated, killed with `kill -9`
#[derive(Clone, Debug, clap::Args)]
pub(in crate::cli) struct DemoArgs {
    /// End after the checks instead of running until Ctrl-C.
    #[arg(long)]
    once: bool,
}

const CONFIG: &str = r#"[server]
listen = "127.0.0.1:0"

# The demo must not depend on the free space of this machine.
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

/// Runs the checks, then serves until Ctrl-C; returns whether every promise was kept.
pub(in crate::cli) fn run(args: &DemoArgs) -> Result<bool, Failure> {
    let mut signals = Signals::new()?;
    let began = Instant::now();
    let home = Scratch::new(None, "demo")?;
    let secret = generated_secret()?;
    let folder = DaemonFolder::new(&home.path().join("home"), CONFIG, &secret)?;
    folder.check()?;
    let feed = Feed::default();
    let notes = feed.listen();
    let app = start(&folder.config(), &feed)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    introduce(&app, folder.path());
    let mut checks = requests::Checks::new(app.address(), &secret, notes);
    let mut kept = runtime.block_on(checks.run())?;
    let killed = DaemonFolder::new(&home.path().join("killed"), CONFIG, &secret)?;
    kept.push(crash::run(&runtime, &killed, &secret)?);
    let promises_kept = kept.iter().filter(|kept| **kept).count();
    out::line(&format!(
        "\n{} checks, {promises_kept} as promised, in {:.1} s.",
        kept.len(),
        began.elapsed().as_secs_f64()
    ));
    if !args.once {
        out::line(&format!("Still serving http://{}/sqreen until Ctrl-C; look at:", app.address()));
        out::line(&format!("  {}/logs/events.jsonl", folder.path().display()));
        out::line("Next: `dispatcher init sqreen`, then `dispatcher check` and `dispatcher run`.");
        signals.wait();
    }
    app.stop().map_err(Failure::new)?;
    Ok(promises_kept == kept.len())
}

fn start(config: &Path, feed: &Feed) -> Result<App, Failure> {
    App::start(&find::load_to_run(Some(config))?, feed).map_err(Failure::new)
}

fn introduce(app: &App, folder: &Path) {
    let folder = folder.display();
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
