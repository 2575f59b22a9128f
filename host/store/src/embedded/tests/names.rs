//! Names of targets that came and went: their numbers are given again, but only when nothing refers to them.

use std::sync::Arc;

use crate::contract::*;
use crate::embedded::Embedded;
use crate::embedded::tests::support::Folder;
use crate::embedded::tools::{NamesFit, names_fit};
use crate::{Depth, Fate, Queue, StoreError};
use dispatcher_model::TargetNumber;

/// Configurations of 100 new names each.
async fn come_and_go(
    store: &Embedded,
    rounds: std::ops::Range<usize>,
) -> Result<usize, StoreError> {
    let mut highest = 0;
    for round in rounds {
        let names = (0..100).map(|i| Arc::from(format!("{round}-{i}"))).collect();
        let numbers = store.register(names).await?;
        let distinct: std::collections::BTreeSet<_> = numbers.iter().collect();
        assert_eq!(distinct.len(), 100);
        highest = highest.max(numbers.iter().map(|number| usize::from(number.0)).max().unwrap());
    }
    Ok(highest)
}

/// The names that the store gives these numbers.
fn names(store: &Embedded, numbers: &[TargetNumber]) -> Vec<String> {
    let all = store.targets();
    let name = |number| all.iter().find(|(n, _)| n == number).unwrap().1.to_string();
    numbers.iter().map(name).collect()
}

#[tokio::test]
async fn names_come_and_go_for_ever_and_what_is_left_keeps_its_name() {
    let folder = Folder::new();
    let store = folder.store();
    let kept = register(&*store, &["pending", "dead", "history", "held"]).await;
    let [pending, dead_one, history, held] = kept[..] else { panic!() };
    let ids = append(&*store, vec![planned("1", &kept)]).await;
    let given = claim(&*store, dead_one, 1).await;
    settle(&*store, dead_one, &given, dead("no")).await;
    let given = claim(&*store, history, 1).await;
    settle(&*store, history, &given, delivered()).await;
    let hold = crate::Hold { kind: crate::HoldKind::Paused, reason: String::new(), since: now() };
    store.hold(held, Some(hold.clone())).await.unwrap();
    store.flush().await.unwrap();
    let highest = come_and_go(&store, 0..170).await.unwrap();
    assert!(highest < crate::embedded::TARGETS_MAX, "{highest}");
    store.close().await.unwrap();
    for _ in 0..2 {
        let store = folder.store();
        assert_eq!(names(&store, &kept), ["pending", "dead", "history", "held"]);
        assert_eq!((store.depth(pending).pending, store.depth(dead_one).dead), (1, 1));
        assert_eq!(store.held(held), Some(hold.clone()));
        let fates = store.fate(ids[0]).await.unwrap().unwrap().fates;
        assert!(matches!(fates[usize::from(history.0)].1, Fate::Delivered { .. }));
        // The rest of the story works, and a checkpoint fits.
        let last = register(&*store, &["last"]).await[0];
        append(&*store, vec![planned("2", &[last])]).await;
        assert_eq!(texts(&claim(&*store, last, 1).await), ["2"]);
        for _ in 0..4 {
            append(&*store, vec![planned("x".repeat(200_000), &[])]).await;
        }
        store.close().await.unwrap();
    }
}

#[tokio::test]
async fn a_number_that_is_given_again_starts_empty_and_a_rebuilt_index_agrees() {
    let folder = Folder::new();
    let store = folder.store();
    come_and_go(&store, 0..60).await.unwrap();
    let again = register(&*store, &["again"]).await[0];
    append(&*store, vec![planned("1", &[again])]).await;
    assert_eq!(store.depth(again), Depth { pending: 1, ..Depth::default() });
    store.close().await.unwrap();
    std::fs::remove_dir_all(folder.settings().index_folder()).unwrap();
    let store = folder.store();
    while store.rebuilding().is_some() {
        tokio::task::yield_now().await;
    }
    assert_eq!(register(&*store, &["again"]).await, [again]);
    assert_eq!(texts(&claim(&*store, again, 1).await), ["1"]);
}

#[tokio::test]
async fn too_many_names_in_use_are_refused_with_what_to_do() {
    let folder = Folder::new();
    let store = folder.store();
    let name = |i: usize| Arc::<str>::from(format!("target-{i}"));
    let refused = store.register((0..5_000).map(name).collect()).await.unwrap_err();
    assert!(matches!(refused, StoreError::TooManyTargets { known: 0, new: 5_000, .. }));
    assert!(refused.to_string().contains("drop or move what waits"), "{refused}");
    assert!(register(&*store, &["one"]).await.len() == 1, "nothing was registered");
}

#[tokio::test]
async fn names_that_do_not_fit_are_known_before_they_are_registered() {
    let folder = Folder::new();
    let settings = folder.settings();
    let fit = |names: &[Arc<str>]| {
        let names = names.iter().map(|name| &**name).collect();
        names_fit(&settings.directory, settings.segment_bytes, &names).unwrap()
    };
    let names = |kind: &str, count: usize| -> Vec<Arc<str>> {
        (0..count).map(|i| Arc::from(format!("{kind}-{i}"))).collect()
    };
    let store = folder.store();
    let kept = store.register(names("kept", 400)).await.unwrap();
    append(&*store, vec![planned("1", &kept)]).await;
    store.register(names("unused", 300)).await.unwrap();
    store.register(names("kept", 1)).await.unwrap();
    let NamesFit::No { known, new, max } = fit(&names("new", 5_000)) else { panic!() };
    assert_eq!((known, new), (700, 5_000));
    let free = max - known;
    assert_eq!(fit(&names("new", free)), NamesFit::Yes);
    assert_eq!(fit(&[names("new", free), names("kept", 400)].concat()), NamesFit::Yes);
    for (new, is_certain) in [(free + 1, false), (free + 300, false), (free + 301, true)] {
        let expected = match is_certain {
            true => NamesFit::No { known, new, max },
            false => NamesFit::Perhaps { known, new, max },
        };
        assert_eq!(fit(&names("new", new)), expected);
    }
    let refused = store.register(names("new", free + 301)).await.unwrap_err();
    assert_eq!(refused, StoreError::TooManyTargets { known, new: free + 301, max });
    store.register(names("new", free)).await.unwrap();
}
