//! Waits until an editor or a script has finished saving a configuration.

use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, SystemTime};

use super::environment::ENV_FILE;
use super::files::{MORE_FOLDER, configuration_files};
use super::load::folder;

/// A file that changed within this time may be half saved.
const QUIET: Duration = Duration::from_millis(100);
/// Most waits, so that a file that changes all the time is read too.
const WAITS_MAX: u32 = 20;

/// Reads a configuration that is not being saved: waits until none of its files has changed for `QUIET`, and
/// reads again if one changed meanwhile. After `WAITS_MAX` waits or reads it takes what is there. Blocks.
pub fn read_saved<T>(file: &Path, mut read: impl FnMut() -> T) -> T {
    for _ in 0..WAITS_MAX {
        if let Some(left) = left(file, SystemTime::now()) {
            thread::sleep(left);
            continue;
        }
        let before = changes(file);
        let result = read();
        if changes(file) == before {
            return result;
        }
    }
    read()
}

/// When each file of the configuration changed.
fn changes(file: &Path) -> Vec<(PathBuf, SystemTime)> {
    let folder = folder(file);
    let beside = [folder.join(ENV_FILE), folder.join(MORE_FOLDER)];
    let all = configuration_files(file).into_iter().chain(beside);
    all.filter_map(|path| {
        let changed = std::fs::metadata(&path).ok()?.modified().ok()?;
        Some((path, changed))
    })
    .collect()
}

/// How long the newest change is still recent; `None` if it is not. A time in the future counts as old.
fn left(file: &Path, now: SystemTime) -> Option<Duration> {
    let left = changes(file).into_iter().filter_map(|(_, changed)| {
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

    #[test]
    fn a_file_that_changes_while_it_is_read_is_read_again() {
        let home = tempfile::tempdir().unwrap();
        let file = home.path().join("dispatcher.toml");
        std::fs::write(&file, "").unwrap();
        let mut reads = 0;
        let text = read_saved(&file, || {
            let text = std::fs::read_to_string(&file).unwrap();
            reads += 1;
            if reads == 1 {
                std::fs::write(&file, "whole").unwrap();
            }
            text
        });
        assert_eq!((text.as_str(), reads), ("whole", 2));
    }
}
