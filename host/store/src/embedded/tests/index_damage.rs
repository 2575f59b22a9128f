//! Bytes that change in the files of the index, at the start and while it is in use: nothing is lost, nothing
//! waits forever, no request is refused.

use std::collections::BTreeSet;
use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crate::contract::*;
use crate::embedded::Embedded;
use crate::embedded::index::fjall::FjallIndex;
use crate::embedded::index::rows::{Index, Space};
use crate::{Queue, Settlement, StoreError, Window};
use dispatcher_model::{EventId, TargetNumber, Timestamp};

use crate::embedded::simulation::hardware::memory_index::Rows;
use crate::embedded::tests::gate::whole;
use crate::embedded::tests::support::{Folder, copy_tree, dump, until};

const EVENTS: usize = 120;

/// What must be claimable of target `a`, and what its dead letters are.
struct Loaded {
    folder: Folder,
    ids: Vec<EventId>,
    left: BTreeSet<String>,
    dead: BTreeSet<EventId>,
}

/// A closed store with rows of nearly every kind, in tables.
async fn loaded() -> Loaded {
    let folder = Folder::new();
    let store = folder.store();
    let a = register(&*store, &["a"]).await[0];
    let events = (0..EVENTS).map(|i| keyed(&format!("k{i}"), 0, &[a])).collect();
    let ids = append(&*store, events).await;
    let all = claim(&*store, a, 80).await;
    let receipt = dispatcher_model::Receipt { id: Some("r".into()), fields: Vec::new() };
    settle(&*store, a, &all[..30], crate::Outcome::Delivered { receipt }).await;
    settle(&*store, a, &all[30..50], dead("no")).await;
    settle(&*store, a, &all[50..75], retry(now())).await;
    let outcomes = all[75..80].iter();
    let outcomes =
        outcomes.map(|d| Settlement { event: d.event.id, outcome: delivered() }).collect();
    let until = Timestamp::from_millis(now().as_millis() + 600_000);
    store.settle_digest(a, outcomes, Window { group: 7, until }).await.unwrap();
    store.flush().await.unwrap();
    store.drop_dead(a, ids[30..35].to_vec()).await.unwrap();
    store.close().await.unwrap();
    drop(store);
    let index = FjallIndex::open(&folder.settings().index_folder()).unwrap();
    index.write_tables();
    index.sync().unwrap();
    drop(index);
    let left = (50..75).chain(80..EVENTS).map(|i| format!("k{i}-0")).collect();
    let dead = ids[35..50].iter().copied().collect();
    Loaded { folder, ids, left, dead }
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut all = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { all.extend(files(&path)) } else { all.push(path) }
    }
    all.sort();
    all
}

/// Damages a file in one of the ways of a bad disk.
fn damage(file: &Path, may_remove: bool, random: &mut fastrand::Rng) -> String {
    // Not while it is open: the engine would still have the file.
    if may_remove && random.u8(..6) == 0 {
        std::fs::remove_file(file).unwrap();
        return format!("{} is removed", file.display());
    }
    let opened = File::options().read(true).write(true).open(file).unwrap();
    let len = opened.metadata().unwrap().len();
    let at = random.u64(..len.max(1));
    if may_remove && random.u8(..6) == 0 {
        opened.set_len(at).unwrap();
        return format!("{} is cut to {at} of {len} bytes", file.display());
    }
    let bytes = match random.u8(..3) {
        0 => vec![random.u8(..); 1],
        1 => vec![0; 64],
        _ => (0..512).map(|_| random.u8(..)).collect(),
    };
    let bytes = &bytes[..bytes.len().min(usize::try_from(len - at.min(len)).unwrap())];
    opened.write_all_at(bytes, at).unwrap();
    format!("{} bytes at {at} of {len} of {}", bytes.len(), file.display())
}

/// Reads every row, as a long use would.
fn read_all(store: &Embedded) {
    let spaces = [
        Space::Meta,
        Space::Target,
        Space::Retry,
        Space::Dead,
        Space::Dropped,
        Space::Range,
        Space::Place,
        Space::Outcome,
    ];
    for space in spaces {
        let _ = store.shared.try_index(|index| index.scan(space, &[], usize::MAX));
    }
}

/// The answer, once the index is there.
async fn asked<T>(store: &Embedded, ask: impl AsyncFn() -> Result<T, StoreError>) -> T {
    loop {
        match ask().await {
            Ok(answer) => return answer,
            Err(StoreError::Rebuilding { .. }) => whole(store).await,
            Err(error) => panic!("{error}"),
        }
    }
}

/// Uses the store in every way, and checks that nothing is missing.
async fn check(store: &Arc<Embedded>, loaded: &Loaded, what: &str) {
    let a = TargetNumber(0);
    for i in 0..EVENTS {
        let again = store.append(request(vec![keyed(&format!("k{i}"), 0, &[a])])).await;
        assert!(again.is_ok(), "{what}: a repetition is refused: {again:?}");
    }
    let mut left = loaded.left.clone();
    let stuck = format!("{what}: stuck");
    let deadline = std::time::Instant::now() + Duration::from_secs(60);
    while !left.is_empty() {
        assert!(std::time::Instant::now() < deadline, "{stuck}: {left:?}");
        let some = tokio::time::timeout(Duration::from_secs(5), store.claim(a, 64, HOUR)).await;
        let some = some.unwrap_or_else(|_| panic!("{stuck}: {left:?} {:?}", store.rebuilding()));
        for text in texts(&some.unwrap_or_else(|error| panic!("{what}: {error}"))) {
            left.remove(&text);
        }
    }
    let letters = asked(store, async || store.dead_letters(a, None, 999).await).await;
    let letters: BTreeSet<EventId> = letters.iter().map(|letter| letter.event).collect();
    assert_eq!(letters, loaded.dead, "{what}");
    for id in &loaded.ids {
        let fate = asked(store, async || store.fate(*id).await).await;
        assert!(fate.is_some(), "{what}");
    }
    assert_eq!(asked(store, async || store.windows(a).await).await.len(), 1, "{what}");
    read_all(store);
    until(what, || store.rebuilding().is_none()).await;
    store.flush().await.unwrap();
    let kept = dump(store);
    assert!(kept == made_from_log(store), "{what}: the rows are not those of the log");
}

