//! The built-in vendors, one file each: `host/vendors/NAME.toml`.
//!
//! A file says how the vendor signs (`[scheme]`, with the keys of `[schemes.NAME]`), how its bodies are read
//! (`[sender]`, with the keys of `[senders.NAME]`) and what `init` shows (`[setup]`), and has samples and test
//! vectors. The files are part of the binary. Each is parsed when it is first used, so a daemon holds only the
//! vendors that it uses. `docs/guide/vendor.md` shows how to add one.

mod catalog;
mod file;
#[cfg(test)]
mod tests;

pub use catalog::{
    all, names, sample, samples, scheme, scheme_to_write, schemes, sender, senders, unsigned,
    vendor,
};
pub use file::{ConfirmedBy, IssuedBy, Reads, Setup, Signs, Vendor};
