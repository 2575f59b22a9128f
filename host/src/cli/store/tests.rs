//! Texts about damage.

use std::path::PathBuf;

use super::*;

#[test]
fn counts_are_told_in_words() {
    assert_eq!((count(1, "frame"), count(0, "frame")), ("1 frame".into(), "0 frames".into()));
}

#[test]
fn a_folder_that_is_none_is_wrong_usage() {
    let folder = tempfile::tempdir().unwrap();
    let args = Which { directory: Some(PathBuf::from(folder.path())) };
    let folder = args.folder(None).unwrap();
    let error = crate::store::embedded::tools::check(&folder, &mut |_, _| {}).unwrap_err();
    assert_eq!(failed(error).code, USAGE);
}
