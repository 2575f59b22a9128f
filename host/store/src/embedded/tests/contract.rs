//! Runs the contract of every engine on this one.

use crate::embedded::tests::support::Folder;

crate::contract!(Folder::new());
