//! Lists the files of `vendors/`, so a new vendor needs only its file.

use std::fmt::Write as _;
use std::path::Path;
use std::{env, fs, io};

fn main() -> io::Result<()> {
    println!("cargo:rerun-if-changed=vendors");
    println!("cargo:rerun-if-changed=build.rs");
    let variable = |name: &str| env::var(name).map_err(io::Error::other);
    let folder = Path::new(&variable("CARGO_MANIFEST_DIR")?).join("vendors");
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "toml") {
            files.push(path);
        }
    }
    // By name: `a-b.toml` sorts before `a.toml`, and `a` before `a-b`.
    files.sort_by_key(|path| path.file_stem().map(ToOwned::to_owned));
    let count = files.len();
    let mut list = format!("pub(super) static FILES: [Embedded; {count}] = [\n");
    for path in &files {
        let name = path.file_stem().unwrap_or_default();
        // Writing into a String cannot fail.
        let _ = writeln!(list, "    Embedded::new({name:?}, include_str!({path:?})),");
    }
    list.push_str("];\n");
    fs::write(Path::new(&variable("OUT_DIR")?).join("vendors.rs"), list)
}
