//! Random acts of a person in the data folder of a store that was killed: whatever was done, the tools and the start
//! answer with what to do, do what they say, and nothing is lost without being counted.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::Queue;
use crate::contract::*;
use crate::embedded::Embedded;
use crate::embedded::tools::{self, Repaired, Start, Work};
use dispatcher_model::{EventId, TargetNumber};
use fastrand::Rng;

use crate::embedded::format::segment_header::file_name;
use crate::embedded::tests::gone_beginning::{check, stored};
use crate::embedded::tests::support::{Folder, copy_tree, large, make_fifo};

const SEEDS: u64 = 40;
const SEGMENTS: usize = 4;

/// What an error may tell a person to do.
const ADVICE: [&str; 7] = [
    "`dispatcher store ",
    "take it out of the data folder",
    "restore ",
    "Restore ",
    "check the disk",
    "is in the way",
    "use the program that wrote it",
];

fn is_file(path: &Path) -> bool {
    path.symlink_metadata().is_ok_and(|found| found.is_file())
}

fn clear(path: &Path) {
    match path.symlink_metadata() {
        Ok(found) if found.is_dir() => fs::remove_dir_all(path).unwrap(),
        Ok(_) => fs::remove_file(path).unwrap(),
        Err(_) => {}
    }
}

/// Files below a folder.
fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() { files(&path, found) } else { found.push(path) }
    }
    found.sort();
}

struct Hand<'a> {
    folder: &'a Folder,
    other: &'a Folder,
    random: Rng,
    /// All names of segments that there were.
    names: Vec<PathBuf>,
}

impl Hand<'_> {
    fn one(&mut self, paths: &[PathBuf]) -> PathBuf {
        paths[self.random.usize(..paths.len())].clone()
    }

    fn damage(&mut self, path: &Path) -> &'static str {
        if !is_file(path) {
            return "nothing";
        }
        let mut bytes = fs::read(path).unwrap();
        let what = match self.random.u8(..4) {
            0 => {
                bytes.truncate(self.random.usize(..=bytes.len()));
                "cut"
            }
            1 => {
                bytes.resize(bytes.len() + self.random.usize(1..9_000), 7);
                "made longer"
            }
            2 => {
                for _ in 0..self.random.usize(1..9) {
                    let at = self.random.usize(..bytes.len().max(1));
                    bytes.get_mut(at).into_iter().for_each(|byte| *byte ^= 1 << (at % 8));
                }
                "flipped"
            }
            _ => {
                let from = self.random.usize(..=bytes.len());
                let to = (from + self.random.usize(..90_000)).min(bytes.len());
                bytes[from..to].fill(0);
                "zeroed"
            }
        };
        fs::write(path, bytes).unwrap();
        what
    }

    /// Puts something else in place of a file.
    fn replace(&mut self, path: &Path) -> &'static str {
        let away = self.folder.dir.path().join(format!("away-{}", self.random.u32(..)));
        if path.is_dir() {
            return "nothing";
        }
        let _ = fs::rename(path, &away);
        match self.random.u8(..6) {
            0 => "removed",
            1 => {
                symlink(&away, path).unwrap();
                "a link to it"
            }
            2 => {
                symlink("/nowhere", path).unwrap();
                "a link to nothing"
            }
            3 => {
                fs::create_dir(path).unwrap();
                "a folder"
            }
            4 => {
                make_fifo(path);
                "a pipe"
            }
            _ => {
                fs::write(path, "").unwrap();
                "emptied"
            }
        }
    }

    fn change_index(&mut self, index: &Path) -> String {
        let mut all = Vec::new();
        files(index, &mut all);
        if all.is_empty() {
            return "nothing".into();
        }
        let file = self.one(&all);
        let within = file.strip_prefix(index).unwrap().to_owned();
        let foreign = self.other.settings().index_folder().join(&within);
        let how = match self.random.u8(..3) {
            0 if foreign.is_file() => {
                clear(&file);
                fs::copy(foreign, &file).unwrap();
                "of another store"
            }
            1 => self.replace(&file),
            _ => self.damage(&file),
        };
        format!("{}: {how}", file.display())
    }

    fn act(&mut self) -> String {
        let settings = self.folder.settings();
        let (log, index) = (settings.log_folder(), settings.index_folder());
        let names = self.names.clone();
        let segment = self.one(&names);
        let name = segment.file_name().unwrap().to_string_lossy().into_owned();
        match self.random.u8(..10) {
            0 => format!("{name}: {}", self.damage(&segment)),
            1 => format!("{name}: {}", self.replace(&segment)),
            2 => {
                let to = self.one(&names);
                if is_file(&segment) && to != segment {
                    clear(&to);
                    fs::copy(&segment, &to).unwrap();
                }
                format!("{name} copied to {}", to.display())
            }
            3 => {
                let base =
                    self.random.u64(..8 << 20) & !self.random.choice([0xfff, 0xf_ffff]).unwrap();
                let to = log.join(file_name(base));
                if is_file(&segment) && to.symlink_metadata().is_err() {
                    let _ = fs::copy(&segment, &to);
                }
                format!("{name} copied to {}", to.display())
            }
            4 => {
                let to = self.one(&names);
                let swap = self.folder.dir.path().join("swap");
                let _ = fs::rename(&segment, &swap);
                let _ = fs::rename(&to, &segment);
                let _ = fs::rename(&swap, &to);
                format!("{name} swapped with {}", to.display())
            }
            5 => {
                let foreign = self.other.segments();
                let from = self.one(&foreign);
                clear(&segment);
                fs::copy(from, &segment).unwrap();
                format!("{name} is of another store")
            }
            6 => {
                let left =
                    ["spare.tmp", "reserve.tmp", "probe.tmp", "repair.tmp", "seg-x.log", "x"];
                let left = log.join(*self.random.choice(&left).unwrap());
                clear(&left);
                fs::write(&left, vec![1; self.random.usize(..2 << 20)]).unwrap();
                format!("{} is left, {}", left.display(), self.replace(&left))
            }
            7 => {
                clear(&index);
                copy_tree(&self.other.settings().index_folder(), &index);
                "the index is of another store".into()
            }
            8 => self.change_index(&index),
            _ => {
                let lock = settings.lock_file();
                format!("lock: {}", self.replace(&lock))
            }
        }
    }
}

