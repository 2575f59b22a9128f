//! Removal by size: settled segments are removed, nearly empty ones compacted, a full log refuses.

use crate::embedded::format::frame::HEADER_BYTES;
use crate::embedded::platform::disk::{Disk, Files};
use crate::embedded::simulation::hardware::faulty_index::{FaultyHome, IndexFault};

use crate::embedded::simulation::hardware::gate::Gate;
use crate::embedded::tests::gate::pass;
use crate::embedded::tests::retention::*;
use crate::embedded::tests::support::{flip, offset_of};
use crate::{Depth, Fate, Search};

#[tokio::test]
async fn settled_segments_are_removed_and_their_files_reused() {
    let small = Small::new(Some(5 * MIB), None);
    let store = small.store();
    let a = register(&*store, &["a"]).await[0];
    let first = small.append(&store, &["first".into()], &[a]).await[0];
    for _ in 0..6 {
        small.traffic(&store, a, 5).await;
        settled(&store).await;
        assert!(small.folder.segments().len() <= 5);
    }
    assert!(first_base(&store) > 2 * MIB);
    until(&store, |store| store.shared.spare.is_ready()).await;
    assert!(store.event(first).await.unwrap().is_none());
    assert!(store.fate(first).await.unwrap().is_none());
    let refused = store.replay(a, vec![first]).await.unwrap_err().to_string();
    assert!(refused.contains("no longer kept") && refused.contains("retention"), "{refused}");
    let newest = small.append(&store, &["newest".into()], &[a]).await[0];
    assert_eq!(store.event(newest).await.unwrap().unwrap().data, "newest");
    small.same_after_rebuild(store).await;
}

#[tokio::test]
async fn a_search_also_finds_what_was_relocated() {
    let small = Small::new(Some(5 * MIB), None);
    let store = small.store();
    let [a, b] = register(&*store, &["a", "b"]).await[..] else { panic!() };
    let waits = small.append(&store, &["waits".into(), "too".into()], &[b]).await;
    let both = claim(&*store, b, 2).await;
    settle(&*store, b, &both, retry(small.time.wall().plus(HOUR))).await;
    while first_base(&store) == 0 {
        small.traffic(&store, a, 5).await;
        settled(&store).await;
    }
    for max in [1_000, 1] {
        let (mut found, mut before) = (Vec::new(), None);
        loop {
            let wanted = Box::new(move |_: &_, targets: &[TargetNumber]| targets.contains(&b));
            let search = Search { before, since: None, wanted, max, bytes_max: u64::MAX };
            let page = store.search(search).await.unwrap();
            found.extend(page.events.into_iter().map(|event| event.id));
            before = page.next;
            if before.is_none() {
                break;
            }
        }
        assert_eq!(found, [waits[1], waits[0]], "{max}");
    }
    // Without an index it says that they are left out, but not before a page has come so far.
    store.close().await.unwrap();
    drop(store);
    small.folder.delete_index();
    let (gate, index) = Gate::before(small.machine().index);
    let machine = Machine { index, read_at_open_bytes_max: 0, ..small.machine() };
    let store = Embedded::open_on(&small.settings(), &machine).unwrap();
    let page = async |bytes_max| {
        let wanted = Box::new(move |_: &_, targets: &[TargetNumber]| targets.contains(&b));
        let search = Search { before: None, since: None, wanted, max: 9, bytes_max };
        store.search(search).await.unwrap()
    };
    assert_eq!(page(1).await.left_out, None);
    let none = page(u64::MAX).await;
    assert!(none.events.is_empty() && none.left_out.unwrap().contains("rebuilt"));
    pass(&gate, &store).await;
    let both = page(u64::MAX).await;
    assert_eq!((both.events.len(), both.left_out), (2, None));
    // The files that have them now are named if they are gone.
    for segment in small.folder.segments() {
        std::fs::remove_file(segment).unwrap();
    }
    let gone = page(u64::MAX).await;
    assert!(gone.events.is_empty() && gone.unreadable.len() > 2, "{gone:?}");
    assert!(gone.files.len() == 3 && gone.files[0].1.contains(" is gone: put it back"), "{gone:?}");
}

