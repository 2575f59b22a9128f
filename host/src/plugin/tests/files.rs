//! Which files are loaded, and the problems of the others.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};

use super::super::{LoadError, Mode};
use super::*;

/// A folder for plugin files, and one for private copies.
struct Home {
    folder: tempfile::TempDir,
}

impl Home {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("plugins.d")).unwrap();
        Self { folder }
    }

    fn drop_in(&self) -> PathBuf {
        self.folder.path().join("plugins.d")
    }

    fn cache(&self) -> PathBuf {
        self.folder.path().join("cache")
    }

    fn put(&self, name: &str, content: &[u8]) -> PathBuf {
        let path = self.drop_in().join(name);
        fs::write(&path, content).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        path
    }

    fn scan(&self) -> Catalog {
        Catalog::scan(&settings(&[&self.drop_in()], &self.cache()))
    }

    /// The only problem; loading reports the same.
    fn problem(&self) -> String {
        let catalog = self.scan();
        let [file] = catalog.files() else { panic!("{:?}", catalog.files()) };
        let problem = file.problem.as_ref().map(ToString::to_string).unwrap_or_default();
        assert!(problem.len() <= 1024 && !problem.contains(['\n', '\u{1b}']), "{problem}");
        let error = catalog.load(&file.name).unwrap_err().to_string();
        assert!(error.contains(&problem) && error.len() <= 1024, "{error}");
        problem
    }
}

fn each() -> Vec<u8> {
    fs::read(plugin_file("each")).unwrap()
}

/// Replaces all occurrences of `from`; there must be one, and the lengths must be equal.
fn patched(mut content: Vec<u8>, from: &[u8], to: &[u8]) -> Vec<u8> {
    assert_eq!(from.len(), to.len());
    let mut places = 0;
    for start in 0..=content.len() - from.len() {
        if content[start..].starts_with(from) {
            content[start..start + to.len()].copy_from_slice(to);
            places += 1;
        }
    }
    assert_ne!(places, 0);
    content
}

#[test]
fn a_file_is_found_loaded_from_a_private_copy_and_has_a_manifest() {
    let home = Home::new();
    let path = home.put("whatever.so", &each());
    let catalog = home.scan();
    let [file] = catalog.files() else { panic!("{:?}", catalog.files()) };
    assert_eq!((file.name.as_str(), &file.path), ("test-each", &path));
    assert!(file.problem.is_none());

    let plugin = catalog.load("test-each").unwrap();
    let manifest = plugin.manifest();
    assert_eq!((manifest.name.as_str(), manifest.mode), ("test-each", Mode::Each));
    assert_eq!(manifest.version, file.version);
    assert_eq!(manifest.description.as_deref(), Some("Does as told"));
    assert_eq!(manifest.fan_out.as_deref(), Some("to"));
    assert_eq!(manifest.schema["properties"]["act"]["description"], "What to do.");
    assert_eq!(manifest.schema["additionalProperties"], false);

    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&home.cache()), 0o700);
    let copies: Vec<_> = fs::read_dir(home.cache()).unwrap().map(|f| f.unwrap().path()).collect();
    let [copy] = &copies[..] else { panic!("{copies:?}") };
    assert_eq!(mode(copy), 0o600);
    let name = copy.file_name().unwrap().to_str().unwrap();
    assert!(name.starts_with("test-each-") && name.len() == "test-each-.so".len() + 64, "{name}");
}

#[test]
fn an_unusable_file_has_a_problem_of_one_line() {
    let big = each();
    let machine = if cfg!(target_arch = "x86_64") { 183u16 } else { 62 };
    let mut other_machine = big.clone();
    other_machine[18..20].copy_from_slice(&machine.to_le_bytes());
    let mut narrow = big.clone();
    narrow[4] = 1;
    let not_a_plugin = patched(big.clone(), b".dispatcher\0", b".despatcher\0");
    for (content, reason) in [
        (b"".to_vec(), "not an ELF file"),
        (b"#!/bin/sh\necho plugin\n".to_vec(), "not an ELF file"),
        (big[..40].to_vec(), "damaged or truncated"),
        (big[..big.len() / 2].to_vec(), "damaged or truncated"),
        (big[..big.len() - 100].to_vec(), "damaged or truncated"),
        (other_machine, "built for "),
        (narrow, "built for a 32-bit machine"),
        (not_a_plugin, "no .dispatcher section"),
        (
            patched(big.clone(), b"\0api=1.0\0", b"\0api=9.0\0"),
            "version 9.0 of the plugin interface",
        ),
        (patched(big.clone(), b"\0panic=unwind\0", b"\0panic=abort\0\0"), "panic = \"unwind\""),
        (patched(big.clone(), b"\0name=test-each\0", b"\0name=../../etc\0"), "damaged"),
    ] {
        let home = Home::new();
        home.put("bad.so", &content);
        let problem = home.problem();
        assert!(problem.contains(reason), "{problem:?}, not {reason:?}");
    }
}

