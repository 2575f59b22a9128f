//! A folder with every kind of unusable plugin file.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, chown, symlink};
use std::path::{Path, PathBuf};

use crate::harness::{Daemon, SECRET, body, events, plugin_file};

/// Longest line about one file.
const PROBLEM_BYTES_MAX: usize = 1024;
/// A user id to which no file belongs on an ordinary machine.
const UNPRIVILEGED: u32 = 65534;

/// Replaces all occurrences of `from`; there must be one, and the lengths must be equal.
fn patched(content: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    assert_eq!(from.len(), to.len());
    let mut content = content.to_vec();
    let starts = |at: &usize| content[*at..].starts_with(from);
    let places: Vec<usize> = (0..=content.len() - from.len()).filter(starts).collect();
    assert!(!places.is_empty(), "{} is not in the plugin", String::from_utf8_lossy(from));
    for at in places {
        content[at..at + to.len()].copy_from_slice(to);
    }
    content
}

/// A library that is not a plugin: one that this test itself uses.
fn foreign_library() -> PathBuf {
    let maps = fs::read_to_string("/proc/self/maps").unwrap();
    let path = maps.lines().filter_map(|line| line.split_whitespace().last());
    let mut libraries = path.filter(|path| path.contains("/libc.so") || path.contains("/libc-"));
    libraries.next().expect("the tests are linked with libc").into()
}

/// Fills the folder; returns the name of each unusable file and words that its problem must contain.
fn fill(folder: &Path) -> Vec<(&'static str, &'static str)> {
    fs::create_dir(folder).unwrap();
    let good = fs::read(plugin_file("each")).unwrap();
    let other_machine = if cfg!(target_arch = "x86_64") { 183u16 } else { 62 };
    let mut other_cpu = good.clone();
    other_cpu[18..20].copy_from_slice(&other_machine.to_le_bytes());
    let renamed = |to: &[u8]| patched(&good, b"\0name=test-each\0", to);
    let files: [(&str, Vec<u8>, &str); 11] = [
        ("truncated.so", good[..good.len() / 2].to_vec(), "damaged or truncated"),
        ("empty.so", Vec::new(), "not an ELF file"),
        ("text.so", b"#!/bin/sh\necho plugin\n".to_vec(), "not an ELF file"),
        ("foreign.so", fs::read(foreign_library()).unwrap(), "no .dispatcher section"),
        ("other-cpu.so", other_cpu, "built for "),
        (
            "abort.so",
            patched(&good, b"\0panic=unwind\0", b"\0panic=abort\0\0"),
            "panic = \"unwind\"",
        ),
        (
            "version.so",
            patched(&good, b"\0api=1.0\0", b"\0api=7.0\0"),
            "version 7.0 of the plugin interface",
        ),
        (
            "layout.so",
            patched(&renamed(b"\0name=test-lays\0"), b";after_ms;", b";after_us;"),
            "its types do not match",
        ),
        ("everybody.so", renamed(b"\0name=test-open\0"), "chmod o-w"),
        (
            "twin.so",
            patched(&good, b"Does as told", b"Does as bold"),
            "has the same name, test-each,",
        ),
        ("good.so", good.clone(), ""),
    ];
    for (name, content, _) in &files {
        let path = folder.join(name);
        fs::write(&path, content).unwrap();
        // The permissions after a umask of 002.
        let mode = if *name == "everybody.so" { 0o666 } else { 0o664 };
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }
    fs::set_permissions(folder, fs::Permissions::from_mode(0o775)).unwrap();
    symlink(plugin_file("each"), folder.join("link.so")).unwrap();
    let kind = rustix::fs::FileType::Fifo;
    let mode = rustix::fs::Mode::RUSR;
    rustix::fs::mknodat(rustix::fs::CWD, folder.join("pipe.so"), kind, mode, 0).unwrap();
    let mut problems: Vec<_> = files.iter().map(|(name, _, problem)| (*name, *problem)).collect();
    problems.retain(|(name, _)| *name != "good.so");
    problems.extend([("link.so", "symbolic link"), ("pipe.so", "not a regular file")]);
    let owned = folder.join("owner.so");
    fs::write(&owned, &good).unwrap();
    match chown(&owned, Some(UNPRIVILEGED), None) {
        Ok(()) => problems.push(("owner.so", "belongs to user 65534")),
        Err(_) => {
            eprintln!("skipped: the file of a foreign owner, which only root can make");
            fs::remove_file(owned).unwrap();
        }
    }
    problems
}

fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap()
}