#[tokio::test]
async fn an_index_whose_making_was_interrupted_is_continued() {
    let small = Small::new(Some(5 * MIB), None);
    let store = small.store();
    let a = register(&*store, &["a"]).await[0];
    small.append(&store, &["waits".into()], &[a]).await;
    let one = claim(&*store, a, 1).await;
    settle(&*store, a, &one, retry(small.time.wall().plus(HOUR))).await;
    // The oldest segment that is left begins after the retry, which was copied behind it.
    for i in 0.. {
        let events = (0..1_000).map(|j| keyed(&format!("{i}.{j}"), 0, &[])).collect();
        let mut request = request(events);
        request.received_at = small.time.wall();
        store.append(request).await.unwrap();
        settled(&store).await;
        if first_base(&store) >= MIB {
            break;
        }
    }
    store.close().await.unwrap();
    drop(store);
    let mut continued = 0;
    for writes in 2..20 {
        let small = Small {
            folder: small.folder.copy(),
            time: small.time.clone(),
            ..Small::new(None, None)
        };
        small.folder.delete_index();
        let home = small.machine().index;
        let fault = IndexFault::FillsUp { writes };
        let index = Arc::new(FaultyHome { home, fault });
        let machine = Machine { index, read_at_open_bytes_max: 0, ..small.machine() };
        let store = Embedded::open_on(&small.settings(), &machine).unwrap();
        let failed = |progress: &str| progress.contains("the last try failed: it is full");
        until(&store, |s| s.rebuilding().is_none_or(|r| failed(&r.progress))).await;
        let interrupted = store.rebuilding().is_some();
        drop(store);
        let store = small.store();
        until(&store, |store| store.rebuilding().is_none()).await;
        assert_eq!(store.damage(), None, "{writes}");
        assert_eq!(store.depth(a).retrying, 1);
        assert!(!small.settings().damaged_folder().exists(), "{writes}");
        if !interrupted {
            break;
        }
        continued += 1;
        small.same_after_rebuild(store).await;
    }
    assert!(continued > 2, "{continued}");
}

#[tokio::test]
async fn what_cannot_be_read_does_not_keep_the_oldest_segment() {
    let small = Small::new(Some(5 * MIB), None);
    let store = small.store();
    let a = register(&*store, &["a"]).await[0];
    let ids = small.append(&store, &["dead".into(), "waits".into()], &[a]).await;
    let both = claim(&*store, a, 2).await;
    settle(&*store, a, &both[..1], dead("no")).await;
    settle(&*store, a, &both[1..], retry(small.time.wall().plus(HOUR))).await;
    store.close().await.unwrap();
    drop(store);
    let store = small.store();
    flip(&small.folder.segments()[0], offset_of(ids[0]) + HEADER_BYTES as u64 + 9);
    small.traffic(&store, a, 40).await;
    settled(&store).await;
    assert!(first_base(&store) > 0);
    assert_eq!(store.depth(a), Depth { dead: 2, ..Depth::default() });
    let letters = store.dead_letters(a, None, 9).await.unwrap();
    assert!(letters.iter().any(|letter| letter.reason.contains("can no longer be read")));
    small.same_after_rebuild(store).await;
}

#[tokio::test]
async fn events_that_are_still_needed_survive_repeated_compaction_unchanged() {
    let small = Small::new(Some(5 * MIB), None);
    let store = small.store();
    let [a, b, c] = register(&*store, &["a", "b", "c"]).await[..] else { panic!() };
    let texts: Vec<String> = ["waits", "dead", "both", "dropped"].map(String::from).to_vec();
    let ids = small.append(&store, &texts, &[a, b]).await;
    // It was not planned for this one.
    store.replay(c, vec![ids[2]]).await.unwrap();
    let all = claim(&*store, a, 4).await;
    let due = small.time.wall().plus(HOUR);
    settle(&*store, a, &all[..1], retry(due)).await;
    settle(&*store, a, &all[1..3], dead("no")).await;
    settle(&*store, a, &all[3..], dead("not wanted")).await;
    let of_b = claim(&*store, b, 4).await;
    settle(&*store, b, &of_b[2..3], retry(due)).await;
    settle(&*store, b, &of_b[..2], delivered()).await;
    let receipt = dispatcher_model::Receipt { id: Some("r-1".into()), fields: Vec::new() };
    settle(&*store, b, &of_b[3..], crate::Outcome::Delivered { receipt }).await;
    store.flush().await.unwrap();
    store.drop_dead(a, vec![ids[3]]).await.unwrap();
    let before: Vec<_> = {
        let mut fates = Vec::new();
        for id in &ids[..3] {
            fates.push(store.fate(*id).await.unwrap().unwrap().fates);
        }
        fates
    };
    let whole = format!("{:?}", store.event(ids[0]).await.unwrap().unwrap());
    let mut bases = Vec::new();
    for _ in 0..3 {
        small.traffic(&store, a, 20).await;
        settled(&store).await;
        bases.push(first_base(&store));
        for (id, before) in ids.iter().zip(&before) {
            let known = store.fate(*id).await.unwrap().unwrap();
            assert_eq!((known.event.id, &known.fates), (*id, before));
        }
        let moved = store.event(ids[0]).await.unwrap().unwrap();
        assert_eq!(format!("{moved:?}"), whole);
    }
    assert!(bases.windows(2).all(|pair| pair[1] > pair[0] + 3 * MIB), "{bases:?}");
    assert_eq!((store.depth(a).retrying, store.depth(a).dead), (1, 2));
    small.same_after_rebuild(store).await;
    // With an index that knows the log alone.
    small.folder.delete_index();
    let store = small.store();
    assert_eq!(store.replay(a, vec![ids[1]]).await.unwrap(), 1);
    small.time.pass(3_600_000);
    let again = claim(&*store, a, 2).await;
    let mut found = texts_of(&again);
    found.sort();
    assert_eq!(found, ["dead", "waits"]);
    let waited = again.iter().find(|delivery| delivery.event.id == ids[0]).unwrap();
    assert_eq!((waited.attempt, &waited.progress[..]), (2, &b"half"[..]));
    settle(&*store, a, &again, delivered()).await;
    let of_c = claim(&*store, c, 1).await;
    settle(&*store, c, &of_c, delivered()).await;
    store.flush().await.unwrap();
    small.same_after_rebuild(store).await;
}

