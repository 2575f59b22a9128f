//! What only the plugins know about a configuration: whether they exist, and accept their settings.
//!
//! Changes nothing: making an instance opens nothing, and [`check`] loads plugins from a temporary folder.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::runtime::Builder;

use super::left_behind::Names;
use super::own_files::{Identity, canonical, identity};
use super::plugin_files::TemporaryCache;
use super::plugin_host::PluginHost;
use super::prepare::{Prepared, Scope, SharedFile};
use super::{TrialError, left_behind, writable};
use crate::admin;
use crate::config::{Config, Problem, TargetConfig};

/// Loads the plugin of each target and gives it the settings. Problems of a disabled target are warnings.
#[must_use]
pub fn check(config: &Config) -> Vec<Problem> {
    let off = config.targets.iter().filter(|target| !target.enabled);
    let mut names = Names {
        configured: config.targets.iter().map(|target| &*target.name).collect(),
        disabled: off.map(|target| &*target.name).collect(),
    };
    let prepared = (!config.targets.is_empty()).then(|| prepare_apart(config)).transpose();
    let prepared = match prepared {
        Ok(prepared) => prepared,
        Err(error) => {
            return vec![Problem::error(format!("plugins cannot be checked: {error}"))];
        }
    };
    let Prepared { targets, mut problems } = prepared.unwrap_or_default();
    let given = targets.iter().map(|target| &*target.name).collect();
    problems.extend(left_behind::too_many_names(config, &given));
    names.configured.extend(given);
    problems.extend(left_behind::in_folder(&config.store.directory, &names));
    problems.extend(no_folders(config));
    let socket = admin::check_path(&config.home.join(admin::SOCKET)).err();
    problems.extend(
        socket.map(|error| Problem::warning(format!("no command will reach the daemon: {error}"))),
    );
    problems
}

/// Paths of the configuration that must be folders and are something else.
fn no_folders(config: &Config) -> Vec<Problem> {
    let store = writable::no_folder(&config.store.directory).map(|what| {
        let title = format!("the daemon will not start: it has no folder for its store: {what}");
        Problem::error(title).help("move it away, or set store.directory to another folder")
    });
    let plugins = config.plugins.directories.iter().filter_map(|folder| {
        let title = format!("no plugin is found there: {}", writable::no_folder(folder)?);
        let help = "move it away, or set plugins.directory to another folder";
        Some(Problem::warning(title).help(help))
    });
    store.into_iter().chain(plugins).collect()
}

/// With copies of the plugins in a temporary folder.
fn prepare_apart(config: &Config) -> Result<Prepared, TrialError> {
    let cache = TemporaryCache::new()?;
    // Made for its handle; nothing runs on it.
    let runtime = Builder::new_current_thread().build().map_err(TrialError::Threads)?;
    let host = PluginHost::new(config, &cache.settings(&config.plugins), runtime.handle())?;
    Ok(prepare(config, &host))
}

/// All targets, checked as a whole.
pub(super) fn prepare(config: &Config, host: &PluginHost) -> Prepared {
    let mut prepared = Prepared::new(config, host, Scope::All);
    prepared.problems.extend(shared_files(config, host).into_iter().map(|shared| shared.problem));
    prepared.problems.extend(denied_addresses(config, host));
    prepared.problems.extend(not_writable(config, host, Scope::All));
    prepared
}

/// Files that cannot be written now. At a start the target runs all the same, because that may change at any time; a reload
/// with a path that cannot work is refused.
pub(super) fn not_writable(config: &Config, host: &PluginHost, scope: Scope) -> Vec<Problem> {
    let mut problems = Vec::new();
    let wanted = |target: &&TargetConfig| target.enabled || scope == Scope::All;
    for target in config.targets.iter().filter(wanted) {
        // A plugin that cannot be loaded is reported elsewhere.
        let Ok(plugin) = host.catalog.load(&target.plugin) else { continue };
        let schema = &plugin.manifest().schema;
        let found = target.paths(schema, &config.home).into_iter().filter_map(|(key, path)| {
            let is_file = target.is_regular_file(schema, &key);
            let not_a_file = is_file.then(|| writable::not_a_file(&path)).flatten();
            not_a_file
                .map(|what| wrong_path(target, &key, &what))
                .or_else(|| writable::forbidden(&path).map(|of| forbidden_path(target, &key, of)))
        });
        // A disabled target writes nothing yet.
        problems.extend(found.map(|p| if target.enabled { p } else { p.as_warning() }));
    }
    problems
}

