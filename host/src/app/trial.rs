//! One event to one target, without a daemon: nothing is stored, retried or sent elsewhere.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::runtime::Builder;

use super::TrialError;
use super::plugin_files::TemporaryCache;
use super::plugin_host::PluginHost;
use super::prepare::Unusable;
use super::recipients::{self, Instances};
use crate::config::{Config, TargetConfig};
use crate::model::{Delivery, Failure, FailureKind, StoredEvent, Verdict};
use crate::plugin::Instance;

/// How long after the target's `timeout` a plugin that blocks its thread is given up.
const GRACE: Duration = Duration::from_secs(2);
/// One for the plugin, one for the timer that ends the attempt.
const THREADS: usize = 2;

/// The outcome of one attempt.
#[derive(Clone, Debug)]
pub struct Attempt {
    /// The recipient, if the target has several.
    pub value: Option<String>,
    pub verdict: Verdict,
    pub took: Duration,
}

/// Loads the target's plugin and gives it the event once, or once for each recipient. A disabled target is
/// tried too.
///
/// # Errors
/// The plugin cannot be loaded or does not accept its settings.
pub fn attempt(
    config: &Config,
    target: &TargetConfig,
    event: &Arc<StoredEvent>,
) -> Result<Vec<Attempt>, TrialError> {
    if !target.settings.missing.is_empty() {
        return Err(TrialError::Unset(target.settings.missing.clone()));
    }
    let cache = TemporaryCache::new()?;
    let runtime = Builder::new_multi_thread()
        .worker_threads(THREADS)
        .enable_all()
        .build()
        .map_err(TrialError::Threads)?;
    let host = PluginHost::new(config, &cache.settings(&config.plugins), runtime.handle())?;
    let attempts = instances(target, &host)?.into_iter().map(|(value, instance)| {
        let started = Instant::now();
        let verdict = runtime.block_on(once(instance, Arc::clone(event), target.timeout));
        Attempt { value, verdict, took: started.elapsed() }
    });
    let attempts = attempts.collect();
    // A plugin may block a thread for ever: do not wait for it.
    runtime.shutdown_background();
    Ok(attempts)
}

/// The instance of each recipient with its value, or the only one.
fn instances(
    target: &TargetConfig,
    host: &PluginHost,
) -> Result<Vec<(Option<String>, Instance)>, Unusable> {
    let plugin = host.catalog.load(&target.plugin)?;
    if let Some(problem) = target.open_secrets(&plugin.manifest().schema).into_iter().next() {
        return Err(Unusable::OpenSecret(problem));
    }
    let Instances { whole, recipients } =
        recipients::make(&plugin, target, &host.services(target))?;
    if recipients.is_empty() {
        return Ok(vec![(None, whole)]);
    }
    Ok(recipients.into_iter().map(|one| (Some(one.value), one.instance)).collect())
}

/// Runs on a thread of the runtime, so that a plugin that blocks its thread can be given up.
async fn once(instance: Instance, event: Arc<StoredEvent>, timeout: Duration) -> Verdict {
    let delivery = Delivery { event, attempt: 1, first_attempt_at: None, progress: Vec::new() };
    let deadline = tokio::time::Instant::now() + timeout;
    let task =
        tokio::spawn(
            async move { instance.deliver(&[delivery], deadline).await.into_iter().next() },
        );
    let reason = match tokio::time::timeout_at(deadline + GRACE, task).await {
        Ok(Ok(Some(verdict))) => return verdict,
        Ok(_) => "the attempt ended without a verdict",
        Err(_) => "no answer in time; the plugin blocks a thread, which a daemon would lose",
    };
    Err(Failure { maybe_sent: true, ..Failure::new(FailureKind::Retry, reason) })
}
