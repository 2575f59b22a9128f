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
/// The settings cannot be read, or the reason cannot be written.
pub fn try_file(path: &Path, settings: impl Read, out: &mut impl Write) -> io::Result<bool> {
    // If the daemon is killed meanwhile, no other process ends a file that hangs.
    std::thread::spawn(|| {
        std::thread::sleep(TIME_MAX * 2);
        std::process::exit(REFUSED);
    });
    let mut text = String::new();
    settings.take(SETTINGS_BYTES_MAX).read_to_string(&mut text)?;
    match load_and_create(path, &text) {
        Ok(()) => Ok(true),
        Err(error) => writeln!(out, "{error}").map(|()| false),
    }
}

fn load_and_create(path: &Path, settings: &str) -> Result<(), LibraryError> {
    let hash = String::new();
    proof::trust(&hash);
    let plugin = Plugin::open(path, hash, path)?;
    let Ok(settings) = serde_json::from_str::<Value>(settings) else { return Ok(()) };
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    if let (Ok(runtime), Ok(egress)) = (runtime, crate::egress::Client::new(&Default::default())) {
        let (allow, secrets, runtime) = (Vec::new(), Vec::new(), runtime.handle().clone());
        let context = TargetContext { egress, allow, secrets, home: "/".into(), runtime };
        // It may refuse the settings; what matters is that it survives.
        drop(plugin.create("trial", &settings, &context));
    }
    Ok(())
}