fn texts_of(deliveries: &[dispatcher_model::Delivery]) -> Vec<String> {
    texts(deliveries)
}

#[tokio::test]
async fn a_full_log_refuses_requests_until_its_backlog_is_delivered() {
    let small = Small::new(Some(4 * MIB), None);
    let store = small.store();
    let a = register(&*store, &["slow"]).await[0];
    let texts: Vec<String> = (0..50).map(|j| large(&j.to_string())).collect();
    let mut stored = 0;
    let refused = loop {
        let events = texts.iter().map(|text| planned(text.clone(), &[a])).collect();
        match store.append(request(events)).await {
            Ok(_) => stored += 50,
            Err(refused) => break refused,
        }
    };
    let AppendError::Full { reason } = &refused else { panic!("{refused}") };
    assert!(reason.contains("store.retention.size"), "{reason}");
    assert!(small.folder.segments().len() <= 4);
    assert_eq!(store.depth(a).pending, stored);
    until(&store, |store| store.shared.room.why().is_some_and(|why| why.contains("reached"))).await;
    // Outcomes are still written.
    let mut left = usize::try_from(stored).unwrap();
    while left > 0 {
        let some = within(store.claim(a, left, HOUR)).await.unwrap();
        left -= some.len();
        settle(&*store, a, &some, delivered()).await;
    }
    store.flush().await.unwrap();
    until(&store, |store| store.shared.room.why().is_none()).await;
    small.append(&store, &texts, &[a]).await;
}

#[tokio::test]
async fn a_target_that_may_overflow_blocks_no_requests() {
    let small = Small::new(Some(4 * MIB), None);
    let store = small.store();
    let [lossy, a] = register(&*store, &["lossy", "a"]).await[..] else { panic!() };
    store.shared.retention.overflow.write().unwrap().insert(lossy.0);
    let ids = small.append(&store, &["waits".into(), "dead".into()], &[lossy]).await;
    let some = claim(&*store, lossy, 2).await;
    settle(&*store, lossy, &some[..1], retry(small.time.wall().plus(HOUR))).await;
    settle(&*store, lossy, &some[1..], dead("no")).await;
    let texts: Vec<String> = (0..50).map(|j| large(&j.to_string())).collect();
    let mut sent = 2;
    while sent < 2_002 {
        let events = texts.iter().map(|text| planned(text.clone(), &[lossy, a])).collect();
        match store.append(request(events)).await {
            Ok(_) => sent += 50,
            Err(AppendError::Full { .. }) => settled(&store).await,
            Err(other) => panic!("{other}"),
        }
        while store.depth(a).pending > 0 {
            let some = within(store.claim(a, 100, HOUR)).await.unwrap();
            settle(&*store, a, &some, delivered()).await;
        }
        store.flush().await.unwrap();
    }
    settled(&store).await;
    let depth = store.depth(lossy);
    assert_eq!(depth.pending + depth.dead, sent);
    assert!(depth.dead > 500, "{depth:?}");
    let letters = store.dead_letters(lossy, None, 100).await.unwrap();
    assert_eq!(letters.iter().map(|letter| letter.count).sum::<u64>(), depth.dead);
    let lost = letters.iter().find(|letter| letter.count > 1).unwrap();
    assert!(lost.reason.contains("overflow") && lost.reason.contains("no longer kept"), "{lost:?}");
    // A few could be moved: these are whole.
    assert_eq!(store.event(ids[0]).await.unwrap().unwrap().data, "waits");
    small.same_after_rebuild(store).await;
}

