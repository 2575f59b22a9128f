//! What the answers are made from: the configuration in force, the store, the history and the daemon.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, PoisonError, RwLock};

use super::error::RequestError;
use super::wire;
use crate::model::TargetNumber;
use crate::route::Router;
use crate::store::Queue;
use crate::telemetry::Feed;

/// A configured source.
#[derive(Clone, Debug)]
pub struct SourceView {
    pub name: Arc<str>,
    /// The URL for the sender.
    pub address: String,
    /// Why it refuses every request.
    pub unusable: Option<Arc<str>>,
}

/// Where a target stands in the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    Enabled,
    Disabled,
    /// A recipient of a target whose plugin cannot be asked for them, because it is disabled or cannot be used.
    Unasked,
    /// It is not there any more, but the store knows it.
    Removed,
}

/// A target of the store, or one of its recipients.
#[derive(Clone, Debug)]
pub struct TargetView {
    pub name: Arc<str>,
    pub number: TargetNumber,
    pub standing: Standing,
    /// Whether it combines events into messages.
    pub combines: bool,
}

impl TargetView {
    /// Whether that name means this target, perhaps as one of its recipients.
    pub(super) fn is_meant(&self, name: &str) -> bool {
        let rest = self.name.strip_prefix(name);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }
}

/// The configuration in force, as far as the admin socket shows it.
#[derive(Debug)]
pub struct View {
    pub sources: Vec<SourceView>,
    pub targets: Vec<TargetView>,
    /// Configured targets that get nothing new and only deliver what they have: their recipients get it.
    pub unrouted: Vec<TargetView>,
    pub router: Arc<Router>,
}

/// Where a target of the store stands in a configuration with targets and recipients of these names; `None` if it is one of
/// them. If the configuration has its target but none of that target's recipients, they are unknown because the plugin
/// cannot be asked.
#[must_use]
pub fn standing(name: &str, configured: &BTreeSet<&str>) -> Option<Standing> {
    let is_of_unasked = |(target, _): (&str, _)| {
        let prefix = format!("{target}/");
        configured.contains(target) && !configured.iter().any(|name| name.starts_with(&prefix))
    };
    match name.split_once('/') {
        _ if configured.contains(name) => None,
        Some(parts) if is_of_unasked(parts) => Some(Standing::Unasked),
        _ => Some(Standing::Removed),
    }
}

/// What only the rest of the daemon can do or knows.
pub trait Host: Send + Sync + 'static {
    /// Reads the configuration again. Blocks; `None` when the daemon is stopping.
    /// `allow_empty`: also one without any source or target.
    fn reload(&self, allow_empty: bool) -> Option<wire::Reload>;

    /// The configuration in force.
    fn in_force(&self) -> Option<wire::InForce>;

    /// The outcome of the last reload.
    fn last_reload(&self) -> Option<wire::Reload>;

    /// Delivers to a target now that is throttled or down.
    fn resume(&self, target: TargetNumber);

    /// What the plugin of a target counts, by name.
    fn counters(&self, target: TargetNumber) -> BTreeMap<String, u64>;
}

/// What the handlers share.
pub(super) struct Inner {
    pub(super) host: Arc<dyn Host>,
    pub(super) view: RwLock<Arc<View>>,
    pub(super) queue: Arc<dyn Queue>,
    pub(super) feed: Feed,
}

impl Inner {
    pub(super) fn view(&self) -> Arc<View> {
        Arc::clone(&self.view.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Targets that the store knows and the configuration in force does not list.
    fn others(&self, view: &View) -> Vec<TargetView> {
        let configured = view.targets.iter().chain(&view.unrouted);
        let configured: BTreeSet<_> = configured.map(|target| &*target.name).collect();
        let known = self.queue.targets().into_iter();
        known
            .filter_map(|(number, name)| {
                let standing = standing(&name, &configured)?;
                Some(TargetView { name, number, standing, combines: false })
            })
            .collect()
    }

    /// Every target that the store or the configuration knows.
    pub(super) fn all(&self) -> Vec<TargetView> {
        let view = self.view();
        let others = self.others(&view);
        view.targets.iter().chain(&view.unrouted).cloned().chain(others).collect()
    }

    /// The targets of the configuration, and others that have deliveries or dead letters.
    pub(super) fn targets(&self) -> Vec<TargetView> {
        let view = self.view();
        let others = view.unrouted.iter().cloned().chain(self.others(&view));
        let has_any = |target: &TargetView| {
            let depth = self.queue.depth(target.number);
            depth.pending > 0 || depth.dead > 0
        };
        view.targets.iter().cloned().chain(others.filter(has_any)).collect()
    }

    /// The target of that name with its recipients, configured or not; without a name, [all](Self::targets).
    pub(super) fn selected(&self, name: Option<&str>) -> Result<Vec<TargetView>, RequestError> {
        let all = self.targets();
        let Some(name) = name else { return Ok(all) };
        let (view, mut selected) = (self.view(), all.clone());
        selected.retain(|target| target.is_meant(name));
        if selected.is_empty() {
            // Nothing waits for it.
            selected.extend(view.unrouted.iter().cloned().chain(self.others(&view)));
            selected.retain(|target| target.is_meant(name));
        }
        if selected.is_empty() {
            return Err(RequestError::UnknownTarget { name: name.to_owned(), known: known(&all) });
        }
        Ok(selected)
    }

    /// The configured target of exactly that name.
    pub(super) fn configured(&self, name: &str) -> Result<TargetView, RequestError> {
        let view = self.view();
        if let Some(target) = view.targets.iter().find(|target| *target.name == *name) {
            return Ok(target.clone());
        }
        let recipients: Vec<_> =
            view.targets.iter().filter(|target| target.is_meant(name)).collect();
        let name = name.to_owned();
        Err(if recipients.is_empty() {
            RequestError::UnknownTarget { name, known: known(&view.targets) }
        } else {
            RequestError::SeveralRecipients { name, recipients: names(recipients.into_iter()) }
        })
    }

    /// The configuration in force was replaced.
    pub(super) fn replace_view(&self, view: View) {
        *self.view.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(view);
    }
}

fn names<'a>(targets: impl Iterator<Item = &'a TargetView>) -> String {
    targets.map(|target| &*target.name).collect::<Vec<_>>().join(", ")
}

/// The names to choose from, for an error.
fn known(targets: &[TargetView]) -> String {
    let of = |removed: bool| {
        names(targets.iter().filter(move |t| (t.standing == Standing::Removed) == removed))
    };
    let (configured, removed) = (of(false), of(true));
    let others = if removed.is_empty() { "" } else { "; not configured any more: " };
    format!("configured: {configured}{others}{removed}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_recipient_is_configured_if_its_target_is_and_its_recipients_are_unknown() {
        let configured = BTreeSet::from(["log", "sms", "sms/+1", "mail"]);
        for (name, expected) in [
            ("log", None),
            ("sms", None),
            ("sms/+1", None),
            ("sms/+2", Some(Standing::Removed)),
            ("mail/a", Some(Standing::Unasked)),
            ("chat", Some(Standing::Removed)),
            ("chat/a", Some(Standing::Removed)),
        ] {
            assert_eq!(standing(name, &configured), expected, "{name}");
        }
    }
}
