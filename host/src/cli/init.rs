//! `dispatcher init`: writes a first configuration with a new secret.
//!
//! It never overwrites: it writes both files or neither.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use super::exit::Failure;
use super::out;
use crate::config::vendors::Vendor;
use crate::config::{self, ENV_FILE, Environment, vendors};
use crate::model::{Secret, printable};
use crate::verify::Verifier;

const CONFIG_FILE: &str = "dispatcher.toml";
const CONFIG: &str = include_str!("init/template.toml");
const ENVIRONMENT: &str = include_str!("init/template.env");
/// As many as the sum of the signature has; written as twice as many hexadecimal digits.
const SECRET_BYTES: usize = 32;
const LISTED: &str = "`dispatcher verify --list` lists all of them";

/// Write a first configuration, with a secret made for it
///
/// Writes dispatcher.toml and dispatcher.env, which has the secret and which only you can read, and
/// says what to do next. Never overwrites a file.
///
///   dispatcher init sqreen
///   dispatcher init sqreen --directory /srv/dispatcher
#[derive(Clone, Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(super) struct InitArgs {
    /// Who will send: a sender whose signature is known.
    source: Option<String>,
    /// Where to write; made if it is not there.
    #[arg(long, value_name = "DIR", default_value = ".")]
    directory: PathBuf,
}

/// Writes both files and says what they are for.
pub(super) fn run(args: &InitArgs) -> Result<(), Failure> {
    let vendor = known(args.source.as_deref())?;
    let (source, variable) = (vendor.name, vendor.setup.variable.as_str());
    let secret = new_secret()?;
    let fill = |text: &str| {
        text.replace("@SOURCE@", source)
            .replace("@VARIABLE@", variable)
            .replace("@SECRET@", secret.expose())
    };
    let folder = &args.directory;
    fs::create_dir_all(folder)
        .map_err(|error| Failure::new(format!("cannot make {}: {error}", shown(folder))))?;
    let file = folder.join(CONFIG_FILE);
    write_both(folder, &fill(CONFIG), &fill(ENVIRONMENT))?;
    let config = config::load(&file, &Environment::of_process())
        .map_err(|problems| Failure::new(problems.to_string().trim_end()))?;
    let (settings, in_force) =
        config.source(source).ok_or_else(|| Failure::new("the new configuration has no source"))?;
    let overruled = in_force.expose() != secret.expose();
    let address = config.address(settings);
    let made = Made { folder, vendor, address, secret, overruled };
    out::line(&made.next_steps());
    Ok(())
}

/// What was written.
struct Made<'a> {
    folder: &'a Path,
    vendor: &'static Vendor,
    address: String,
    secret: Secret,
    /// The environment has another secret under that name.
    overruled: bool,
}

impl Made<'_> {
    /// What a person reads afterwards.
    fn next_steps(&self) -> String {
        let Self { folder, vendor, address, secret, overruled } = self;
        let (source, variable) = (vendor.name, &vendor.setup.variable);
        let place = match vendor.setup.place.as_str() {
            "" => String::new(),
            place => format!("  where    {place}\n"),
        };
        let here = *folder == Path::new(".");
        let enter = if here { String::new() } else { format!("  cd {}\n", shown(folder)) };
        let warning = if *overruled {
            format!(
                "Your environment has another {variable}, which goes before the file: unset it, or \
                 give the sender that one.\n"
            )
        } else {
            String::new()
        };
        format!(
            "wrote {config} and {environment}\n\n\
             Paste these where the sender is set up:\n  \
             address  {address}\n  \
             secret   {secret}\n\
             {place}\
             If the sender shows you a secret of its own, write it into {environment} instead.\n\
             Other machines do not reach this address until you set server.listen or public_url.\n\
             {warning}\n\
             Next:\n\
             {enter}  \
             dispatcher check          what this configuration does\n  \
             dispatcher run            receive and deliver, until Ctrl-C\n  \
             dispatcher send {source:<10}in another terminal: a signed sample\n  \
             cat logs/events.jsonl     what arrived",
            config = shown(&folder.join(CONFIG_FILE)),
            environment = shown(&folder.join(ENV_FILE)),
            secret = secret.expose(),
        )
    }
}

/// A name that is a scheme needs nothing else to be a source, if a made secret can be one of its keys.
fn known(name: Option<&str>) -> Result<&'static Vendor, Failure> {
    let Some(name) = name else {
        let text = format!(
            "say who will send: dispatcher init SENDER, as in dispatcher init sqreen; {LISTED}"
        );
        return Err(Failure::usage(text));
    };
    let found = vendors::vendor(name).and_then(|vendor| Some((vendor, vendor.scheme()?)));
    let Some((vendor, scheme)) = found else {
        if vendors::scheme(name).is_some() {
            return Err(more_needed(name));
        }
        let meant =
            config::near(name, vendors::names()).map(|near| format!("; did you mean `{near}`?"));
        let (name, meant) = (printable(name), meant.unwrap_or_default());
        return Err(Failure::usage(format!("unknown sender `{name}`{meant}; {LISTED}")));
    };
    let made = Secret::new("00".repeat(SECRET_BYTES));
    let shares =
        scheme.signature().is_some_and(|s| s.marks.iter().any(|m| m.algorithm.is_symmetric()));
    if !shares || Verifier::new(scheme, &[made], None).is_err() {
        return Err(more_needed(name));
    }
    Ok(vendor)
}

