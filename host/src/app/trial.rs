//! Sends one event to one target, without a daemon: nothing is stored, retried or sent elsewhere.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::runtime::Builder;

use super::TrialError;
use super::own_files::OwnFiles;
use super::plugin_files::TemporaryCache;
use super::plugin_host::PluginHost;
use super::prepare::Unusable;
use super::recipients::{self, Instances};
use crate::config::{Config, TargetConfig};
use crate::model::{Delivery, Failure, FailureKind, StoredEvent, Verdict};
use crate::plugin::Instance;

/// How long after the target's `timeout` to stop waiting for a plugin that blocks its thread.
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
    let all =
        on_each(config, target, |instance| once(instance, Arc::clone(event), target.timeout))?;
    let attempt = |Answer { value, answer, took }| Attempt { value, verdict: answer, took };
    Ok(all.into_iter().map(attempt).collect())
}

/// What the plugin answered when asked whether it would deliver.
#[derive(Clone, Debug)]
pub struct Probe {
    /// The recipient, if the target has several.
    pub value: Option<String>,
    /// `None`: the plugin cannot tell.
    pub verdict: Option<Verdict>,
    pub took: Duration,
}

/// Loads the target's plugin and asks whether its destination would accept deliveries; sends nothing
/// that a person would see. A disabled target is asked too.
///
/// # Errors
/// As [`attempt`].
pub fn connect(config: &Config, target: &TargetConfig) -> Result<Vec<Probe>, TrialError> {
    let all = on_each(config, target, |instance| probe(instance, target.timeout))?;
    let probe = |Answer { value, answer, took }| Probe { value, verdict: answer, took };
    Ok(all.into_iter().map(probe).collect())
}

/// What one instance answered.
struct Answer<T> {
    value: Option<String>,
    answer: T,
    took: Duration,
}

/// Creates the instance of each recipient, then calls them one after the other.
fn on_each<F: Future>(
    config: &Config,
    target: &TargetConfig,
    call: impl Fn(Instance) -> F,
) -> Result<Vec<Answer<F::Output>>, TrialError> {
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
    let answers = instances(config, target, &host)?.into_iter().map(|(value, instance)| {
        let started = Instant::now();
        let answer = runtime.block_on(call(instance));
        Answer { value, answer, took: started.elapsed() }
    });
    let answers = answers.collect();
    // A plugin may block a thread for ever: do not wait for it.
    runtime.shutdown_background();
    Ok(answers)
}

/// The instance of each recipient with its value, or the only one.
fn instances(
    config: &Config,
    target: &TargetConfig,
    host: &PluginHost,
) -> Result<Vec<(Option<String>, Instance)>, Unusable> {
    let plugin = host.catalog.load(&target.plugin)?;
    let own = OwnFiles::of(config).problems(target, &plugin.manifest().schema, &config.home);
    if let Some(problem) = own.into_iter().next() {
        return Err(Unusable::OwnFile(Box::new(problem)));
    }
    if let Some(problem) = target.open_secrets(&plugin.manifest().schema).into_iter().next() {
        return Err(Unusable::OpenSecret(Box::new(problem)));
    }
    let Instances { whole, recipients } =
        recipients::make(&plugin, target, &host.services(target))?;
    if recipients.is_empty() {
        return Ok(vec![(None, whole)]);
    }
    Ok(recipients.into_iter().map(|one| (Some(one.value), one.instance)).collect())
}

async fn once(instance: Instance, event: Arc<StoredEvent>, timeout: Duration) -> Verdict {
    let delivery = Delivery { event, attempt: 1, first_attempt_at: None, progress: Vec::new() };
    let deadline = tokio::time::Instant::now() + timeout;
    let attempt = async move { instance.deliver(&[delivery], deadline).await.into_iter().next() };
    let reason = match guarded(attempt, deadline).await {
        Ok(Some(verdict)) => return verdict,
        Ok(None) => "the attempt ended without a verdict",
        Err(reason) => reason,
    };
    Err(Failure { maybe_sent: true, ..Failure::new(FailureKind::Retry, reason) })
}

async fn probe(instance: Instance, timeout: Duration) -> Option<Verdict> {
    let deadline = tokio::time::Instant::now() + timeout;
    let probed = guarded(async move { instance.probe(deadline).await }, deadline).await;
    probed.unwrap_or_else(|reason| Some(Err(Failure::new(FailureKind::Retry, reason))))
}

/// Runs on a thread of the runtime, so that a plugin that blocks its thread need not be waited for.
async fn guarded<T: Send + 'static>(
    call: impl Future<Output = T> + Send + 'static,
    deadline: tokio::time::Instant,
) -> Result<T, &'static str> {
    match tokio::time::timeout_at(deadline + GRACE, tokio::spawn(call)).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(_)) => Err("the call ended without an answer"),
        Err(_) => Err("no answer in time; the plugin blocks a thread, which a daemon would lose"),
    }
}
