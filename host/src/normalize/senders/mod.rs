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
#[derive(Debug)]
pub(super) struct Habit {
    pub deadline_s: Option<u16>,
    pub retries: &'static str,
}
#[derive(Debug)]
pub(super) struct Sample {
    pub name: &'static str,
    pub headers: &'static [(&'static str, &'static str)],
    pub body: &'static str,
    pub ids: &'static [&'static str],
    pub times: &'static [&'static str],
}
impl Sample {
    pub(super) const EMPTY: Self = Self { name: "", headers: &[], body: "", ids: &[], times: &[] };
}

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
    samples: &[],
}];

/// Other names under which schemes know the same vendors, and the sender that reads them.
pub static ALSO: &[(&str, &str)] = &[
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

#[test]
fn the_files_say_what_the_tables_said() {
    for preset in all() {
        let vendor =
            crate::vendors::vendor(preset.name).unwrap_or_else(|| panic!("{}", preset.name));
        let sender = vendor.sender().unwrap();
        assert_eq!(vendor.vendor, preset.vendor);
        assert_eq!(sender.habit.retries, preset.habit.retries);
        assert_eq!(
            sender.habit.deadline.map(|d| d.as_secs()),
            preset.habit.deadline_s.map(u64::from)
        );
        if let Some(record) = &preset.record {
            assert_eq!(
                format!("{:?}", super::sender::Sender::new(preset.name, record).unwrap().read),
                format!("{:?}", sender.read)
            );
            assert_eq!(sender.any_body, record.any_body);
        }
        if preset.name == "sqreen" {
            assert_eq!(vendor.samples.len(), 5);
            continue;
        }
        assert_eq!(vendor.samples.len(), preset.samples.len());
        for (new, old) in vendor.samples.iter().zip(preset.samples) {
            assert_eq!((new.name.as_str(), new.body.as_str()), (old.name, old.body));
            assert_eq!(new.ids, old.ids);
            assert_eq!(new.times, old.times);
            assert!(
                new.headers
                    .iter()
                    .map(|(a, b)| (a.as_str(), b.as_str()))
                    .eq(old.headers.iter().copied())
            );
        }
    }
    for (name, other) in ALSO {
        assert_eq!(crate::vendors::sender(name).unwrap().name, *other);
    }
}
