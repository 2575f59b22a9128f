//! What the dynamic loader maps, reads and writes of a plugin file, checked before it does.
//!
//! The loader trusts a file: a damaged table makes it write to any address, so that the outcome depends on what
//! happens to be there, and a trial in another process proves nothing. These checks are narrow on purpose: every
//! place that a table names must be inside the file's own memory and of the right kind. Then loading does the same in
//! each process.
//!
//! | module | responsibility |
//! |---|---|
//! | `check` | the order of the checks |
//! | `relocations` | what is written while loading, and the functions that are called |
//! | `symbols` | the symbols, their hash table and their versions |
//! | `unwinding` | the table that a panic searches |
//! | `dynamic` | the list of tables |
//! | `memory` | the segments, and reading from them |

mod check;
mod dynamic;
mod memory;
mod relocations;
mod symbols;
#[cfg(test)]
mod tests;
mod unwinding;

pub(super) use check::check;
pub(super) use memory::Damage;
