//! Changing the settings while requests are under way.

use std::pin::Pin;
use std::task::Poll;

use tokio::sync::mpsc::unbounded_channel;

use super::kit::Slow;
use super::*;

#[tokio::test]
async fn a_request_keeps_the_settings_it_began_with_and_the_next_one_has_the_new_ones() {
    let kit = Kit::with_secrets(&[SECRET]);
    let body = Bytes::from_static(sample("sqreen/test").as_bytes());
    let (chunks, slow) = unbounded_channel();
    let begun = kit::with_signature("/sqreen", SECRET, &body).map(|()| Slow(slow));
    let mut begun = std::pin::pin!(kit.send(begun));
    assert!(polled_once(begun.as_mut()).await.is_none(), "the request waits for its body");

    let (settings, router) = kit::rules(&["another"], 78);
    kit.ingest.change(settings, router);
    let old = signed("/sqreen", sample("sqreen/test"));
    assert_eq!(kit.send(old).await.status, 401, "the old secret is gone");
    let new = kit::with_signature("/sqreen", "another", &body);
    assert_eq!(kit.send(new.map(|()| Chunks::of(vec![body.clone()]))).await.status, 200);

    chunks.send(body).unwrap();
    drop(chunks);
    assert_eq!(begun.await.status, 200);
    assert_eq!(kit.queue.configs(), [78, 77]);
    assert_eq!(kit.in_flight(), 0);
}

#[tokio::test]
async fn while_the_configuration_changes_an_unknown_path_should_be_tried_again() {
    let kit = Kit::with_secrets(&[SECRET]);
    let send = async |path: &str| {
        let answer = kit.send(signed(path, sample("sqreen/test"))).await;
        let wait = answer.headers.get("retry-after").map(|wait| wait.to_str().unwrap().to_owned());
        (answer.status.as_u16(), wait)
    };
    let again = (503, Some("5".to_owned()));
    assert_eq!(send("/later").await, (404, None));
    // Also for a reload that waits for another one, and for one that is refused.
    let [first, second] = [kit.ingest.begin_change(), kit.ingest.begin_change()];
    assert_eq!(send("/later").await, again);
    assert_eq!(send("/sqreen").await.0, 200);
    drop(first);
    assert_eq!(send("/later").await, again);
    drop(second);
    assert_eq!(send("/later").await, again, "its end is a moment ago");
    // The first configuration of a daemon replaces nothing.
    let (settings, router) = kit::rules(&[SECRET], 78);
    let kit = Kit::with_secrets(&["another"]);
    kit.ingest.change(settings, router);
    assert_eq!(kit.send(signed("/later", sample("sqreen/test"))).await.status, 404);
}

/// Polls once, and returns the output if the future is ready.
async fn polled_once<F: Future>(mut future: Pin<&mut F>) -> Option<F::Output> {
    std::future::poll_fn(|context| match future.as_mut().poll(context) {
        Poll::Ready(output) => Poll::Ready(Some(output)),
        Poll::Pending => Poll::Ready(None),
    })
    .await
}
