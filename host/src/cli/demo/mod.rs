//! `dispatcher demo`: the main job on this machine, without configuration, in a few seconds.
//!
//! The real parts run: the daemon's own library with a generated configuration in a temporary
//! folder, and for the last check the binary itself, which is killed with `kill -9`. Every figure
//! shown was measured.

mod crash;
mod story;

use std::io::{self, IsTerminal};
use std::path::{Path, PathBuf};
use std::time::Instant;

use crate::app::App;
use crate::config::{self, Environment};
use crate::telemetry::Feed;

/// Shows on this machine what the dispatcher does; needs no configuration and leaves nothing behind.
#[derive(Clone, Debug, clap::Args)]
pub struct DemoArgs {
    /// End after the checks instead of serving on.
    #[arg(long)]
    once: bool,
}

const CONFIG: &str = r#"[server]
listen = "127.0.0.1:0"

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
        std::fs::write(folder.join("dispatcher.env"), format!("SQREEN_SECRET={secret}\n"))?;
        Ok(folder.join("dispatcher.toml"))
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        // What cannot be removed lies in the system's temporary folder.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Runs the checks, then serves until Ctrl-C; the answer says whether all went as promised.
///
/// # Errors
/// When the temporary folder cannot be written or a server does not start.
pub fn run(args: &DemoArgs) -> io::Result<bool> {
    let began = Instant::now();
    let home = Home::new()?;
    let secret = generated_secret()?;
    let config = home.configure("home", &secret)?;
    let feed = Feed::default();
    let notes = feed.listen();
    let app = start(&config, feed)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    introduce(&app, &config);
    let mut story = story::Story::new(app.address(), &secret, notes);
    let mut kept = runtime.block_on(story.tell())?;
    kept.push(crash::tell(&runtime, &home.configure("killed", &secret)?, &secret)?);
    let as_promised = kept.iter().filter(|kept| **kept).count();
    println!(
        "\n{} checks, {as_promised} as promised, in {:.1} s.",
        kept.len(),
        began.elapsed().as_secs_f64()
    );
    if !args.once {
        println!("Still serving http://{}/sqreen until Ctrl-C; look at:", app.address());
        println!("  {}/logs/events.jsonl", config.parent().unwrap_or(&home.0).display());
        println!("Next: put your secret into dispatcher.env, then `dispatcher check` and `run`.");
        runtime.block_on(crate::app::stop_signal())?;
    }
    app.stop();
    Ok(as_promised == kept.len())
}

fn start(config: &Path, feed: Feed) -> io::Result<App> {
    let environment = Environment::of_process();
    let config = config::load(config, &environment)
        .map_err(|problems| io::Error::other(problems.to_string()))?;
    App::start(config, feed).map_err(io::Error::other)
}

fn generated_secret() -> io::Result<String> {
    let mut bytes = [0u8; 32];
    getrandom::fill(&mut bytes).map_err(io::Error::other)?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

fn introduce(app: &App, config: &Path) {
    let folder = config.parent().unwrap_or(config).display();
    println!("dispatcher {} demo   files in {folder}, removed at the end", env!("CARGO_PKG_VERSION"));
    println!("  source   sqreen       http://{}/sqreen   secret generated", app.address());
    println!("  targets  audit-log    logs/events.jsonl              every event");
    println!("           urgent-log   logs/urgent.jsonl              severity error and worse");
    if !io::stdout().is_terminal() {
        println!("  (figures below are measured in this run)");
    }
}