fn more_needed(name: &str) -> Failure {
    Failure::usage(format!(
        "`{name}` needs more than a secret made here: start with `dispatcher init sqreen` and add \
         [sources.{name}] to its file"
    ))
}

fn new_secret() -> Result<Secret, Failure> {
    let mut bytes = [0u8; SECRET_BYTES];
    getrandom::fill(&mut bytes)
        .map_err(|error| Failure::new(format!("no randomness for a secret: {error}")))?;
    Ok(Secret::new(bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>()))
}

/// The one with the secret first: a configuration without it would be of no use.
fn write_both(folder: &Path, config: &str, environment: &str) -> Result<(), Failure> {
    let (environment_file, config_file) = (folder.join(ENV_FILE), folder.join(CONFIG_FILE));
    for file in [&config_file, &environment_file] {
        // A link that leads nowhere is in the way too.
        if file.symlink_metadata().is_ok() {
            return Err(in_the_way(file));
        }
    }
    write_new(&environment_file, environment, 0o600)?;
    write_new(&config_file, config, 0o644).inspect_err(|_| {
        // It was made a moment ago and is not in use.
        let _ = fs::remove_file(&environment_file);
    })
}

fn write_new(path: &Path, text: &str, mode: u32) -> Result<(), Failure> {
    let written = OpenOptions::new().write(true).create_new(true).mode(mode).open(path);
    written.and_then(|mut file| file.write_all(text.as_bytes())).map_err(|error| {
        if error.kind() == io::ErrorKind::AlreadyExists {
            return in_the_way(path);
        }
        Failure::new(format!("cannot write {}: {error}", shown(path)))
    })
}

fn in_the_way(path: &Path) -> Failure {
    Failure::new(format!(
        "{} is there already and is not overwritten; move it away, or choose another folder with \
         --directory DIR",
        shown(path)
    ))
}

/// A path as a person would type it.
fn shown(path: &Path) -> String {
    printable(&path.strip_prefix(".").unwrap_or(path).display().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn init(folder: &Path) -> Result<(), Failure> {
        run(&InitArgs { source: Some("sqreen".to_owned()), directory: folder.to_owned() })
    }

    #[test]
    fn what_is_written_is_sound_private_and_has_a_secret_of_its_own() {
        use std::os::unix::fs::PermissionsExt as _;
        let home = tempfile::tempdir().unwrap();
        let mut secrets = Vec::new();
        for name in ["one", "two"] {
            let folder = home.path().join(name);
            init(&folder).unwrap();
            let config = config::load(&folder.join(CONFIG_FILE), &Environment::default()).unwrap();
            assert_eq!(config.warnings, []);
            assert_eq!(crate::app::check(&config), []);
            let enabled: Vec<_> = config.targets.iter().map(|target| target.enabled).collect();
            assert_eq!(enabled, [true, false]);
            secrets.push(config.source("sqreen").unwrap().1.expose().to_owned());
            let mode = folder.join(ENV_FILE).metadata().unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
        }
        assert!(secrets.iter().all(|secret| secret.len() == 64));
        assert_ne!(secrets[0], secrets[1]);
    }

    #[test]
    fn no_file_is_overwritten_and_the_one_in_the_way_is_named() {
        for name in [CONFIG_FILE, ENV_FILE] {
            let home = tempfile::tempdir().unwrap();
            let file = home.path().join(name);
            fs::write(&file, "mine").unwrap();
            let failure = init(home.path()).unwrap_err();
            assert!(failure.text.contains(&file.display().to_string()), "{}", failure.text);
            assert_eq!(fs::read_to_string(&file).unwrap(), "mine");
            assert_eq!(fs::read_dir(home.path()).unwrap().count(), 1);
        }
    }

    #[test]
    fn an_unknown_sender_is_wrong_usage() {
        let home = tempfile::tempdir().unwrap();
        for (source, told) in [
            (Some("sqren"), "did you mean `sqreen`?"),
            (None, "dispatcher init SENDER, as in dispatcher init sqreen"),
            (Some("discord"), "needs more than a secret made here"),
            (Some("square"), "needs more than a secret made here"),
            (Some("token"), "needs more than a secret made here"),
        ] {
            let source = source.map(str::to_owned);
            let failure = run(&InitArgs { source, directory: home.path().to_owned() }).unwrap_err();
            assert_eq!(failure.code, super::super::exit::USAGE);
            assert!(failure.text.contains(told), "{}", failure.text);
        }
        assert_eq!(fs::read_dir(home.path()).unwrap().count(), 0);
    }
}
