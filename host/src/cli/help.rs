//! The text of `dispatcher --help`: commands in groups, each with its one line.

use clap::Command;

/// Every visible command is in exactly one group.
const GROUPS: &[(&str, &[&str])] = &[
    ("Getting started", &["init", "demo", "run", "check"]),
    ("Testing", &["try", "send", "sign", "verify"]),
    ("Monitoring", &["status", "tail", "events", "show", "explain", "refused"]),
    (
        "Operations",
        &[
            "dead list",
            "dead show",
            "dead replay",
            "dead drop",
            "drop",
            "move",
            "pause",
            "resume",
            "retry",
            "reload",
        ],
    ),
    ("Plugins", &["plugin list", "plugin check"]),
    (
        "Maintenance",
        &["store check", "store repair", "store dump", "store backup", "selftest crash"],
    ),
    ("Shell", &["completions", "man"]),
];

const TEMPLATE: &str = "{about}\n\nUsage: {usage}\n\n{before-help}Options:\n{options}{after-help}";
/// Widest line of a help text.
pub(super) const COLUMNS: usize = 80;

/// Longest description of a command that fits on its line.
#[cfg(test)]
const ABOUT_BYTES_MAX: usize = 63;

const EXAMPLES: &str = "\
Examples:
  dispatcher demo                   see it work: no configuration needed
  dispatcher init sqreen            write a first dispatcher.toml, with a secret
  dispatcher check                  every problem in ./dispatcher.toml, or the
                                    addresses to paste at your webhook senders
  dispatcher run                    receive and deliver until SIGTERM or Ctrl-C
  dispatcher send sqreen            post a signed sample to the running daemon
  dispatcher try oncall-sms         send one sample to that target alone
  dispatcher events --since 2h      what was received; shows ids
  dispatcher explain ID             what happened to an event, or why a request
                                    was refused
  dispatcher --config x.toml check  another configuration

`dispatcher help COMMAND` describes a command. Secrets are also read from the
file dispatcher.env beside the configuration.";

/// Adds the groups to the help of the whole command line.
pub(super) fn with_groups(command: Command) -> Command {
    let groups = groups(&command);
    let after = format!("{EXAMPLES}\n\n{}", super::exit::HELP);
    command.help_template(TEMPLATE).before_help(groups).after_help(after)
}

fn groups(command: &Command) -> String {
    let mut text = String::new();
    for (group, names) in GROUPS {
        text.push_str(&format!("{group}:\n"));
        for name in *names {
            let about = find(command, name).and_then(Command::get_about);
            let about = about.map(ToString::to_string).unwrap_or_default();
            text.push_str(&format!("  {name:<15}{about}\n"));
        }
        text.push('\n');
    }
    text.trim_end().to_owned()
}

fn find<'c>(command: &'c Command, path: &str) -> Option<&'c Command> {
    path.split(' ').try_fold(command, |command, name| command.find_subcommand(name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn every_command_is_in_one_group_and_every_name_in_a_group_is_a_command() {
        let command = crate::cli::command_line::Cli::command();
        let mut shown: Vec<String> = Vec::new();
        for sub in command.get_subcommands().filter(|sub| !sub.is_hide_set()) {
            let inner = sub.get_subcommands().filter(|inner| !inner.is_hide_set());
            let inner: Vec<_> = inner.map(|inner| inner.get_name()).collect();
            if inner.is_empty() {
                shown.push(sub.get_name().to_owned());
            }
            shown.extend(inner.iter().map(|inner| format!("{} {inner}", sub.get_name())));
        }
        let mut grouped: Vec<&str> = GROUPS.iter().flat_map(|(_, names)| *names).copied().collect();
        shown.sort_unstable();
        grouped.sort_unstable();
        assert_eq!(shown, grouped);
        for name in grouped {
            let about = find(&command, name).and_then(Command::get_about).unwrap().to_string();
            assert!(!about.is_empty() && about.len() <= ABOUT_BYTES_MAX, "{name}: {about}");
        }
    }

    /// Calls `see` with each command of the tree and its path, built as for a person.
    fn each(command: &mut Command, path: &str, see: &mut dyn FnMut(&str, &mut Command)) {
        see(path, command);
        let shown = |sub: &&mut Command| !sub.is_hide_set() && sub.get_name() != "help";
        for sub in command.get_subcommands_mut().filter(shown) {
            let path = format!("{path} {}", sub.get_name());
            each(sub, path.trim(), see);
        }
    }

    #[test]
    fn every_help_text_fits_into_80_columns_and_describes_every_argument() {
        let mut command = crate::cli::command_line::command();
        command.build();
        let mut faults = Vec::new();
        each(&mut command, "", &mut |path, command| {
            for text in [command.render_help(), command.render_long_help()] {
                let lines = text.to_string();
                let wide = lines.lines().filter(|line| line.chars().count() > COLUMNS);
                faults.extend(wide.map(|line| format!("{path}: too wide: {line}")));
            }
            for arg in command.get_arguments().filter(|arg| !arg.is_hide_set()) {
                let text = arg.get_help().map(ToString::to_string).unwrap_or_default();
                if text.is_empty() || text.ends_with('.') {
                    faults.push(format!("{path}: {} is not described well: {text}", arg.get_id()));
                }
            }
        });
        assert!(faults.is_empty(), "{faults:#?}");
    }
}
