//! What the process of a trial does with a plugin file; `proof` starts it.

use std::io::{self, Read, Write};
use std::path::Path;

use serde_json::Value;

use super::host_services::TargetContext;
use super::library::{LibraryError, Plugin};
use super::proof::{self, REFUSED, TIME_MAX};

/// Longest settings that a trial reads.
const SETTINGS_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// What the process of a trial does: loads the file, lets it describe itself, and creates a target with the
/// settings that it reads, if any. Writes why the file cannot be loaded, and returns whether it was.
///
/// # Errors
/// The settings cannot be read, this process cannot create a target, or the reason cannot be written.
pub fn try_file(path: &Path, settings: impl Read, out: &mut impl Write) -> io::Result<bool> {
    // If the daemon is killed meanwhile, no other process ends a file that hangs.
    std::thread::spawn(|| {
        std::thread::sleep(TIME_MAX * 2);
        std::process::exit(REFUSED);
    });
    let mut text = String::new();
    settings.take(SETTINGS_BYTES_MAX + 1).read_to_string(&mut text)?;
    if text.len() as u64 > SETTINGS_BYTES_MAX {
        let problem = format!("the settings have more than {SETTINGS_BYTES_MAX} bytes");
        return Err(io::Error::other(problem));
    }
    let plugin = match load(path) {
        Ok(plugin) => plugin,
        Err(error) => return writeln!(out, "{error}").map(|()| false),
    };
    if !text.is_empty() {
        create(&plugin, &serde_json::from_str(&text)?)?;
    }
    Ok(true)
}

fn load(path: &Path) -> Result<Plugin, LibraryError> {
    let hash = String::new();
    proof::trust(&hash);
    Plugin::open(path, hash, path)
}

fn create(plugin: &Plugin, settings: &Value) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    let egress = crate::egress::Client::new(&Default::default()).map_err(io::Error::other)?;
    let (allow, secrets, runtime) = (Vec::new(), Vec::new(), runtime.handle().clone());
    let context = TargetContext { egress, allow, secrets, home: "/".into(), runtime };
    // It may refuse the settings; what matters is that it survives.
    drop(plugin.create("trial", settings, &context));
    Ok(())
}
