//! The running daemon: wires the parts.

mod check;

pub use check::check;
