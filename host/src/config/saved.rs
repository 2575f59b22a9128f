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
///
/// `read` also returns the files of secrets that the configuration names.
pub fn read_saved<T>(file: &Path, mut read: impl FnMut() -> (T, Vec<PathBuf>)) -> T {
    let mut secrets = Vec::new();
    for _ in 0..WAITS_MAX {
        if let Some(left) = left(&changes(file, &secrets), SystemTime::now()) {
            thread::sleep(left);
            continue;
        }
        let (before, began) = (changes(file, &secrets), SystemTime::now());
        let (result, mut named) = read();
        let is_same = changes(file, &secrets) == before;
        named.retain(|path| !secrets.contains(path));
        if is_same && !named.iter().any(|path| is_recent(path, began)) {
            return result;
        }
        secrets.extend(named);
    }
    read().0
}

/// When each file of the configuration changed.
fn changes(file: &Path, secrets: &[PathBuf]) -> Vec<(PathBuf, SystemTime)> {
    let folder = folder(file);
    let beside = [folder.join(ENV_FILE), folder.join(MORE_FOLDER)];
    let all = configuration_files(file).into_iter().chain(beside).chain(secrets.iter().cloned());
    all.filter_map(|path| {
        let changed = std::fs::metadata(&path).ok()?.modified().ok()?;
        Some((path, changed))
    })
    .collect()
}

/// How long the newest change is still recent; `None` if it is not. A time in the future counts as old.
fn left(changes: &[(PathBuf, SystemTime)], now: SystemTime) -> Option<Duration> {
    let left = changes.iter().filter_map(|(_, changed)| {
        QUIET.checked_sub(now.duration_since(*changed).ok()?).filter(|left| !left.is_zero())
    });
    left.max()
}

/// Whether a file, read since `began`, may have been half saved then.
fn is_recent(path: &Path, began: SystemTime) -> bool {
    let changed = std::fs::metadata(path).and_then(|metadata| metadata.modified());
    changed.is_ok_and(|changed| changed + QUIET > began && changed <= SystemTime::now())
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
        assert_eq!(left(&changes(&file, &[]), now), None);
        for name in ["dispatcher.toml", ENV_FILE, "conf.d/a.toml", "conf.d"] {
            let path = home.path().join(name);
            if !path.exists() {
                std::fs::write(&path, "").unwrap();
                set(&more, old);
            }
            set(&path, now - Duration::from_millis(30));
            assert_eq!(left(&changes(&file, &[]), now), Some(Duration::from_millis(70)), "{name}");
            set(&path, now + Duration::from_secs(3600));
            assert_eq!(left(&changes(&file, &[]), now), None, "{name} in the future");
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
            (text, Vec::new())
        });
        assert_eq!((text.as_str(), reads), ("whole", 2));
    }

    #[test]
    fn the_file_of_a_secret_that_is_being_saved_is_read_again() {
        let home = tempfile::tempdir().unwrap();
        let [file, secret] = ["dispatcher.toml", "secret"].map(|name| home.path().join(name));
        let old = SystemTime::now() - Duration::from_secs(1);
        for (is_old, changes_while_read, expected) in
            [(true, false, 1), (false, false, 2), (true, true, 2), (false, true, 2)]
        {
            for path in [&file, &secret] {
                std::fs::write(path, "half").unwrap();
                std::fs::File::open(path).unwrap().set_modified(old).unwrap();
            }
            if !is_old {
                std::fs::write(&secret, "half").unwrap();
            }
            let mut reads = 0;
            let text = read_saved(&file, || {
                let text = std::fs::read_to_string(&secret).unwrap();
                reads += 1;
                if reads == 1 && changes_while_read {
                    std::fs::write(&secret, "whole").unwrap();
                }
                (text, vec![secret.clone()])
            });
            let last = if changes_while_read { "whole" } else { "half" };
            assert_eq!((text.as_str(), reads), (last, expected), "{is_old} {changes_while_read}");
        }
    }
}
