//! Counts in words, and errors of usage.

use std::path::PathBuf;

use super::*;
use crate::cli::exit::USAGE;
use crate::model::count;

#[test]
fn a_count_has_its_plural() {
    assert_eq!((count(1, "frame"), count(0, "frame")), ("1 frame".into(), "0 frames".into()));
}

#[test]
fn a_folder_without_a_store_is_wrong_usage() {
    let folder = tempfile::tempdir().unwrap();
    let args = DataFolder { directory: Some(PathBuf::from(folder.path())) };
    let folder = args.path(None).unwrap();
    let error = crate::store::embedded::tools::check(&folder, &mut |_, _| {}).unwrap_err();
    assert_eq!(failed(error).code, USAGE);
}
