//! Libraries that are preloaded into the daemon, compiled from C.

use std::path::{Path, PathBuf};
use std::process::Command;

/// Compiles a source beside this file into that folder; `None` after printing that the test is skipped, and why.
pub(crate) fn preload(source: &str, folder: &Path, options: &[String]) -> Option<PathBuf> {
    let library = folder.join(source).with_extension("so");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/harness").join(source);
    let mut compiler = Command::new("cc");
    compiler.args(["-shared", "-fPIC", "-o"]).arg(&library).args(options).arg(&source);
    match compiler.output() {
        Ok(output) => {
            let errors = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "{errors}");
            Some(library)
        }
        Err(error) => {
            eprintln!("skipped: {} is not compiled: no compiler `cc`: {error}", source.display());
            None
        }
    }
}