#[tokio::test]
async fn a_file_with_another_hard_link_is_not_overwritten() {
    let small = Small::new(Some(4 * MIB), None);
    let store = small.store();
    let a = register(&*store, &["a"]).await[0];
    small.traffic(&store, a, 8).await;
    settled(&store).await;
    let oldest = small.folder.segments()[0].clone();
    let copy = small.folder.dir.path().join("copy.log");
    std::fs::hard_link(&oldest, &copy).unwrap();
    let bytes = std::fs::read(&copy).unwrap();
    small.traffic(&store, a, 30).await;
    settled(&store).await;
    assert!(!oldest.exists());
    assert_eq!(Files.links(&copy).unwrap(), 1);
    assert!(std::fs::read(&copy).unwrap() == bytes);
}

#[tokio::test]
async fn a_log_in_a_reused_file_is_read_up_to_its_end() {
    let small = Small::new(Some(4 * MIB), None);
    for round in 0..6 {
        let store = small.store();
        let a = register(&*store, &["a"]).await[0];
        assert_eq!(store.depth(a).pending, round, "round {round}");
        small.traffic_beside(&store, a, 4).await;
        drop(store);
        if round % 2 == 0 {
            small.folder.delete_index();
        }
        let newest = small.folder.segments().pop().unwrap();
        let len = std::fs::metadata(&newest).unwrap().len();
        drop(small.store());
        assert_eq!(std::fs::metadata(&newest).unwrap().len(), len, "nothing is cut off");
    }
}

impl Small {
    /// Traffic, and an event that is never delivered.
    async fn traffic_beside(&self, store: &Embedded, a: TargetNumber, requests: usize) {
        let b = register(store, &["a", "b"]).await[1];
        self.traffic(store, b, requests).await;
        self.append(store, &["kept".into()], &[a]).await;
        let some = claim(store, a, 1).await;
        settle(store, a, &some, retry(self.time.wall().plus(HOUR))).await;
        store.flush().await.unwrap();
        settled(store).await;
    }
}

use dispatcher_model::Timestamp;

#[tokio::test]
async fn an_outcome_is_removed_with_its_event() {
    let small = Small::new(Some(4 * MIB), None);
    let store = small.store();
    let a = register(&*store, &["a"]).await[0];
    let id = small.append(&store, &["x".into()], &[a]).await[0];
    let some = claim(&*store, a, 1).await;
    settle(&*store, a, &some, retry(Timestamp::from_millis(1))).await;
    store.flush().await.unwrap();
    let some = claim(&*store, a, 1).await;
    settle(&*store, a, &some, delivered()).await;
    store.flush().await.unwrap();
    let known = store.fate(id).await.unwrap().unwrap();
    assert!(matches!(known.fates[0].1, Fate::Delivered { attempts: 2, .. }));
    small.traffic(&store, a, 30).await;
    settled(&store).await;
    assert!(store.fate(id).await.unwrap().is_none());
    let (made, kept) = small.both(store).await;
    assert!(made.keys().chain(kept.keys()).all(|(space, _)| *space != Space::Outcome));
}

#[tokio::test]
async fn a_clock_that_is_set_again_and_again_makes_a_full_log_no_larger() {
    let small = Small::new(Some(5 * MIB), None);
    let store = small.store();
    let paused = register(&*store, &["paused"]).await[0];
    small.pause(&store, paused).await;
    let texts: Vec<String> = (0..50).map(|i| large(&i.to_string())).collect();
    let full = || {
        let segments = read_lock(&store.shared.reader.segments);
        store.shared.retention.is_full(&segments, store.shared.spare.capacity)
    };
    while !full() {
        small.append(&store, &texts, &[paused]).await;
    }
    let bytes = || read_lock(&store.shared.reader.segments).bytes();
    let before = bytes();
    for _ in 0..3 {
        small.time.jump(2 * 3_600_000);
        small.stepped(&store);
        small.time.pass(60_000);
    }
    assert_eq!(bytes(), before);
}

/// The first event of deliveries that were dropped together is delivered again, and dies alone.
#[tokio::test]
async fn a_letter_where_a_dropped_range_began_does_not_keep_the_oldest_segment() {
    let small = Small::new(Some(6 * MIB), None);
    let store = small.store();
    let [a, b] = register(&*store, &["a", "b"]).await[..] else { panic!() };
    let ids = small.append(&store, &["1".into(), "2".into(), "3".into()], &[a]).await;
    assert_eq!(store.drop_waiting(a, None, "not wanted".into()).await.unwrap(), 3);
    assert_eq!(store.replay(a, ids[..1].to_vec()).await.unwrap(), 1);
    let some = claim(&*store, a, 1).await;
    settle(&*store, a, &some, dead("no")).await;
    small.traffic(&store, b, 44).await;
    until(&store, |store| first_base(store) > 0).await;
    settled(&store).await;
    assert_eq!(store.depth(a).dead, 1);
    small.same_after_rebuild(store).await;
}
