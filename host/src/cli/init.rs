//! `dispatcher init`: writes a first configuration, or adds sources to one, and shows what to do next.

mod folder;
mod plan;
#[cfg(test)]
mod tests;

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};

use folder::{CONFIG_FILE, Written};
use plan::Plan;

use super::exit::Failure;
use super::out;
use crate::config::{self, ENV_FILE, Environment};
use crate::model::printable;

/// Write a first configuration, or add sources to one
///
/// Writes dispatcher.toml, dispatcher.env with the secrets, which only you can
/// read, and .gitignore, so that no secret is committed. If dispatcher.toml is
/// there, adds the sources to it. Then shows what to do next. Never overwrites.
///
///   dispatcher init github
///   dispatcher init github stripe --directory /srv/dispatcher
#[derive(Clone, Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(super) struct InitArgs {
    /// The senders, such as github and stripe: any of `dispatcher verify --list`
    #[arg(value_name = "SOURCE", required = true)]
    sources: Vec<String>,
    /// The folder to write to. Created if it does not exist.
    #[arg(long, value_name = "DIR", default_value = ".")]
    directory: PathBuf,
}

/// Writes the files and shows the next steps.
pub(super) fn run(args: &InitArgs) -> Result<(), Failure> {
    let mut seen = HashSet::new();
    let names = args.sources.iter().filter(|name| seen.insert(name.as_str()));
    let plans = names.map(|name| Plan::of(name)).collect::<Result<Vec<Plan>, Failure>>()?;
    let folder = &args.directory;
    fs::create_dir_all(folder)
        .map_err(|error| Failure::new(format!("cannot create {}: {error}", shown(folder))))?;
    let written = folder::write(folder, &plans)?;
    out::line(&next_steps(folder, &plans, &written));
    Ok(())
}

/// What a person reads next.
fn next_steps(folder: &Path, plans: &[Plan], written: &Written) -> String {
    let mut text = format!("{}\n\nEnter these where you set up the sender:\n", written.done);
    let config = config::load(&folder.join(CONFIG_FILE), &Environment::skipped()).ok();
    let mut notes = String::new();
    for plan in plans {
        let source =
            config.as_ref().and_then(|config| Some((config, config.source(plan.name())?.0)));
        let address = match source {
            Some((config, source)) => config.address(source),
            None => format!("server.public_url, and /{} after it", plan.name()),
        };
        if plans.len() > 1 {
            text.push_str(&format!("{}:\n", plan.vendor.short_name()));
        }
        let kept = written.kept.iter().any(|variable| variable == plan.variable());
        text.push_str(&plan.steps(&address, kept));
        notes.push_str(&note(plan, kept));
    }
    let is_local = |config: &config::Config| {
        config.public_url.is_none() && config.server.listen.ip().is_loopback()
    };
    if config.as_ref().is_none_or(is_local) {
        text.push_str(
            "Other machines cannot reach this address until you set server.listen or public_url.\n",
        );
    }
    let here = folder == Path::new(".");
    let enter = if here { String::new() } else { format!("  cd {}\n", shown(folder)) };
    let can_send = plans.iter().find(|plan| plan.has_secret());
    let send = can_send.map_or_else(String::new, |plan| {
        format!("dispatcher send {:<10}send a signed sample, in another terminal\n  ", plan.name())
    });
    format!(
        "{text}{notes}\n\
         Next:\n\
         {enter}  \
         dispatcher check          show what this configuration does\n  \
         dispatcher run            receive and deliver, until Ctrl-C\n  \
         {send}\
         cat logs/events.jsonl     show what arrived"
    )
}

/// What else stands in the way of a source. `kept`: dispatcher.env had a line for its secret.
fn note(plan: &Plan, kept: bool) -> String {
    if !plan.has_secret() {
        return format!(
            "Fill in what is empty in [sources.{}]: `dispatcher check` says what is missing.\n",
            plan.name()
        );
    }
    let (variable, vendor) = (plan.variable(), plan.vendor.short_name());
    let mut text = String::new();
    let in_force = std::env::var_os(variable).filter(|_| !kept);
    match (in_force, &plan.secret) {
        (Some(value), Some(secret)) if value != secret.expose() => text.push_str(&format!(
            "Your environment has another {variable}, which overrides {ENV_FILE}: unset it, or give \
             the sender that one.\n"
        )),
        (Some(_), None) => text.push_str(&format!(
            "Your environment has {variable}, which overrides {ENV_FILE}.\n"
        )),
        _ => {}
    }
    if plan.signs_address() {
        text.push_str(&format!(
            "{vendor} signs the address that it sends to: server.public_url must be exactly that.\n"
        ));
    }
    text
}

/// A path as a person would type it.
fn shown(path: &Path) -> String {
    printable(&path.strip_prefix(".").unwrap_or(path).display().to_string())
}