fn wrong_path(target: &TargetConfig, key: &str, what: &str) -> Problem {
    let title = format!("target `{}` has no file to write to", target.name);
    let problem = target.at_setting(Problem::error(title), key, what);
    let help = "write the path of a regular file, or of one that does not exist yet";
    problem.help(help).of_a_target()
}

fn forbidden_path(target: &TargetConfig, key: &str, (place, cause): (PathBuf, &str)) -> Problem {
    let title = format!("target `{}` cannot write to {}", target.name, place.display());
    let label = format!("{cause}: every attempt will fail");
    let problem = target.at_setting(Problem::warning(title), key, &label);
    problem.help("let the user that runs the daemon write there, or choose another path")
}

/// Addresses that egress will refuse.
fn denied_addresses(config: &Config, host: &PluginHost) -> Vec<Problem> {
    let denied = config.targets.iter().flat_map(|target| {
        // A plugin that cannot be loaded is reported elsewhere.
        let plugin = host.catalog.load(&target.plugin).ok();
        plugin.map(|plugin| target.denied_addresses(&plugin.manifest().schema)).unwrap_or_default()
    });
    denied.collect()
}

/// Two targets that append to one file and rotate it would each lose what the other wrote.
pub(super) fn shared_files(config: &Config, host: &PluginHost) -> Vec<SharedFile> {
    let mut owners: HashMap<PathBuf, &TargetConfig> = HashMap::new();
    let mut files: HashMap<Identity, &TargetConfig> = HashMap::new();
    let (mut problems, mut all) = (Vec::new(), Vec::new());
    for target in &config.targets {
        // A plugin that cannot be loaded is reported elsewhere.
        let Ok(plugin) = host.catalog.load(&target.plugin) else { continue };
        for (key, path) in target.paths(&plugin.manifest().schema, &config.home) {
            let path = canonical(&path);
            let file = identity(&path);
            let owner = owners.get(&path).or_else(|| files.get(&file?)).copied();
            match owner {
                Some(owner) if owner.name != target.name => {
                    let label = format!("both are {}", path.display());
                    problems.push(shared_file(owner, target, &key, &label));
                }
                _ => {
                    owners.insert(path.clone(), target);
                    files.extend(file.map(|file| (file, target)));
                }
            }
            all.push((target, key, path));
        }
    }
    for (target, key, path) in all {
        let owner = rotated(&path).and_then(|path| owners.get(&path));
        if let Some(owner) = owner.filter(|owner| owner.name != target.name) {
            let label = format!("an old file of target `{}` has this name", owner.name);
            problems.push(shared_file(owner, target, &key, &label));
        }
    }
    problems
}

/// The file of which that is an old one: `events.jsonl` of `events.jsonl.1`.
fn rotated(path: &Path) -> Option<PathBuf> {
    let number = path.extension()?.to_str()?;
    let is_number = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| path.with_extension(""))
}

