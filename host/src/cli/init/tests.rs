//! Tests of `dispatcher init` in folders of its own.

use ring::rand::SystemRandom;
use rustix::fs::{MemfdFlags, Mode, SealFlags};
use std::os::fd::AsRawFd as _;

use super::*;
use crate::config::vendors;
use crate::verify;

fn init(folder: &Path) -> Result<(), Failure> {
    init_of(&["sqreen"], folder)
}

fn init_of(sources: &[&str], folder: &Path) -> Result<(), Failure> {
    let sources = sources.iter().map(|name| (*name).to_owned()).collect();
    run(&InitArgs { sources, directory: folder.to_owned() })
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
fn nothing_waits_for_a_pipe_in_place_of_a_file() {
    use rustix::fs::{CWD, FileType, Mode, mknodat};
    for name in [".gitignore", ENV_FILE, CONFIG_FILE] {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join(name);
        mknodat(CWD, &path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
        let error = init(home.path()).unwrap_err().text;
        assert!(error.contains(&path.display().to_string()), "{name}: {error}");
        assert_eq!(fs::read_dir(home.path()).unwrap().count(), 1, "{name}");
    }
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
        ("sqren", "did you mean `sqreen`?"),
        ("token", "`token` is a scheme, not a sender"),
        ("none", "`none` is a scheme, not a sender"),
    ] {
        let failure = init_of(&["github", source], home.path()).unwrap_err();
        assert_eq!(failure.code, super::super::exit::USAGE);
        assert!(failure.text.contains(expected), "{}", failure.text);
    }
    assert_eq!(fs::read_dir(home.path()).unwrap().count(), 0);
}

/// The text of the folder's files.
fn read(folder: &Path, name: &str) -> String {
    fs::read_to_string(folder.join(name)).unwrap()
}

/// As a user would complete it: the secret that the vendor shows, and the public address.
fn complete(folder: &Path, vendor: &vendors::Vendor) {
    let toml = read(folder, CONFIG_FILE).replace("#public_url", "public_url");
    let toml = toml.replace("topics = \"\"", "topics = \"arn:aws:sns:eu-west-1:111122223333:a\"");
    let toml = toml.replace(" = \"\"\n", " = \"filled in\"\n");
    fs::write(folder.join(CONFIG_FILE), toml).unwrap();
    let scheme = vendor.scheme();
    let public = scheme.and_then(|scheme| verify::trial_keys(scheme, &SystemRandom::new()));
    // Hexadecimal digits, which are valid base64 too, of no length that a public key has.
    let public = public.map_or_else(|| "0123456789abcdef".repeat(5), |(_, public)| public);
    let empty = format!("{}=\n", vendor.setup.variable);
    let filled = format!("{}={public}\n", vendor.setup.variable);
    let env = read(folder, ENV_FILE).replace(&empty, &filled);
    fs::write(folder.join(ENV_FILE), env).unwrap();
}

#[test]
fn the_files_for_every_vendor_are_valid_once_its_secret_is_there() {
    for vendor in vendors::all() {
        let home = tempfile::tempdir().unwrap();
        init_of(&[vendor.name], home.path()).unwrap();
        complete(home.path(), vendor);
        let loaded = config::load(&home.path().join(CONFIG_FILE), &Environment::default());
        let config = loaded.unwrap_or_else(|problems| panic!("{}: {problems}", vendor.name));
        assert!(config.source(vendor.name).is_some(), "{}", vendor.name);
    }
}

#[test]
fn a_secret_that_the_vendor_shows_is_left_empty_and_check_says_where_to_find_it() {
    for (name, expected) in [
        ("stripe", "copy the signing secret that Stripe shows you"),
        ("discord", "copy the public key that Discord shows you"),
        ("dropbox", "copy the app secret that Dropbox shows you"),
    ] {
        let home = tempfile::tempdir().unwrap();
        init_of(&[name], home.path()).unwrap();
        let file = home.path().join(CONFIG_FILE);
        let problems = config::load(&file, &Environment::default()).unwrap_err().to_string();
        assert!(
            problems.contains(&format!("the secret of source `{name}` is empty")),
            "{problems}"
        );
        assert!(problems.contains(expected), "{problems}");
    }
}

#[test]
fn sources_are_added_to_what_is_there_and_nothing_of_it_changes() {
    let home = tempfile::tempdir().unwrap();
    init_of(&["github", "falco"], home.path()).unwrap();
    let before = [CONFIG_FILE, ENV_FILE, ".gitignore"].map(|name| read(home.path(), name));
    fs::write(home.path().join(ENV_FILE), format!("{}GITLAB_TOKEN_SECRET=mine", before[1]))
        .unwrap();
    init_of(&["gitlab-token", "stripe"], home.path()).unwrap();
    let after = [CONFIG_FILE, ENV_FILE, ".gitignore"].map(|name| read(home.path(), name));
    assert!(after[0].starts_with(&before[0]), "{}", after[0]);
    assert!(after[1].starts_with(&before[1]), "{}", after[1]);
    assert_eq!(after[2], before[2]);
    assert!(after[0].ends_with("\n\n[sources.stripe]\nsecrets = \"env:STRIPE_WEBHOOK_SECRET\"\n"));
    assert_eq!(after[1].matches("GITLAB_TOKEN_SECRET=").count(), 1, "{}", after[1]);
    assert!(after[1].contains("\nGITLAB_TOKEN_SECRET=mine\n# Copy"), "{}", after[1]);
    assert!(after[1].ends_with("\nSTRIPE_WEBHOOK_SECRET=\n"), "{}", after[1]);
}

#[test]
fn nothing_is_added_if_the_source_is_there_or_needs_something_first() {
    let home = tempfile::tempdir().unwrap();
    init_of(&["github"], home.path()).unwrap();
    let files = [CONFIG_FILE, ENV_FILE, ".gitignore"];
    let before = files.map(|name| read(home.path(), name));
    for (names, expected) in [
        (["stripe", "github"], "has a source `github`, which is not overwritten"),
        (["stripe", "square"], "Square signs the address that it sends to: set server.public_url"),
    ] {
        let failure = init_of(&names, home.path()).unwrap_err();
        assert!(failure.text.contains(expected), "{}", failure.text);
        assert_eq!(files.map(|name| read(home.path(), name)), before);
    }
    let inline = "sources = { a = { scheme = \"github\", secrets = \"env:A\" } }\n";
    fs::write(home.path().join(CONFIG_FILE), inline).unwrap();
    let failure = init_of(&["stripe"], home.path()).unwrap_err();
    assert!(failure.text.contains("add this yourself\n\n[sources.stripe]\n"), "{}", failure.text);
    assert_eq!(read(home.path(), CONFIG_FILE), inline);
    assert_eq!(read(home.path(), ENV_FILE), before[1]);
}

#[test]
fn a_source_or_table_in_another_file_is_named_with_that_file() {
    let home = tempfile::tempdir().unwrap();
    init_of(&["github"], home.path()).unwrap();
    let more = home.path().join("conf.d");
    fs::create_dir(&more).unwrap();
    fs::write(more.join("a.toml"), "[targets.t]\nplugin = \"file-log\"\nsettings.path = \"t\"\n")
        .unwrap();
    let stripe = more.join("shop.toml");
    fs::write(&stripe, "[sources.stripe]\nsecrets = \"env:S\"\n").unwrap();
    let failure = init_of(&["stripe"], home.path()).unwrap_err();
    let expected = format!("{} has a source `stripe`, which", stripe.display());
    assert!(failure.text.contains(&expected), "{}", failure.text);
    // The table `server`, and a file with an error.
    let toml = read(home.path(), CONFIG_FILE);
    let without = toml.replace("[server]", "[store]").replace("listen =", "#listen =");
    fs::write(home.path().join(CONFIG_FILE), without).unwrap();
    let server = more.join("server.toml");
    fs::write(&server, "[server]\nlisten = \"127.0.0.1:8080\"\n").unwrap();
    let failure = init_of(&["square"], home.path()).unwrap_err();
    let expected = format!("set server.public_url in {}", server.display());
    assert!(failure.text.contains(&expected), "{}", failure.text);
    fs::write(&server, "[server]\nlisten = 7\n").unwrap();
    let failure = init_of(&["sqreen"], home.path()).unwrap_err();
    assert!(failure.text.contains("the configuration has errors"), "{}", failure.text);
    assert!(failure.text.contains(&server.display().to_string()), "{}", failure.text);
}

#[test]
fn the_path_of_another_source_is_not_taken() {
    let home = tempfile::tempdir().unwrap();
    init_of(&["github"], home.path()).unwrap();
    let more = home.path().join("conf.d");
    fs::create_dir(&more).unwrap();
    let shop = more.join("shop.toml");
    fs::write(
        &shop,
        "[sources.shop]\nscheme = \"github\"\nsecrets = \"env:S\"\npath = \"/stripe/\"\n",
    )
    .unwrap();
    let before = [CONFIG_FILE, ENV_FILE].map(|name| read(home.path(), name));
    let failure = init_of(&["sqreen", "stripe"], home.path()).unwrap_err();
    let expected =
        format!("error: source `shop` in {} has the path /stripe already", shop.display());
    assert!(failure.text.starts_with(&expected), "{}", failure.text);
    assert_eq!([CONFIG_FILE, ENV_FILE].map(|name| read(home.path(), name)), before);
}

#[test]
fn files_of_conf_d_without_the_first_file_are_not_ignored() {
    let home = tempfile::tempdir().unwrap();
    let more = home.path().join("conf.d");
    fs::create_dir(&more).unwrap();
    fs::write(more.join("README"), "no configuration").unwrap();
    let file = more.join("a.toml");
    fs::write(&file, "[sources.github]\nsecrets = \"env:S\"\n").unwrap();
    let failure = init_of(&["github"], home.path()).unwrap_err();
    let expected = format!("error: {} is there without a dispatcher.toml", file.display());
    assert!(failure.text.starts_with(&expected), "{}", failure.text);
    assert_eq!(fs::read_dir(home.path()).unwrap().count(), 1);
    // As it says.
    fs::write(home.path().join(CONFIG_FILE), "").unwrap();
    let failure = init_of(&["github"], home.path()).unwrap_err();
    assert!(failure.text.contains("has a source `github`"), "{}", failure.text);
    init_of(&["stripe"], home.path()).unwrap();
    assert!(read(home.path(), CONFIG_FILE).contains("[sources.stripe]"));
}

#[test]
fn if_a_file_cannot_be_written_every_change_is_undone() {
    for before in [None, Some("target"), Some("!dispatcher.env\n")] {
        let home = tempfile::tempdir().unwrap();
        init_of(&["github"], home.path()).unwrap();
        let ignored = home.path().join(".gitignore");
        match before {
            None => fs::remove_file(&ignored).unwrap(),
            Some(text) => fs::write(&ignored, text).unwrap(),
        }
        // It can be read, but not even root can write it.
        let env = home.path().join(ENV_FILE);
        let sealed = rustix::fs::memfd_create("env", MemfdFlags::ALLOW_SEALING).unwrap();
        rustix::io::write(&sealed, &fs::read(&env).unwrap()).unwrap();
        rustix::fs::fchmod(&sealed, Mode::RUSR).unwrap();
        rustix::fs::fcntl_add_seals(
            &sealed,
            SealFlags::WRITE | SealFlags::SHRINK | SealFlags::GROW,
        )
        .unwrap();
        fs::remove_file(&env).unwrap();
        let file = format!("/proc/self/fd/{}", sealed.as_raw_fd());
        std::os::unix::fs::symlink(file, &env).unwrap();
        let toml = read(home.path(), CONFIG_FILE);
        let failure = init_of(&["stripe"], home.path()).unwrap_err();
        assert!(failure.text.contains("cannot write"), "{}", failure.text);
        assert_eq!(fs::read_to_string(&ignored).ok().as_deref(), before);
        assert_eq!(read(home.path(), CONFIG_FILE), toml);
    }
}

#[test]
fn git_ignores_the_file_with_the_secrets() {
    for (before, after) in [
        (None, "dispatcher.env\n"),
        (Some(""), "dispatcher.env\n"),
        (Some("target"), "target\ndispatcher.env\n"),
        (Some("/dispatcher.env\n"), "/dispatcher.env\n"),
        (
            Some("dispatcher.env\n!dispatcher.env\n"),
            "dispatcher.env\n!dispatcher.env\ndispatcher.env\n",
        ),
    ] {
        let home = tempfile::tempdir().unwrap();
        if let Some(before) = before {
            fs::write(home.path().join(".gitignore"), before).unwrap();
        }
        init(home.path()).unwrap();
        assert_eq!(read(home.path(), ".gitignore"), after);
    }
}
