//! Waits until an editor or a script has finished saving a configuration.

use std::path::Path;
use std::thread;
use std::time::{Duration, SystemTime};

use super::environment::ENV_FILE;
use super::files::{MORE_FOLDER, names};
use super::load::folder;

/// A file that changed within this time may be half saved.
const QUIET: Duration = Duration::from_millis(100);
/// Most waits, so that a file that changes all the time is read too.
const WAITS_MAX: u32 = 20;

/// Returns once no file of the configuration has changed for [`QUIET`], or after [`WAITS_MAX`] waits of at most
/// that time. Blocks.
pub fn wait_until_saved(file: &Path) {
    for _ in 0..WAITS_MAX {
        let Some(left) = left(file, SystemTime::now()) else { return };
        thread::sleep(left);
    }
}

/// How long the newest change is still recent; `None` if it is not. A time in the future counts as old.
fn left(file: &Path, now: SystemTime) -> Option<Duration> {
    let folder = folder(file);
    let beside = [folder.join(ENV_FILE), folder.join(MORE_FOLDER)];
    let left = names(file).into_iter().chain(beside).filter_map(|path| {
        let changed = std::fs::metadata(path).ok()?.modified().ok()?;
        QUIET.checked_sub(now.duration_since(changed).ok()?).filter(|left| !left.is_zero())
    });
    left.max()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_of_all_files_counts() {
        let home = tempfile::tempdir().unwrap();
        let file = home.path().join("dispatcher.toml");
        let more = home.path().join(MORE_FOLDER);
        std::fs::write(&file, "").unwrap();
        std::fs::create_dir(&more).unwrap();
        let now = SystemTime::now();
        let set = |path: &Path, time: SystemTime| {
            std::fs::File::open(path).unwrap().set_modified(time).unwrap();
        };
        let old = now - Duration::from_secs(1);
        for path in [&file, &more] {
            set(path, old);
        }
        assert_eq!(left(&file, now), None);
        for name in ["dispatcher.toml", ENV_FILE, "conf.d/a.toml", "conf.d"] {
            let path = home.path().join(name);
            if !path.exists() {
                std::fs::write(&path, "").unwrap();
                set(&more, old);
            }
            set(&path, now - Duration::from_millis(30));
            assert_eq!(left(&file, now), Some(Duration::from_millis(70)), "{name}");
            set(&path, now + Duration::from_secs(3600));
            assert_eq!(left(&file, now), None, "{name} in the future");
            set(&path, old);
        }
    }
}