/// The rows of an index made from a copy of the log.
fn made_from_log(store: &Embedded) -> Rows {
    let copy = Folder::new();
    copy_tree(&store.shared.directory.join("log"), &copy.settings().log_folder());
    dump(&copy.store())
}

fn seeds() -> u64 {
    std::env::var("DISPATCHER_SEEDS").ok().and_then(|n| n.parse().ok()).unwrap_or(10)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn damage_of_the_index_loses_nothing_and_stops_nothing() {
    let loaded = loaded().await;
    for seed in 0..seeds() {
        let mut random = fastrand::Rng::with_seed(seed);
        let folder = loaded.folder.copy();
        let index = folder.settings().index_folder();
        let running = seed % 2 == 1;
        let open = running.then(|| folder.store());
        let all = files(&index);
        let tables: Vec<&PathBuf> =
            all.iter().filter(|f| f.to_string_lossy().contains("/tables/")).collect();
        let file = if random.u8(..4) == 0 {
            // Files of the log of changes and lists of tables, too.
            all[random.usize(..all.len())].clone()
        } else {
            tables[random.usize(..tables.len())].clone()
        };
        let what = damage(&file, !running, &mut random);
        let what = format!("seed {seed}, running {running}: {what}");
        let store = open.unwrap_or_else(|| folder.store());
        check(&store, &loaded, &what).await;
        store.close().await.unwrap();
        drop(store);
        // What was in memory is read from the files now.
        let store = folder.store();
        read_all(&store);
        whole(&store).await;
        let again = store.append(request(vec![keyed("k0", 0, &[])])).await.unwrap();
        assert_eq!(again.duplicates(), 1, "{what}");
    }
}

/// The engine takes such a keyspace for one that was never made, and removes it.
#[tokio::test]
async fn a_keyspace_that_lost_the_list_of_its_tables_is_damage_and_nothing_of_it_is_lost() {
    let loaded = loaded().await;
    let all = files(&loaded.folder.settings().index_folder());
    let has_tables = |path: &&PathBuf| {
        let tables = path.parent().unwrap().join("tables");
        path.ends_with("current") && std::fs::read_dir(tables).is_ok_and(|all| all.count() > 0)
    };
    let lists: Vec<&PathBuf> = all.iter().filter(has_tables).collect();
    assert!(lists.len() > 4, "{lists:?}");
    for list in lists {
        let folder = loaded.folder.copy();
        let from = loaded.folder.settings().index_folder();
        let list = folder.settings().index_folder().join(list.strip_prefix(from).unwrap());
        std::fs::remove_file(&list).unwrap();
        let refused = FjallIndex::open(&folder.settings().index_folder()).err();
        assert!(refused.is_some_and(|error| error.is_damage()), "{}", list.display());
        let store = folder.store();
        check(&store, &loaded, &list.display().to_string()).await;
        store.close().await.unwrap();
    }
}

/// The engine panics at some of them, in its checks of debug builds: an error says what the index is.
#[tokio::test]
async fn a_panic_of_the_engine_at_a_damaged_journal_is_an_error_alone() {
    use std::sync::atomic::{AtomicUsize, Ordering};
    static LOUD: AtomicUsize = AtomicUsize::new(0);
    static QUIET: AtomicUsize = AtomicUsize::new(0);
    let folder = Folder::new();
    let store = folder.store();
    let a = register(&*store, &["a"]).await[0];
    append(&*store, vec![keyed("1", 0, &[a])]).await;
    store.close().await.unwrap();
    drop(store);
    let index = folder.settings().index_folder();
    let is_journal = |path: &&PathBuf| path.extension().is_some_and(|ext| ext == "jnl");
    let journal = files(&index).iter().find(is_journal).unwrap().clone();
    let whole_bytes = std::fs::read(&journal).unwrap();
    let (ours, before) = (std::thread::current().id(), std::panic::take_hook());
    std::panic::set_hook(Box::new(move |panic| {
        if std::thread::current().id() != ours {
            return before(panic);
        }
        let count = if crate::embedded::is_panic_caught() { &QUIET } else { &LOUD };
        count.fetch_add(1, Ordering::Relaxed);
    }));
    for place in (0..120).step_by(3) {
        let mut bytes = whole_bytes.clone();
        bytes[place] ^= 1;
        let copy = tempfile::tempdir().unwrap();
        copy_tree(&index, copy.path());
        std::fs::write(copy.path().join(journal.file_name().unwrap()), bytes).unwrap();
        let _ = FjallIndex::open(copy.path());
    }
    let _ = std::panic::take_hook();
    assert_eq!(LOUD.load(Ordering::Relaxed), 0);
    assert!(QUIET.load(Ordering::Relaxed) > 0, "the engine did not panic");
}