fn repaired(folder: &Folder, give_up: Vec<String>) -> Result<Repaired, tools::ToolError> {
    let work = Work { dry_run: false, give_up };
    tools::repair(&folder.settings().directory, &work, &mut |_, _| {})
}

fn has_advice(text: &str, what: &str) {
    assert!(ADVICE.iter().any(|words| text.contains(words)), "{what}: {text}");
}

/// Repairs until the daemon starts. `None`: it says what a person has to do.
fn made_to_start(folder: &Folder, what: &str) -> Option<()> {
    let directory = folder.settings().directory;
    for _ in 0..3 {
        let said = match tools::check(&directory, &mut |_, _| {}) {
            Ok(report) => report,
            Err(error) => {
                let refused = Embedded::open(folder.settings()).err();
                let text = format!("{error}, {refused:?}");
                has_advice(&text, what);
                return None;
            }
        };
        let opened = Embedded::open(folder.settings());
        let starts = matches!(said.start, Start::Works);
        assert_eq!(starts, opened.is_ok(), "{what}: {said:?} {:?}", opened.err());
        match opened {
            Ok(_) => return Some(()),
            Err(refused) => {
                has_advice(&refused.to_string(), what);
                if refused.to_string().contains("take it out of the data folder")
                    || refused.to_string().contains("something that is not a folder")
                {
                    return None;
                }
            }
        }
        let hopeless = said.damages.iter().filter(|damage| !damage.repairable);
        let mut give_up: Vec<String> = hopeless
            .map(|damage| damage.segment.file_name().unwrap().to_string_lossy().into_owned())
            .collect();
        give_up.dedup();
        if !give_up.is_empty() && !said.can_give_up {
            return None;
        }
        if let Err(error) = repaired(folder, give_up) {
            has_advice(&error.to_string(), what);
            return None;
        }
    }
    panic!("{what}: three repairs do not help: {:?}", check(folder));
}

async fn story(seed: u64, whole: &Folder, ids: &[EventId], other: &Folder) {
    let folder = whole.copy();
    let names = folder.segments();
    let mut hand = Hand { folder: &folder, other, random: Rng::with_seed(seed), names };
    let acts: Vec<String> = (0..hand.random.usize(1..4)).map(|_| hand.act()).collect();
    let what = format!("seed {seed}: {}", acts.join("; "));
    if made_to_start(&folder, &what).is_none() {
        return;
    }
    let store = folder.store();
    let a = register(&*store, &["a"]).await[0];
    let appended = store.append(request(vec![planned(large("new"), &[a])])).await;
    assert!(appended.is_ok(), "{what}: {appended:?}");
    let claimed = async {
        let mut delivered = 0;
        loop {
            let some = store.claim(a, 500, HOUR).await.unwrap();
            delivered += some.len() as u64;
            settle(&*store, a, &some, crate::contract::delivered()).await;
            if some.iter().any(|delivery| delivery.event.data.starts_with(b"new")) {
                store.flush().await.unwrap();
                return delivered - 1;
            }
        }
    };
    let delivered = tokio::time::timeout(Duration::from_secs(60), claimed).await.expect(&what);
    let depth = store.depth(a);
    assert_eq!((depth.pending, depth.retrying), (0, 0), "{what}");
    // Of newest segments that are lost it is not known how many there were: each loss counts at least one.
    assert!(
        delivered + depth.dead >= ids.len() as u64 - 2 || depth.dead > 0,
        "{what}: {delivered} and {depth:?} of {}",
        ids.len()
    );
    store.close().await.unwrap();
}

#[tokio::test]
async fn whatever_a_person_did_to_the_data_folder_there_is_a_way_on_and_nothing_is_lost_in_silence()
{
    let (whole, ids) = stored(SEGMENTS).await;
    let (other, _) = stored(2).await;
    let only = std::env::var("DISPATCHER_SEED").ok().and_then(|seed| seed.parse().ok());
    let seeds = only.map_or(0..SEEDS, |seed: u64| seed..seed + 1);
    for seed in seeds {
        story(seed, &whole, &ids, &other).await;
    }
    assert_eq!(whole.store().depth(TargetNumber(1)).pending, 0);
}
