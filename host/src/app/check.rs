//! What only the plugins can say of a configuration: whether they are there, and accept their settings.
//!
//! Changes nothing: making a target opens nothing, and [`check`] loads plugins from a temporary folder.

use std::collections::HashMap;
use std::path::{Component, Path, PathBuf};

use tokio::runtime::Builder;

use super::fan;
use super::lent::Lent;
use super::plugins::TrialCache;
use crate::config::{Config, Problem, TargetConfig};
use crate::plugin;

/// Loads the plugin of each target and shows it the settings. What is wrong with a disabled target is
/// a warning: nothing depends on it yet.
#[must_use]
pub fn check(config: &Config) -> Vec<Problem> {
    if config.targets.is_empty() {
        return Vec::new();
    }
    match trial(config) {
        Ok(problems) => problems,
        Err(reason) => vec![Problem::error(format!("plugins cannot be tried: {reason}"))],
    }
}

fn trial(config: &Config) -> Result<Vec<Problem>, String> {
    let cache = TrialCache::new().map_err(|error| format!("no temporary folder: {error}"))?;
    let settings = plugin::Settings { cache: cache.path().to_owned(), ..config.plugins.clone() };
    // Made for its handle; nothing runs on it.
    let runtime = Builder::new_current_thread().build().map_err(|error| error.to_string())?;
    let lent = Lent::new(config, &settings, runtime.handle()).map_err(|error| error.to_string())?;
    Ok(check_with(config, &lent))
}

/// As [`check`], with what the daemon itself lends.
pub(super) fn check_with(config: &Config, lent: &Lent) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut taken = Taken::default();
    for target in &config.targets {
        let found = check_target(config, target, lent);
        for problem in found.into_iter().chain(taken.add(config, target, lent)) {
            problems.push(if target.enabled { problem } else { problem.as_warning() });
        }
    }
    problems
}

fn check_target(config: &Config, target: &TargetConfig, lent: &Lent) -> Vec<Problem> {
    if target.plugin.is_empty() {
        // That has been said already.
        return Vec::new();
    }
    let plugin = match lent.catalog.load(&target.plugin) {
        Ok(plugin) => plugin,
        Err(error) => return vec![target.plugin_problem(&error.to_string())],
    };
    let mut problems = Vec::from_iter(target.digest_problem(plugin.manifest().mode));
    problems.extend(target.open_secrets(&plugin.manifest().schema));
    // Without all of its secrets the plugin would complain of what is known to be missing.
    if !target.settings.incomplete {
        let services = target.services(lent.client.clone(), &config.home, lent.runtime.clone());
        if let Err(invalid) = fan::make(&plugin, target, &services) {
            problems.push(target.setting_problem(&invalid.path, &invalid.reason));
        }
    }
    problems
}

/// Files that targets have for themselves, and whose they are.
#[derive(Default)]
struct Taken<'c>(HashMap<PathBuf, &'c TargetConfig>);

impl<'c> Taken<'c> {
    /// Two targets that append to one file and turn it over would each lose what the other wrote.
    fn add(&mut self, config: &Config, target: &'c TargetConfig, lent: &Lent) -> Vec<Problem> {
        // Why there is no such plugin has been said.
        let Ok(plugin) = lent.catalog.load(&target.plugin) else { return Vec::new() };
        let mut problems = Vec::new();
        for (key, path) in target.paths(&plugin.manifest().schema, &config.home) {
            let path = one_name(&path);
            match self.0.get(&path) {
                Some(other) if other.name != target.name => {
                    let title = format!(
                        "targets `{}` and `{}` have the same file",
                        other.name, target.name
                    );
                    let label = format!("both are {}", path.display());
                    let problem = target.at_setting(Problem::error(title), &key, &label);
                    let problem = problem.help("each needs a file of its own");
                    // A disabled one has nothing of it yet, whichever of the two it is.
                    problems.push(if other.enabled { problem } else { problem.as_warning() });
                }
                _ => {
                    self.0.insert(path, target);
                }
            }
        }
        problems
    }
}

