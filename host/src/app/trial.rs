//! One event to one target, outside the daemon: nothing is stored, tried again or sent anywhere else.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::runtime::{Builder, Handle};

use super::plugins::TrialCache;
use crate::config::{Config, TargetConfig};
use crate::egress::Client;
use crate::model::{Delivery, Failure, FailureKind, StoredEvent, Verdict};
use crate::plugin::{self, Catalog, Instance, Plugin};

/// How much longer than the target's `timeout` a plugin may take that does not let go of its thread.
const GRACE: Duration = Duration::from_secs(2);
/// One for the plugin, one for the timer that cuts it.
const THREADS: usize = 2;

/// What became of the event.
#[derive(Clone, Debug)]
pub struct Attempt {
    /// The value that this delivery is for, where the plugin has one delivery a value.
    pub value: Option<String>,
    pub verdict: Verdict,
    pub took: Duration,
}

/// Loads the target's plugin and gives it the event once; once a value where the plugin has a delivery
/// for each of them. A disabled target is tried too.
///
/// # Errors
/// The plugin cannot be loaded or does not accept its settings; one line for people.
pub fn attempt(
    config: &Config,
    target: &TargetConfig,
    event: &Arc<StoredEvent>,
) -> Result<Vec<Attempt>, String> {
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
pub fn connect(config: &Config, target: &TargetConfig) -> Result<Vec<Probe>, String> {
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

/// Makes the instance of each recipient, then calls one after the other.
fn on_each<F: Future>(
    config: &Config,
    target: &TargetConfig,
    call: impl Fn(Instance) -> F,
) -> Result<Vec<Answer<F::Output>>, String> {
    if !target.settings.missing.is_empty() {
        return Err(target.settings.missing.join("\n"));
    }
    let cache = TrialCache::new().map_err(|error| format!("no temporary folder: {error}"))?;
    let settings = plugin::Settings { cache: cache.path().to_owned(), ..config.plugins.clone() };
    let plugin = Catalog::scan(&settings).load(&target.plugin).map_err(|e| e.to_string())?;
    if let Some(problem) = target.open_secrets(&plugin.manifest().schema).first() {
        return Err(format!("{}: {}", problem.title, problem.label));
    }
    let client = Client::new(&config.egress).map_err(|error| error.to_string())?;
    let runtime = Builder::new_multi_thread()
        .worker_threads(THREADS)
        .enable_all()
        .build()
        .map_err(|error| error.to_string())?;
    let make =
        |settings: &Value| create(config, target, &plugin, settings, &client, runtime.handle());
    let instances: Vec<_> = deliveries(&target.settings.json, plugin.manifest().fan_out.as_deref())
        .into_iter()
        .map(|(value, settings)| Ok((value, make(&settings)?)))
        .collect::<Result<_, String>>()?;
    let called = instances
        .into_iter()
        .map(|(value, instance)| {
            let started = Instant::now();
            let answer = runtime.block_on(call(instance));
            Answer { value, answer, took: started.elapsed() }
        })
        .collect();
    // A plugin may keep a thread for ever: it is left behind.
    runtime.shutdown_background();
    Ok(called)
}

/// The settings of each delivery, with the value that it is for.
fn deliveries(settings: &Value, fan_out: Option<&str>) -> Vec<(Option<String>, Value)> {
    let values = fan_out.and_then(|key| Some((key, settings.get(key)?.as_array()?)));
    let Some((key, values)) = values.filter(|(_, values)| !values.is_empty()) else {
        return vec![(None, settings.clone())];
    };
    let one = |value: &Value| {
        let mut settings = settings.clone();
        settings[key] = Value::Array(vec![value.clone()]);
        (Some(value.as_str().map_or_else(|| value.to_string(), str::to_owned)), settings)
    };
    values.iter().map(one).collect()
}

fn create(
    config: &Config,
    target: &TargetConfig,
    plugin: &Plugin,
    settings: &Value,
    client: &Client,
    runtime: &Handle,
) -> Result<Instance, String> {
    let services = target.services(client.clone(), &config.home, runtime.clone());
    plugin.create(&target.name, settings, &services).map_err(|invalid| {
        let at = if invalid.path.is_empty() { "" } else { "." };
        format!("settings{at}{}: {}", invalid.path, invalid.reason)
    })
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

/// Runs on a thread of the runtime, so that a plugin that blocks its thread can be given up.
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

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_plugin_with_a_delivery_a_value_is_tried_once_for_each() {
        let settings = json!({"to": ["a", "b"], "k": 1});
        for (fan_out, values) in
            [(None, vec![None]), (Some("to"), vec![Some("a"), Some("b")]), (Some("k"), vec![None])]
        {
            let deliveries = deliveries(&settings, fan_out);
            let found: Vec<_> = deliveries.iter().map(|(value, _)| value.as_deref()).collect();
            assert_eq!(found, values);
        }
        assert_eq!(deliveries(&settings, Some("to"))[1].1, json!({"to": ["b"], "k": 1}));
    }
}
