//! The contract of every engine, kept by this one.

use super::support::Folder;

crate::contract!(Folder::new());
