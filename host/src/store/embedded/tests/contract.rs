//! The contract of every engine, kept by this one.

use super::support::Folder;

crate::store::contract::contract!(Folder::new());
