//! The table of built-in senders: one row a sender, grouped by what they are used for.
//!
//! A row says where in a vendor's requests the attributes of an event stand (see `record`), how the
//! vendor sends, and gives at least two samples. What a vendor's documentation leaves open is left out.

mod alerts;
mod chat;
mod code;
mod json;
mod mail;
mod money;
mod monitor;
mod security;
mod shop;
mod work;

use super::record::Record;
use super::{Habit, Sample, sqreen};

/// One row.
#[derive(Debug)]
pub(super) struct Preset {
    /// As written in the configuration; that of the vendor's scheme where there is one.
    pub name: &'static str,
    pub vendor: &'static str,
    pub habit: Habit,
    /// `None`: read by code of its own, as Sqreen's two versions are.
    pub record: Option<Record<'static>>,
    pub samples: &'static [Sample],
}

static SQREEN: &[Preset] = &[Preset {
    name: "sqreen",
    vendor: "Sqreen",
    habit: Habit { deadline_s: None, retries: "" },
    record: None,
    samples: sqreen::SAMPLES,
}];

/// Other names under which schemes know the same vendors, and the sender that reads them.
pub(super) static ALSO: &[(&str, &str)] = &[
    ("clerk", "standard-webhooks"),
    ("cloudflare-token", "cloudflare"),
    ("coinbase-cdp", "coinbase"),
    ("forgejo", "gitea"),
    ("gitlab-token", "gitlab"),
    ("hcp-platform", "hcp"),
    ("hcp-radar", "hcp-vault-radar"),
    ("hubspot-v3", "hubspot"),
    ("openai", "standard-webhooks"),
    ("replicate", "standard-webhooks"),
    ("resend", "standard-webhooks"),
    ("svix", "standard-webhooks"),
    ("tfe", "hcp-terraform"),
    ("twitter", "x"),
    ("vanta", "standard-webhooks"),
    ("whatsapp", "meta"),
];

/// Every row, in the order in which people see them.
pub(super) fn all() -> impl Iterator<Item = &'static Preset> {
    [
        SQREEN,
        json::PRESETS,
        alerts::PRESETS,
        security::PRESETS,
        monitor::PRESETS,
        code::PRESETS,
        money::PRESETS,
        shop::PRESETS,
        chat::PRESETS,
        mail::PRESETS,
        work::PRESETS,
    ]
    .into_iter()
    .flatten()
}

#[cfg(test)]
mod tests;