#[test]
fn a_file_that_others_can_change_is_refused() {
    let content = each();
    for (mode, reason) in [(0o666, "chmod o-w"), (0o646, "chmod o-w")] {
        let home = Home::new();
        let path = home.put("a.so", &content);
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        assert!(home.problem().contains(reason));
    }
    let home = Home::new();
    home.put("a.so", &content);
    fs::set_permissions(home.drop_in(), fs::Permissions::from_mode(0o777)).unwrap();
    let problem = home.scan().files()[0].problem.as_ref().unwrap().to_string();
    assert!(problem.contains("its folder") && problem.contains("chmod o-w"), "{problem}");
}

#[test]
fn only_regular_files_are_loaded() {
    let home = Home::new();
    symlink(plugin_file("each"), home.drop_in().join("link.so")).unwrap();
    assert!(home.problem().contains("symbolic link"));

    let home = Home::new();
    fs::create_dir(home.drop_in().join("folder.so")).unwrap();
    assert!(home.problem().contains("not a regular file"));

    let home = Home::new();
    let pipe = home.drop_in().join("pipe.so");
    let kind = rustix::fs::FileType::Fifo;
    rustix::fs::mknodat(rustix::fs::CWD, &pipe, kind, rustix::fs::Mode::RUSR, 0).unwrap();
    assert!(home.problem().contains("not a regular file"));
}

#[test]
fn an_unusable_file_does_not_affect_the_others() {
    let home = Home::new();
    home.put("a.so", b"text");
    home.put("b.so", &each());
    home.put("notes.txt", b"no plugin and not called one");
    let catalog = home.scan();
    let problems: Vec<_> = catalog.files().iter().map(|file| file.problem.is_some()).collect();
    assert_eq!(problems, [true, false]);
    catalog.load("test-each").unwrap();
}

#[test]
fn beside_the_executable_other_libraries_are_not_reported() {
    let catalog = catalog();
    let problems: Vec<_> = catalog.files().iter().filter(|file| file.problem.is_some()).collect();
    assert!(problems.is_empty(), "{problems:?}");
    for name in ["test-each", "test-together", "test-batch"] {
        assert_eq!(catalog.files().iter().filter(|file| file.name == name).count(), 1, "{name}");
    }
}

#[test]
fn a_replaced_file_gives_the_new_code() {
    let home = Home::new();
    home.put("a.so", &each());
    let description = |catalog: &Catalog| {
        catalog.load("test-each").unwrap().manifest().description.clone().unwrap()
    };
    let old = home.scan();
    assert_eq!(description(&old), "Does as told");
    // Overwritten in place, which kills a process that has mapped this very file.
    home.put("a.so", &patched(each(), b"Does as told", b"Does as bold"));
    assert_eq!(description(&home.scan()), "Does as bold");
    assert_eq!(description(&old), "Does as told");
}

#[test]
fn a_file_that_became_another_plugin_is_not_loaded_under_the_old_name() {
    let home = Home::new();
    home.put("a.so", &each());
    let catalog = home.scan();
    home.put("a.so", &fs::read(plugin_file("batch")).unwrap());
    let error = catalog.load("test-each").unwrap_err();
    assert!(error.to_string().contains("it now contains the plugin test-batch"), "{error}");
}

#[test]
fn of_two_plugins_with_one_name_the_first_is_used_and_the_other_reported() {
    let (first, second) = (Home::new(), Home::new());
    let path = first.put("a.so", &each());
    second.put("same.so", &each());
    let scan = || Catalog::scan(&settings(&[&first.drop_in(), &second.drop_in()], &first.cache()));
    assert_eq!(scan().files().len(), 1);

    let other = second.put("other.so", &patched(each(), b"Does as told", b"Does as bold"));
    let catalog = scan();
    let [used, unused] = catalog.files() else { panic!("{:?}", catalog.files()) };
    assert_eq!((&used.path, &unused.path), (&path, &other));
    assert!(used.problem.is_none());
    assert!(unused.problem.as_ref().unwrap().to_string().contains(path.to_str().unwrap()));
    let manifest = catalog.load("test-each").unwrap().manifest().clone();
    assert_eq!(manifest.description.as_deref(), Some("Does as told"));
}

