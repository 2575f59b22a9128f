//! Looks up built-in vendors by name; parses a vendor's file when it is first needed.

use std::sync::{Arc, LazyLock, OnceLock};

use super::file::{Reads, Signs, Vendor, parse};
use crate::normalize::{Sample, Sender};
use crate::verify::{self, Scheme};

/// One vendor's file.
pub(super) struct Embedded {
    /// The file's name without `.toml`.
    pub(super) name: &'static str,
    pub(super) text: &'static str,
    /// Empty until first use; then `None` if the file has an error, which a test excludes.
    vendor: OnceLock<Option<Vendor>>,
}

impl Embedded {
    pub(super) const fn new(name: &'static str, text: &'static str) -> Self {
        Self { name, text, vendor: OnceLock::new() }
    }

    fn vendor(&self) -> Option<&Vendor> {
        self.vendor.get_or_init(|| parse(self.name, self.text).0).as_ref()
    }
}

// `FILES`, sorted by name: written by `build.rs`.
include!(concat!(env!("OUT_DIR"), "/vendors.rs"));

/// Schemes that belong to no vendor.
static PLAIN: LazyLock<[Arc<Scheme>; 4]> = LazyLock::new(|| verify::plain_schemes().map(Arc::new));

/// The name of every vendor, sorted. Parses nothing.
pub fn names() -> impl Iterator<Item = &'static str> {
    FILES.iter().map(|file| file.name)
}

/// The vendor of that name.
#[must_use]
pub fn vendor(name: &str) -> Option<&'static Vendor> {
    let at = FILES.binary_search_by(|file| file.name.cmp(name)).ok()?;
    FILES.get(at)?.vendor()
}

/// Every vendor, sorted by name. Parses all files.
pub fn all() -> impl Iterator<Item = &'static Vendor> {
    FILES.iter().filter_map(Embedded::vendor)
}

/// The built-in scheme of that name: a vendor's, or `token`, `basic`, `jwt`, `none`.
#[must_use]
pub fn scheme(name: &str) -> Option<&'static Arc<Scheme>> {
    let plain = PLAIN.iter().find(|scheme| &*scheme.name == name);
    plain.or_else(|| vendor(name)?.scheme())
}

/// Every built-in scheme: the vendors', then those of no vendor. Parses all files.
#[must_use]
pub fn schemes() -> &'static [Arc<Scheme>] {
    static ALL: LazyLock<Vec<Arc<Scheme>>> =
        LazyLock::new(|| all().filter_map(Vendor::scheme).chain(&*PLAIN).cloned().collect());
    &ALL
}

/// For a vendor that does not sign, the scheme to use instead.
#[must_use]
pub fn unsigned(name: &str) -> Option<&'static str> {
    match &vendor(name)?.signs {
        Signs::Not { instead } => Some(instead),
        _ => None,
    }
}

/// The scheme that a source of that vendor must name: `None` if the vendor's name is enough. If it is unknown how the
/// vendor signs, that of another file for the same bodies, or else `token`.
#[must_use]
pub fn scheme_to_write(vendor: &'static Vendor) -> Option<&'static str> {
    let reads_alike = |other: &&Vendor| {
        other.scheme().is_some() && matches!(&other.reads, Reads::Like(name) if name == vendor.name)
    };
    match &vendor.signs {
        Signs::By(_) => None,
        Signs::Not { instead } => Some(instead),
        Signs::Unknown => Some(all().find(reads_alike).map_or("token", |other| other.name)),
    }
}

/// The sender that reads that vendor's bodies.
#[must_use]
pub fn sender(name: &str) -> Option<&'static Arc<Sender>> {
    match &vendor(name)?.reads {
        Reads::By(sender) => Some(sender),
        // One step is enough: a test ensures that the named vendor has its own sender.
        Reads::Like(other) => match &vendor(other)?.reads {
            Reads::By(sender) => Some(sender),
            Reads::Like(_) => None,
        },
    }
}

/// Every built-in sender, sorted by name. Parses all files.
#[must_use]
pub fn senders() -> &'static [Arc<Sender>] {
    static ALL: LazyLock<Vec<Arc<Sender>>> =
        LazyLock::new(|| all().filter_map(Vendor::sender).cloned().collect());
    &ALL
}

/// The samples of a sender; none for a user's own sender.
#[must_use]
pub fn samples(sender: &str) -> &'static [Sample] {
    vendor(sender).map_or(&[], |vendor| &vendor.samples)
}

/// The sample of that name, such as `sqreen/test`, with its sender.
#[must_use]
pub fn sample(name: &str) -> Option<(&'static Arc<Sender>, &'static Sample)> {
    let sender = sender(name.split('/').next()?)?;
    Some((sender, samples(&sender.name).iter().find(|sample| sample.name == name)?))
}
