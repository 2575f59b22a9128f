//! A search finds every stored event once, the newest first, whatever the sizes of pages, requests and segments.

use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use dispatcher_model::{EventId, StoredEvent, TargetNumber};

use crate::contract::*;
use crate::embedded::Embedded;
use crate::embedded::format::frame::HEADER_BYTES;
use crate::embedded::tests::support::{Folder, flip, offset_of};
use crate::{Fate, Queue, Search, SearchPage};

const MIB: u64 = 1 << 20;

fn any(max: usize, bytes_max: u64, before: Option<EventId>) -> Search {
    Search { before, since: None, wanted: Box::new(|_, _| true), max, bytes_max }
}

/// All pages of a search.
async fn pages(store: &Embedded, max: usize, bytes_max: u64) -> Vec<SearchPage> {
    let (mut pages, mut before) = (Vec::new(), None);
    loop {
        let page = within(store.search(any(max, bytes_max, before))).await.unwrap();
        before = page.next;
        pages.push(page);
        if before.is_none() {
            return pages;
        }
    }
}

fn ids(pages: &[SearchPage]) -> Vec<EventId> {
    pages.iter().flat_map(|page| &page.events).map(|event| event.id).collect()
}

/// A store with requests of one to a thousand events and up to three blocks.
async fn filled() -> (Folder, Arc<Embedded>, TargetNumber, Vec<EventId>) {
    let folder = Folder::new();
    let mut settings = folder.settings();
    settings.segment_bytes = 8 * MIB;
    let store = Embedded::open(settings).unwrap();
    let a = register(&*store, &["a"]).await[0];
    let mut all = Vec::new();
    for (count, bytes) in
        [(1, 10), (7, 200_000), (1_000, 20), (1, 1_900_000), (3, 10), (40, 40_000), (2, 900_000)]
    {
        let events = (0..count).map(|i| planned(format!("{i}-{}", "x".repeat(bytes)), &[a]));
        all.extend(append(&*store, events.collect()).await);
    }
    all.reverse();
    (folder, store, a, all)
}

#[tokio::test]
async fn every_event_is_found_once_the_newest_first_in_pages_of_any_size() {
    let (_folder, store, a, all) = filled().await;
    assert!(all.len() > 1_000);
    for (max, bytes_max) in
        [(1_000, u64::MAX), (2_000, u64::MAX), (97, u64::MAX), (97, 1), (9_999, 1)]
    {
        let pages = pages(&store, max, bytes_max).await;
        assert_eq!(ids(&pages), all, "{max} {bytes_max}");
        assert!(pages.iter().all(|page| page.events.len() <= max && page.unreadable.is_empty()));
        let event = &pages[0].events[0];
        assert_eq!((&*event.source, &event.targets[..]), ("sqreen", &[a][..]));
        assert!(event.attributes.title.starts_with("title of 1-xx"));
    }
    assert!(pages(&store, 9_999, 1).await.len() > 5, "each page reads one block");
}

#[tokio::test]
async fn only_what_is_wanted_and_not_older_than_asked_is_found() {
    let (_folder, store, a, all) = filled().await;
    let wanted = move |event: &StoredEvent, targets: &[TargetNumber]| {
        event.data.starts_with(b"2-") && targets == [a]
    };
    let search = |since| Search { wanted: Box::new(wanted), since, ..any(9, u64::MAX, None) };
    let found = store.search(search(None)).await.unwrap();
    assert_eq!(found.events.len(), 4);
    assert!(found.next.is_none() && found.back_to == Some(all[all.len() - 1].received_at()));
    let later = store.now().plus(HOUR);
    let none = store.search(search(Some(later))).await.unwrap();
    assert!(none.events.is_empty() && none.next.is_none());
}

#[tokio::test]
async fn damage_hides_only_the_request_that_it_hit() {
    let folder = Folder::new();
    let store = folder.store();
    let mut all = Vec::new();
    for i in 0..40 {
        let events = (0..9).map(|j| planned(format!("{i}.{j}-{}", "x".repeat(5_000)), &[]));
        all.push(append(&*store, events.collect()).await);
    }
    // How many requests the first segment has depends on when the next one was ready.
    let lost = all.remove(0);
    let place = offset_of(lost[0]);
    // In the header, in the length, and in the payload.
    for at in [place + 17, place + 9, place + HEADER_BYTES as u64 + 9] {
        flip(&folder.segments()[0], at);
        let pages = pages(&store, 50, u64::MAX).await;
        let expected: Vec<_> = all.iter().flatten().rev().copied().collect();
        assert_eq!(ids(&pages), expected);
        // Pages that read a place again count it once.
        let is_new = |page: &SearchPage, place: u64| page.next.is_none_or(|n| place >= n.number());
        let counted = |page: &SearchPage| {
            page.unreadable.iter().filter(|place| is_new(page, **place)).count()
        };
        assert_eq!(pages.iter().map(counted).sum::<usize>(), 1);
        flip(&folder.segments()[0], at);
    }
}

#[tokio::test]
async fn another_search_waits_for_one_that_its_caller_left() {
    let (_folder, store, ..) = filled().await;
    let ((began, begins), (end, ends)) = (mpsc::channel(), mpsc::channel::<()>());
    let ends = Mutex::new(ends);
    let waits = move |_: &StoredEvent, _: &[TargetNumber]| {
        // Fails once the test has ended both channels.
        let _ = (began.send(()), ends.lock().unwrap().recv());
        true
    };
    let mut left = store.search(Search { wanted: Box::new(waits), ..any(9, 1, None) });
    while begins.try_recv().is_err() {
        assert!(tokio::time::timeout(Duration::ZERO, &mut left).await.is_err());
        tokio::task::yield_now().await;
    }
    drop(left);
    let mut other = store.search(any(2, 1, None));
    assert!(tokio::time::timeout(Duration::from_millis(100), &mut other).await.is_err());
    drop(end);
    assert_eq!(within(other).await.unwrap().events.len(), 2);
}

#[tokio::test]
async fn fates_are_those_of_each_event_alone() {
    let folder = Folder::new();
    let store = folder.store();
    let [a, b, c] = register(&*store, &["a", "b", "c"]).await[..] else { panic!() };
    let mut all = Vec::new();
    for targets in [&[a][..], &[a, b], &[a], &[], &[b]] {
        all.extend(append(&*store, vec![planned("x", targets)]).await);
    }
    let claimed = claim(&*store, a, 3).await;
    settle(&*store, a, &claimed[..1], delivered()).await;
    settle(&*store, a, &claimed[1..2], retry(store.now().plus(HOUR))).await;
    settle(&*store, a, &claimed[2..], dead("no")).await;
    store.replay(c, vec![all[3]]).await.unwrap();
    let page = store.search(any(9, u64::MAX, None)).await.unwrap();
    let unknown = EventId::new(all[0].received_at(), 1, 9 << 20);
    let found = store.find([&all[..], &[unknown]].concat()).await.unwrap();
    assert!(found[all.len()].is_none());
    let found: Vec<_> = found.into_iter().flatten().map(|event| event.id).collect();
    assert_eq!(found, all);
    let known = store.fates(page.events, vec![c]).await.unwrap();
    assert_eq!(known.len(), all.len());
    for (event, mut fates) in known {
        let one = store.fate(event.id).await.unwrap().unwrap();
        let mut expected = one.fates;
        expected.retain(|(_, fate)| !matches!(fate, Fate::NotRouted { .. }));
        fates.sort_by_key(|(target, _)| *target);
        assert_eq!(fates, expected, "{}", event.id);
    }
}
