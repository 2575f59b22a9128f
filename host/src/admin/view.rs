//! What the answers are made from: the configuration in force, the store, the history and the daemon.

use std::collections::BTreeMap;
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
}

/// A configured target, or one of its recipients.
#[derive(Clone, Debug)]
pub struct TargetView {
    pub name: Arc<str>,
    pub number: TargetNumber,
    pub enabled: bool,
}

/// The configuration in force, as far as the admin socket shows it.
#[derive(Debug)]
pub struct View {
    pub sources: Vec<SourceView>,
    pub targets: Vec<TargetView>,
    pub router: Arc<Router>,
}

impl View {
    /// The target of that name with its recipients, or all targets.
    pub(super) fn targets(&self, name: Option<&str>) -> Result<Vec<TargetView>, RequestError> {
        let Some(name) = name else { return Ok(self.targets.clone()) };
        let is_selected = |target: &&TargetView| {
            let rest = target.name.strip_prefix(name);
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        let selected: Vec<_> = self.targets.iter().filter(is_selected).cloned().collect();
        if selected.is_empty() {
            let names: Vec<_> = self.targets.iter().map(|target| &*target.name).collect();
            let (name, configured) = (name.to_owned(), names.join(", "));
            return Err(RequestError::UnknownTarget { name, configured });
        }
        Ok(selected)
    }
}

/// What only the rest of the daemon can do or knows.
pub trait Host: Send + Sync + 'static {
    /// Reads the configuration again. Blocks; `None` when the daemon is stopping.
    /// `allow_empty`: also one without any source or target.
    fn reload(&self, allow_empty: bool) -> Option<wire::Reload>;

    /// The outcome of the last reload.
    fn last_reload(&self) -> Option<wire::Reload>;

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

    /// The configuration in force was replaced.
    pub(super) fn replace_view(&self, view: View) {
        *self.view.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(view);
    }
}
