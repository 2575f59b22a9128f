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
/// As many as an HMAC-SHA256 has; written as twice as many hexadecimal digits.
const SECRET_BYTES: usize = 32;
const LISTED: &str = "`dispatcher verify --list` lists all of them";

/// Write a first configuration, with a new secret
///
/// Writes dispatcher.toml, and dispatcher.env with the secret, which only you can
/// read. Then shows what to do next. Never overwrites a file.
///
///   dispatcher init sqreen
///   dispatcher init sqreen --directory /srv/dispatcher
#[derive(Clone, Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(super) struct InitArgs {
    /// The sender: any of `dispatcher verify --list`.
    source: Option<String>,
    /// The folder to write to. Created if it does not exist.
    #[arg(long, value_name = "DIR", default_value = ".")]
    directory: PathBuf,
}

/// Writes both files and shows the next steps.
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
        .map_err(|error| Failure::new(format!("cannot create {}: {error}", shown(folder))))?;
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

/// What `init` wrote.
struct Made<'a> {
    folder: &'a Path,
    vendor: &'static Vendor,
    address: String,
    secret: Secret,
    /// The environment has another secret with that name.
    overruled: bool,
}

impl Made<'_> {
    /// What a person reads next.
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
                "Your environment has another {variable}, which overrides the file: unset it, or \
                 give the sender that one.\n"
            )
        } else {
            String::new()
        };
        format!(
            "wrote {config} and {environment}\n\n\
             Enter these where you set up the sender:\n  \
             address  {address}\n  \
             secret   {secret}\n\
             {place}\
             If the sender shows you its own secret, write that into {environment} instead.\n\
             Other machines cannot reach this address until you set server.listen or public_url.\n\
             {warning}\n\
             Next:\n\
             {enter}  \
             dispatcher check          show what this configuration does\n  \
             dispatcher run            receive and deliver, until Ctrl-C\n  \
             dispatcher send {source:<10}send a signed sample, in another terminal\n  \
             cat logs/events.jsonl     show what arrived",
            config = shown(&folder.join(CONFIG_FILE)),
            environment = shown(&folder.join(ENV_FILE)),
            secret = secret.expose(),
        )
    }
}

/// The vendor of that name, if a generated secret is all that its source needs.
fn known(name: Option<&str>) -> Result<&'static Vendor, Failure> {
    let Some(name) = name else {
        let text = format!(
            "name the sender: dispatcher init SENDER, as in dispatcher init sqreen; {LISTED}"
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
        "`{name}` needs more than a generated secret: start with `dispatcher init sqreen` and add \
         [sources.{name}] to its file"
    ))
}

fn new_secret() -> Result<Secret, Failure> {
    let mut bytes = [0u8; SECRET_BYTES];
    getrandom::fill(&mut bytes)
        .map_err(|error| Failure::new(format!("cannot generate a secret: {error}")))?;
    Ok(Secret::new(bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>()))
}

/// Writes the file with the secret first: a configuration without it is useless.
fn write_both(folder: &Path, config: &str, environment: &str) -> Result<(), Failure> {
    let (environment_file, config_file) = (folder.join(ENV_FILE), folder.join(CONFIG_FILE));
    for file in [&config_file, &environment_file] {
        // Also refuse a dangling link.
        if file.symlink_metadata().is_ok() {
            return Err(in_the_way(file));
        }
    }
    write_new(&environment_file, environment, 0o600)?;
    write_new(&config_file, config, 0o644).inspect_err(|_| {
        // It was created just now and is not in use.
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
        "{} exists and is not overwritten; move it away, or choose another folder with \
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
    fn the_written_files_are_valid_private_and_have_a_new_secret() {
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
    fn an_existing_file_is_named_and_not_overwritten() {
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
    fn an_unknown_sender_is_a_usage_error() {
        let home = tempfile::tempdir().unwrap();
        for (source, expected) in [
            (Some("sqren"), "did you mean `sqreen`?"),
            (None, "dispatcher init SENDER, as in dispatcher init sqreen"),
            (Some("discord"), "needs more than a generated secret"),
            (Some("square"), "needs more than a generated secret"),
            (Some("token"), "needs more than a generated secret"),
        ] {
            let source = source.map(str::to_owned);
            let failure = run(&InitArgs { source, directory: home.path().to_owned() }).unwrap_err();
            assert_eq!(failure.code, super::super::exit::USAGE);
            assert!(failure.text.contains(expected), "{}", failure.text);
        }
        assert_eq!(fs::read_dir(home.path()).unwrap().count(), 0);
    }
}
