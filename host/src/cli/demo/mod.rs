//! `dispatcher demo`: the main job on this machine, without configuration, in a few seconds.
//!
//! The real parts run: the daemon's own library with a generated configuration in a temporary
//! folder, and for the last check the binary itself, which is killed with `kill -9`. Every figure
//! shown was measured.

mod crash;
mod story;

use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Instant;

use super::exit::Failure;
use super::run::Signals;
use super::{find, out};
use crate::app::App;
use crate::config::ENV_FILE;
use crate::telemetry::Feed;
use crate::verify::{self, Scheme};

/// See it work: signed, forged, repeated, and killed with `kill -9`
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
secrets = "env:SQREEN_SECRET"

[targets.audit-log]
plugin = "file-log"
settings.path = "logs/events.jsonl"

[targets.urgent-log]
plugin = "file-log"
route = { severity = "error" }
settings.path = "logs/urgent.jsonl"
"#;

/// The demo's folder; removed when dropped.
struct Home(PathBuf);

impl Home {
    fn new() -> io::Result<Self> {
        let path = std::env::temp_dir().join(format!("dispatcher-demo-{}", std::process::id()));
        std::fs::create_dir(&path)?;
        Ok(Self(path))
    }

    /// Writes a configuration into the sub-folder `name`; gives its path.
    fn configure(&self, name: &str, secret: &str) -> io::Result<PathBuf> {
        let folder = self.0.join(name);
        std::fs::create_dir(&folder)?;
        std::fs::write(folder.join("dispatcher.toml"), CONFIG)?;
        let mut secrets = std::fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(folder.join(ENV_FILE))?;
        writeln!(secrets, "SQREEN_SECRET={secret}")?;
        Ok(folder.join("dispatcher.toml"))
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        // What cannot be removed lies in the system's temporary folder.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Runs the checks, then serves until Ctrl-C; gives whether all went as promised.
pub(super) fn run(args: &DemoArgs) -> Result<bool, Failure> {
    let mut signals = Signals::new()?;
    let began = Instant::now();
    let home = Home::new()?;
    let secret = generated_secret()?;
    let config = home.configure("home", &secret)?;
    let feed = Feed::default();
    let notes = feed.listen();
    let app = start(&config, &feed)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    introduce(&app, &config);
    let mut story = story::Story::new(app.address(), &secret, notes);
    let mut kept = runtime.block_on(story.tell())?;
    kept.push(crash::tell(&runtime, &home.configure("killed", &secret)?, &secret)?);
    let as_promised = kept.iter().filter(|kept| **kept).count();
    out::line(&format!(
        "\n{} checks, {as_promised} as promised, in {:.1} s.",
        kept.len(),
        began.elapsed().as_secs_f64()
    ));
    if !args.once {
        out::line(&format!("Still serving http://{}/sqreen until Ctrl-C; look at:", app.address()));
        out::line(&format!("  {}/logs/events.jsonl", config.parent().unwrap_or(&home.0).display()));
        out::line("Next: put your secret into dispatcher.env, then `dispatcher check` and `run`.");
        signals.wait();
    }
    app.stop().map_err(Failure::new)?;
    Ok(as_promised == kept.len())
}

fn start(config: &Path, feed: &Feed) -> Result<App, Failure> {
    App::start(&find::load_to_run(Some(config))?, feed).map_err(Failure::new)
}

fn generated_secret() -> io::Result<String> {
    let mut bytes = [0u8; 32];
    getrandom::fill(&mut bytes).map_err(|error| io::Error::other(error.to_string()))?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
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

/// The scheme that the demo's sender signs with.
fn sqreen() -> io::Result<&'static Scheme> {
    verify::scheme("sqreen")
        .map(|scheme| &**scheme)
        .ok_or_else(|| io::Error::other("there is no scheme `sqreen`"))
}