#[test]
fn each_unusable_file_is_one_line_everywhere_and_the_rest_runs() {
    let mut daemon = Daemon::new().source("sqreen", SECRET).log("audit-log").start();
    let folder = daemon.home().join("plugins.d");
    let bad = fill(&folder);
    assert!(bad.len() >= 12, "{bad:?}");

    let list = daemon.command(&["plugin", "list"]).output().unwrap();
    assert_eq!(list.status.code(), Some(1));
    let list = text(list.stdout);
    assert!(list.contains("test-each "), "{list}");
    for (name, words) in &bad {
        let file = folder.join(name);
        let path = file.display().to_string();
        let lines: Vec<&str> = list
            .lines()
            .filter(|line| line.starts_with(&format!("not usable: {path}: ")))
            .collect();
        let [line] = lines[..] else { panic!("{name}: {lines:?}\n{list}") };
        assert!(line.contains(words) && line.len() <= PROBLEM_BYTES_MAX, "{name}: {line}");
        let check = daemon.command(&["plugin", "check", &path]).output().unwrap();
        assert_eq!(check.status.code(), Some(1), "{name}");
        assert_eq!(text(check.stdout).trim_end(), line, "{name}");
    }
    assert_eq!(list.lines().filter(|line| line.starts_with("not usable: ")).count(), bad.len());

    assert!(daemon.terminate().success());
    daemon.configure(|setup| {
        setup.target_of("dropped-in", "test-each", "settings.act = \"receipt\"").target_of(
            "layout",
            "test-lays",
            "settings.act = \"receipt\"",
        )
    });
    // A plugin that is refused is not one that is missing.
    let check = daemon.command(&["check"]).output().unwrap();
    assert_eq!(check.status.code(), Some(1));
    let check = text(check.stdout);
    let file = folder.join("layout.so").display().to_string();
    assert!(check.contains(&file) && check.contains("its types do not match"), "{check}");
    assert!(check.contains("The daemon starts in spite of this"), "{check}");
    daemon.start();
    let ids = events("rest", 3);
    assert_eq!(daemon.post(&body(&ids)).status, 200);
    daemon.wait_delivered("audit-log", &ids);
    let log = daemon.log();
    for (name, words) in &bad {
        let path = folder.join(name).display().to_string();
        let lines: Vec<&str> = log.lines().filter(|line| line.contains(&path)).collect();
        let [line] = lines[..] else { panic!("{name}: {lines:?}") };
        // A log line is JSON.
        assert!(line.contains(&words.replace('"', "\\\"")), "{name}: {line}");
    }
}

#[test]
fn a_misspelt_plugin_name_gets_a_suggestion() {
    let daemon = Daemon::new()
        .source("sqreen", SECRET)
        .log("audit-log")
        .target_of("typo", "flie-log", "settings.path = \"x\"")
        .start();
    let check = daemon.command(&["check"]).output().unwrap();
    assert_eq!(check.status.code(), Some(1));
    let shown = text(check.stdout);
    assert!(shown.contains("did you mean `file-log`?"), "{shown}");
    let ids = events("typo", 2);
    assert_eq!(daemon.post(&body(&ids)).status, 200);
    daemon.wait_delivered("audit-log", &ids);
    assert!(daemon.log().contains("did you mean `file-log`?"));
}

#[test]
fn a_file_that_is_refused_before_its_name_is_read_is_named_by_every_command() {
    let mut daemon = Daemon::new().source("sqreen", SECRET).log("audit-log").start();
    let beside = PathBuf::from(daemon.command(&[]).get_program());
    let beside = beside.parent().unwrap().to_owned();
    let drop_in = daemon.home().join("plugins.d");
    fs::create_dir_all(&drop_in).unwrap();
    fs::write(drop_in.join("aaa.so"), "another file that cannot be used").unwrap();
    let files = [
        (drop_in.join("libdispatcher_tell.so"), "tell", ""),
        (drop_in.join("libtell2.so"), "tell2", "<html>not found</html>"),
        (beside.join("libdispatcher_tell3.so"), "tell3", ""),
        (beside.join("libtell4.so"), "tell4", "text"),
        (beside.join("libdispatcher_http.so"), "http", ""),
    ];
    for (path, name, content) in &files {
        // The file of a shipped plugin is a link to the one that other tests use.
        let _ = fs::remove_file(path);
        fs::write(path, content).unwrap();
        daemon.configure(|setup| setup.target_of(&format!("to-{name}"), name, ""));
    }
    let check = text(daemon.command(&["check"]).output().unwrap().stdout);
    let reload = text(daemon.command(&["reload"]).output().unwrap().stdout);
    let list = text(daemon.command(&["plugin", "list"]).output().unwrap().stdout);
    assert!(daemon.terminate().success());
    daemon.start();
    let log = daemon.log();
    let status = text(daemon.command(&["status"]).output().unwrap().stdout);
    for (path, name, _) in &files {
        let attempt = daemon.command(&["try", &format!("to-{name}")]).output().unwrap();
        let attempt = text([attempt.stdout, attempt.stderr].concat());
        let (file, why) = (path.display(), "not a shared library (not an ELF file)");
        let line = format!("plugin `{name}` is refused: {file}: {why}");
        let shown = [
            ("check", &check),
            ("reload", &reload),
            ("try", &attempt),
            ("run", &log),
            ("status", &status),
        ];
        for (command, shown) in shown {
            assert!(shown.contains(&line), "{command} {name}: {shown}");
        }
        assert!(
            list.contains(&format!("not usable: {file}: {why}")) == (*name != "tell4"),
            "{list}"
        );
    }
}