#[test]
fn an_unknown_name_gets_a_suggestion_and_what_was_found_where() {
    let catalog = catalog();
    let error = catalog.load("test-eech").unwrap_err();
    let LoadError::Unknown { near, found, .. } = &error else { panic!("{error}") };
    assert_eq!(near.as_deref(), Some("test-each"));
    assert!(found.contains(&"test-batch".to_owned()));
    let text = error.to_string();
    assert!(text.contains("did you mean `test-each`?"), "{text}");
    assert!(text.contains(folder().to_str().unwrap()), "{text}");
    let LoadError::Unknown { near, .. } = catalog.load("xyz").unwrap_err() else { panic!() };
    assert_eq!(near, None);
}

#[test]
fn a_refused_file_is_named_by_the_target_that_needs_it() {
    let plugin = each();
    let half = plugin[..plugin.len() / 2].to_vec();
    let abort = patched(plugin.clone(), b"\0panic=unwind\0", b"\0panic=abort\0\0");
    let kinds = [
        (Vec::new(), "not an ELF file"),
        (b"<html>404</html>".to_vec(), "not an ELF file"),
        (half, "damaged or truncated"),
        (abort, "panic = \"unwind\""),
    ];
    for (content, reason) in &kinds {
        for file in
            ["libdispatcher_tell_me.so", "libtell_me.so", "tell-me.so", "libacme_tell_me.so"]
        {
            let home = Home::new();
            for other in ["a.so", "libdispatcher_tell.so", "zz_tell_me_more.so"] {
                home.put(other, b"text");
            }
            let path = home.put(file, content);
            let error = home.scan().load("tell-me").unwrap_err();
            assert!(matches!(error, LoadError::Refused { .. }), "{file}: {error}");
            let text = error.to_string();
            let start = format!("plugin `tell-me` is refused: {}: ", path.display());
            assert!(text.starts_with(&start) && text.contains(reason), "{file}: {text}");
            assert!(
                text.contains("; 3 other files cannot be used (`dispatcher plugin list`)"),
                "{text}"
            );
            assert!(!text.contains("unknown"), "{text}");
        }
    }
}

#[test]
fn all_refused_files_that_may_be_the_plugin_are_named_the_likeliest_first() {
    let home = Home::new();
    let empty = home.put("libdispatcher_tell_me.so", b"");
    let cut = home.put("libtell_me.so", &each()[..100]);
    let text = home.scan().load("tell-me").unwrap_err().to_string();
    let first = format!("is refused: {}: not a shared library", empty.display());
    let second = format!("; {}: damaged or truncated", cut.display());
    assert!(text.contains(&first) && text.contains(&second), "{text}");
    assert!(!text.contains("other file"), "{text}");

    // By no name the right one.
    let home = Home::new();
    home.put("b.so", &patched(each(), b"\0name=test-each\0", b"\0name=test-open\0"));
    let names = ["a.so", "c.so", "libdispatcher_tel_me.so", "d.so", "e.so", "f.so"];
    let paths = names.map(|name| home.put(name, b"").display().to_string());
    let text = home.scan().load("tell-me").unwrap_err().to_string();
    let start = format!("; it may be in a file that cannot be used: {}: not a shared", paths[2]);
    assert!(text.starts_with("unknown plugin `tell-me` (found test-open in "), "{text}");
    assert!(text.contains(&start), "{text}");
    assert!(text.ends_with("; 3 other files cannot be used (`dispatcher plugin list`)"), "{text}");
    // A name that is known is that of another plugin.
    let path = home.drop_in().join("b.so");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o666)).unwrap();
    let text = home.scan().load("tell-me").unwrap_err().to_string();
    assert!(!text.contains("b.so") && text.contains("4 other files"), "{text}");
    // However many and long they are.
    for number in 0..200 {
        home.put(&format!("{}{number}.so", "long".repeat(50)), b"");
    }
    let text = home.scan().load("tell-me").unwrap_err().to_string();
    assert!(text.len() <= 1024 && text.contains("204 other files"), "{text}");
}

#[test]
fn missing_folders_are_skipped() {
    let home = Home::new();
    let missing = home.folder.path().join("missing");
    assert!(Catalog::scan(&settings(&[&missing], &home.cache())).files().is_empty());
}

#[test]
fn an_unusable_cache_folder_is_an_error_with_its_path() {
    let home = Home::new();
    home.put("a.so", &each());
    fs::write(home.cache(), b"a file").unwrap();
    let error = home.scan().load("test-each").unwrap_err().to_string();
    assert!(error.contains(home.cache().to_str().unwrap()), "{error}");
    fs::remove_file(home.cache()).unwrap();
    symlink(home.drop_in(), home.cache()).unwrap();
    let error = home.scan().load("test-each").unwrap_err().to_string();
    assert!(error.contains("must belong to"), "{error}");
}