/// The same for all ways to write a path, links included as far as it is there.
fn one_name(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => {
                plain.pop();
            }
            Component::CurDir => {}
            part => plain.push(part),
        }
    }
    let there = plain.ancestors().find_map(|above| Some((above, above.canonicalize().ok()?)));
    match there.and_then(|(above, real)| Some(real.join(plain.strip_prefix(above).ok()?))) {
        // Joining nothing leaves a slash behind, which is no other name.
        Some(real) => real.components().collect(),
        None => plain,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Environment, load, load_with};

    const SECRET: &str = "6fd4a9e2-not-to-be-shown";

    /// What `check` shows of targets, below one sound source.
    fn check_text(targets: &str) -> String {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("dispatcher.toml");
        let source = "[sources.sqreen]\nsecrets = \"env:SQREEN_SECRET\"\n";
        std::fs::write(&file, format!("{source}{targets}")).unwrap();
        let config = load(&file, &Environment::new(&[("SQREEN_SECRET", SECRET)], None)).unwrap();
        let shown = config.problems(check(&config)).to_string();
        let left: Vec<_> = std::fs::read_dir(folder.path()).unwrap().collect();
        assert_eq!(left.len(), 1, "check wrote something: {left:?}");
        shown
    }

    #[test]
    fn sound_settings_are_accepted_and_nothing_is_written() {
        let text = "[targets.a]\nplugin = \"file-log\"\nsettings.path = \"logs/x.jsonl\"\n";
        assert_eq!(check_text(text), "");
    }

    #[test]
    fn what_the_plugin_refuses_is_shown_at_its_line() {
        for (settings, line, said) in [
            ("settings.path = \"x\"\nsettings.rotate.keep = 0\n", "6:24", "between 1 and 1000"),
            ("settings.path = 7\n", "5:17", "expected"),
            ("settings.path = \"x\"\nsettings.colour = \"red\"\n", "6:", "unknown field `colour`"),
            ("settings.path = \"x\"\nsettings.timeout = \"1s\"\n", "6:", "write targets.a.timeout"),
            ("settings.sync = true\n", "5:", "missing field `path`"),
            ("", "3:", "missing field `path`"),
        ] {
            let shown = check_text(&format!("[targets.a]\nplugin = \"file-log\"\n{settings}"));
            assert!(shown.contains(&format!("dispatcher.toml:{line}")), "{settings}: {shown}");
            assert!(shown.contains(said), "{settings}: {shown}");
            assert_eq!(shown.matches("error: ").count(), 1, "{shown}");
        }
    }

    #[test]
    fn a_wrong_number_among_several_is_shown_at_its_own_place() {
        let account = format!("AC{}", "0".repeat(32));
        let target = |to: &str| {
            format!(
                "[targets.sms]\nplugin = \"twilio-sms\"\nsettings.account_sid = \"{account}\"\n\
                 settings.auth_token = \"env:SQREEN_SECRET\"\nsettings.from = \"Acme\"\nsettings.to = {to}\n"
            )
        };
        assert_eq!(check_text(&target("[\"+33600000001\", \"+33600000002\"]")), "");
        for to in ["[\"+33600000001\", \"12\"]", "[\"+33600000001\", \"+33600000001\"]"] {
            let shown = check_text(&target(to));
            assert!(shown.contains("`targets.sms.settings.to[1]`"), "{shown}");
            assert!(shown.contains("dispatcher.toml:8:32"), "{shown}");
        }
    }

    #[test]
    fn a_digest_is_only_for_plugins_that_make_one_message_of_many_events() {
        let text =
            "[targets.a]\nplugin = \"file-log\"\ndigest.every = \"5m\"\nsettings.path = \"x\"\n";
        let shown = check_text(text);
        assert!(shown.contains("dispatcher.toml:5:1"), "{shown}");
        assert!(shown.contains("file-log delivers each event by itself"), "{shown}");
    }

    #[test]
    fn two_targets_on_one_file_are_told_however_it_is_written() {
        let target = |name: &str, path: &str| {
            format!("[targets.{name}]\nplugin = \"file-log\"\nsettings.path = \"{path}\"\n")
        };
        for (first, second, same) in [
            ("logs/x", "logs/x", true),
            ("logs/x", "./logs/../logs/x", true),
            ("/tmp/x", "/proc/self/root/tmp/x", true),
            ("/tmp/x", "/tmp//x/", true),
            ("logs/x", "logs/y", false),
            ("x", "logs/x", false),
        ] {
            let shown = check_text(&(target("a", first) + &target("b", second)));
            assert_eq!(
                shown.contains("targets `a` and `b` have the same file"),
                same,
                "{second}: {shown}"
            );
            assert_eq!(shown.contains("dispatcher.toml:8:17"), same, "{second}: {shown}");
        }
        let off = target("a", "x") + &target("b", "x") + "enabled = false\n";
        assert!(check_text(&off).starts_with("warning: "));
    }

    #[test]
    fn the_plugins_word_stands_beside_the_errors_of_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("dispatcher.toml");
        let text = "[sever]\n[targets.a]\nplugin = \"file-log\"\nsettings.path = 7\n\
                    [targets.b]\nplugin = \"file-log\"\nsettings.path = \"env:UNSET\"\n";
        std::fs::write(&file, text).unwrap();
        let problems = load_with(&file, &Environment::default(), check).unwrap_err();
        let shown = problems.to_string();
        assert_eq!(problems.errors(), 3, "{shown}");
        for part in ["unknown key `sever`", "settings.path = 7", "\"env:UNSET\""] {
            assert!(shown.contains(part), "{shown}");
        }
    }

    #[test]
    fn a_missing_plugin_is_shown_at_its_name() {
        let shown = check_text("[targets.a]\nplugin = \"file-logs\"\n");
        assert!(shown.contains("dispatcher.toml:4:10"), "{shown}");
        assert!(shown.contains("did you mean `file-log`?"), "{shown}");
    }

    #[test]
    fn a_disabled_target_only_warns() {
        let shown = check_text("[targets.a]\nenabled = false\nplugin = \"no-such\"\n");
        assert!(shown.starts_with("warning: "), "{shown}");
        let text =
            "[targets.a]\nenabled = false\nplugin = \"file-log\"\nsettings.path = \"env:UNSET\"\n";
        assert_eq!(check_text(text), "");
    }
}
