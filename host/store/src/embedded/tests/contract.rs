//! The contract of every engine, kept by this one.

use crate::embedded::tests::support::Folder;

crate::contract!(Folder::new());
