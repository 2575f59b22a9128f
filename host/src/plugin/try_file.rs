//! What the process of a trial does with a plugin file; `proof` starts it.

use std::io::{self, Read, Write};
use std::path::Path;

use serde_json::Value;

use super::host_services::TargetContext;
use super::library::Plugin;
use super::proof::{PERTURB, REFUSED, TIME_MAX};

/// How much of the stack has been used before a file is loaded.
const USED_STACK_BYTES: usize = 512 * 1024;
/// Longest settings that a trial reads.
const SETTINGS_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// What the process of a trial does: loads the file, lets it describe itself, and creates and drops a target with
/// each of the settings that it reads, a JSON list. Writes why the file cannot be loaded, and returns whether it was.
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
    let settings: Vec<Value> = serde_json::from_str(&text)?;
    let fill = std::env::var(PERTURB).ok().and_then(|fill| fill.parse().ok()).unwrap_or_default();
    // As in the daemon: memory of a thread is elsewhere than that of the first one.
    let trial = || {
        use_stack(fill);
        let plugin = match Plugin::open(path, String::new(), path) {
            Ok(plugin) => plugin,
            Err(error) => return Ok(Some(error.to_string())),
        };
        use_stack(fill);
        create(&plugin, &settings).map(|()| None)
    };
    let refused = std::thread::scope(|scope| match fill {
        0 => trial(),
        _ => scope.spawn(trial).join().unwrap_or_else(|_| Err(io::Error::other("a panic"))),
    })?;
    match refused {
        None => Ok(true),
        Some(error) => writeln!(out, "{error}").map(|()| false),
    }
}

/// Leaves these bytes on the stack for what is called next, as in a thread that ran something before.
#[inline(never)]
#[expect(clippy::large_stack_arrays, reason = "it is the stack that is to be used")]
fn use_stack(fill: u8) {
    std::hint::black_box([fill; USED_STACK_BYTES]);
}

fn create(plugin: &Plugin, settings: &[Value]) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    let egress = crate::egress::Client::new(&Default::default()).map_err(io::Error::other)?;
    let (allow, secrets, runtime) = (Vec::new(), Vec::new(), runtime.handle().clone());
    let context = TargetContext { egress, allow, secrets, home: "/".into(), runtime };
    for settings in settings {
        // It may refuse the settings; what matters is that it survives.
        drop(plugin.create_unproven("trial", settings, &context));
    }
    Ok(())
}
