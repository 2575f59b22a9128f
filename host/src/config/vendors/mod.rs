//! Built-in vendors: one file each, `host/vendors/NAME.toml`.
//!
//! A file says how the vendor signs (`[scheme]`, in the words of a user's `[schemes.NAME]`), how its
//! bodies are read (`[sender]`, as `[senders.NAME]`), what `init` needs (`[setup]`), and has samples and
//! test vectors. The files are part of the binary; each is parsed when it is first named, so that a
//! daemon holds only the vendors that it uses. `docs/guide/vendor.md` shows how to add one.

mod catalog;
mod file;
#[cfg(test)]
mod tests;

pub use catalog::{
    all, names, sample, samples, scheme, schemes, sender, senders, unsigned, vendor,
};
pub use file::{Reads, Setup, Signs, Vendor};
