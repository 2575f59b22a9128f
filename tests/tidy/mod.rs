//! Checks the source tree against its own rules.
//!
//! All checks work on the text of the files. A rule states what it looks for, and lists its exceptions.

mod circles;
mod fences;
mod files;
mod layers;
mod links;
mod mod_files;
mod tests_named;
mod tree;
mod words;
