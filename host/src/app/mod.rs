//! The running daemon: wires the parts.

mod check;
mod plugins;

pub use check::check;
pub use plugins::{Listed, plugins};