fn shared_file(owner: &TargetConfig, target: &TargetConfig, key: &str, label: &str) -> SharedFile {
    let title = format!("targets `{}` and `{}` have the same file", owner.name, target.name);
    let problem = target.at_setting(Problem::error(title), key, label);
    let problem = problem.help("each needs a file of its own").of_a_target();
    // A disabled target writes nothing yet.
    let both = owner.enabled && target.enabled;
    let problem = if both { problem } else { problem.as_warning() };
    SharedFile { target: Arc::clone(&target.name), problem }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Environment, load, load_with};

    const SECRET: &str = "6fd4a9e2-never-shown";

    /// What `check` shows for these targets and one valid source.
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
    fn valid_settings_are_accepted_and_nothing_is_written() {
        let text = "[targets.a]\nplugin = \"file-log\"\nsettings.path = \"logs/x.jsonl\"\n";
        assert_eq!(check_text(text), "");
    }

    #[test]
    fn a_setting_that_the_plugin_refuses_is_shown_at_its_line() {
        for (settings, line, part) in [
            ("settings.path = \"x\"\nsettings.rotate.keep = 0\n", "6:24", "between 1 and 1000"),
            ("settings.path = 7\n", "5:17", "expected"),
            ("settings.path = \"x\"\nsettings.colour = \"red\"\n", "6:", "unknown field `colour`"),
            ("settings.path = \"x\"\nsettings.timeout = \"1s\"\n", "6:", "write targets.a.timeout"),
            ("settings.sync = true\n", "5:", "missing field `path`"),
            ("", "3:", "missing field `path`"),
        ] {
            let shown = check_text(&format!("[targets.a]\nplugin = \"file-log\"\n{settings}"));
            assert!(shown.contains(&format!("dispatcher.toml:{line}")), "{settings}: {shown}");
            assert!(shown.contains(part), "{settings}: {shown}");
            assert_eq!(shown.matches("error: ").count(), 1, "{shown}");
        }
    }

    #[test]
    fn a_wrong_value_in_a_list_is_shown_at_its_place() {
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
    fn a_digest_needs_a_plugin_that_makes_one_message_of_many_events() {
        let text =
            "[targets.a]\nplugin = \"file-log\"\ndigest.every = \"5m\"\nsettings.path = \"x\"\n";
        let shown = check_text(text);
        assert!(shown.contains("dispatcher.toml:5:1"), "{shown}");
        assert!(shown.contains("file-log delivers each event separately"), "{shown}");
    }

    #[test]
    fn two_targets_with_one_file_are_found_however_the_path_is_written() {
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
            // When the first is rotated, it overwrites the second.
            ("logs/x", "logs/x.1", true),
            ("logs/x.jsonl", "logs/x.jsonl.17", true),
            ("logs/x", "logs/x.1.jsonl", false),
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
    fn no_target_writes_to_a_file_of_the_daemon() {
        for (path, what) in [
            ("data", "the data folder"),
            ("data/log/x", "the data folder"),
            ("./logs/../data/lock", "the data folder"),
            ("dispatcher.toml", "the configuration"),
            ("dispatcher.env", "the configuration"),
            ("conf.d/more.toml", "the configuration"),
            ("admin.sock", "the admin socket"),
            ("plugins.d/x.so", "a plugin file"),
        ] {
            let target =
                format!("[targets.a]\nplugin = \"file-log\"\nsettings.path = \"{path}\"\n");
            let shown = check_text(&target);
            assert!(
                shown.contains(&format!("target `a` would write to {what}")),
                "{path}: {shown}"
            );
            assert!(shown.contains("dispatcher.toml:5:17"), "{path}: {shown}");
            let off = format!("{target}enabled = false\n");
            assert!(check_text(&off).starts_with("warning: "), "{path}");
        }
        for path in
            ["logs/x", "data.jsonl", "database/x", "x.toml", "conf.d.log", "plugins.d/x.log"]
        {
            let target =
                format!("[targets.a]\nplugin = \"file-log\"\nsettings.path = \"{path}\"\n");
            assert_eq!(check_text(&target), "", "{path}");
        }
    }

    #[test]
    fn a_hard_link_of_a_file_of_the_daemon_or_of_another_target_is_found() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        for parent in ["data/log", "conf.d", "plugins.d", "logs"] {
            std::fs::create_dir_all(at(parent)).unwrap();
        }
        let file = at("dispatcher.toml");
        let mut text = "[sources.sqreen]\nsecrets = \"file:secret\"\n".to_owned();
        let expected = [
            ("data/log/1", "the data folder"),
            ("dispatcher.toml", "the configuration"),
            ("conf.d/more.toml", "the configuration"),
            ("plugins.d/x.so", "a plugin file"),
            ("secret", "the file of a secret"),
        ];
        for (place, (name, _)) in expected.iter().enumerate() {
            text += &format!(
                "[targets.t{place}]\nplugin = \"file-log\"\nsettings.path = \"link{place}\"\n"
            );
            std::fs::write(at(name), if *name == "secret" { SECRET } else { "" }).unwrap();
            std::fs::hard_link(at(name), at(&format!("link{place}"))).unwrap();
        }
        std::fs::write(at("logs/one"), "").unwrap();
        std::fs::hard_link(at("logs/one"), at("logs/other")).unwrap();
        // A link to a file that does not exist yet.
        std::os::unix::fs::symlink("later", at("logs/link")).unwrap();
        for path in ["one", "other", "later", "link"] {
            text += &format!(
                "[targets.{path}]\nplugin = \"file-log\"\nsettings.path = \"logs/{path}\"\n"
            );
        }
        text += "[targets.the-secret]\nplugin = \"file-log\"\nsettings.path = \"./secret\"\n";
        std::fs::write(&file, &text).unwrap();
        let config = load(&file, &Environment::default()).unwrap();
        let shown = config.problems(check(&config)).to_string();
        for (place, (_, what)) in expected.iter().enumerate() {
            let part = format!("target `t{place}` would write to {what}\n");
            assert!(shown.contains(&part), "{part}{shown}");
        }
        for part in [
            "target `the-secret` would write to the file of a secret\n",
            "targets `one` and `other` have the same file\n",
            "targets `later` and `link` have the same file\n",
        ] {
            assert!(shown.contains(part), "{part}{shown}");
        }
        assert!(!shown.contains(SECRET), "{shown}");
    }

    #[test]
    fn problems_of_plugins_are_shown_with_the_errors_of_the_file() {
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
    fn a_home_whose_socket_no_command_could_reach_is_shown() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("dispatcher.toml");
        let room = 107 - folder.path().as_os_str().len() - "/home/admin.sock".len();
        for (length, is_reached) in [(room, true), (room + 1, false)] {
            let home = format!("home{}", "x".repeat(length));
            std::fs::create_dir(folder.path().join(&home)).unwrap();
            std::fs::write(&file, format!("home = \"{home}\"\n")).unwrap();
            let config = load(&file, &Environment::default()).unwrap();
            let problems = check(&config);
            let shown = config.problems(problems.clone()).to_string();
            assert_eq!(shown.contains("no command will reach the daemon"), !is_reached, "{shown}");
            assert_eq!(shown.contains("shorter `home`"), !is_reached, "{shown}");
            assert!(!problems.iter().any(Problem::is_error), "it still delivers");
        }
    }

    #[test]
    fn what_is_in_the_way_of_a_folder_is_shown() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        std::fs::write(at("odd"), "").unwrap();
        for (text, expected) in [
            ("store.directory = \"odd\"", "store: ODD is a file, not a folder"),
            ("store.directory = \"odd/deeper\"", "store: ODD is a file, not a folder"),
            ("plugins.directory = \"odd\"", "found there: ODD is a file, not a folder"),
            ("store.directory = \"new/data\"\nplugins.directory = \"none\"", ""),
        ] {
            std::fs::write(at("dispatcher.toml"), text).unwrap();
            let config = load(&at("dispatcher.toml"), &Environment::default()).unwrap();
            let problems = check(&config);
            let shown = config.problems(problems.clone()).to_string();
            let expected = expected.replace("ODD", &at("odd").display().to_string());
            assert_eq!(shown.contains("not a folder"), !expected.is_empty(), "{shown}");
            assert!(shown.contains(&expected), "{shown}");
            // Without such a plugin the daemon starts.
            let is_error = problems.iter().any(Problem::is_error);
            assert_eq!(is_error, text.starts_with("store.directory = \"odd"), "{text}");
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
