//! Bodies that arrive slowly, and what becomes of them when there is no room.

use std::net::SocketAddr;

use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio::task::JoinHandle;

use super::kit::{Answer, BYTES_IN_FLIGHT_MAX, Slow};
use super::*;

/// A request that is under way.
struct UnderWay {
    sender: UnboundedSender<Bytes>,
    answer: JoinHandle<Answer>,
}

impl UnderWay {
    fn send(&self, bytes: usize) {
        // Fails if the request was refused.
        let _ = self.sender.send(Bytes::from(vec![b' '; bytes]));
    }

    /// Sends what makes it valid, and returns the answer.
    async fn end(self) -> Answer {
        let _ = self.sender.send(Bytes::from_static(b"[]"));
        drop(self.sender);
        self.answer.await.unwrap()
    }
}

/// Begins a request of so many bytes, and waits until it waits for more.
async fn begin(kit: &Arc<Kit>, address: &str, bytes: usize) -> UnderWay {
    begin_whole(kit, address, bytes, bytes + 2).await
}

/// `whole`: how many bytes the signature is for.
async fn begin_whole(kit: &Arc<Kit>, address: &str, bytes: usize, whole: usize) -> UnderWay {
    let (sender, slow) = unbounded_channel();
    let signed = [" ".repeat(whole - 2), "[]".to_owned()].concat();
    let request = kit::with_signature("/sqreen", SECRET, signed.as_bytes()).map(|()| Slow(slow));
    let peer = SocketAddr::new(address.parse().unwrap(), 4000).into();
    let before = kit.waiting();
    let shared = Arc::clone(kit);
    let answer = tokio::spawn(async move { shared.send_from(peer, request).await });
    let under_way = UnderWay { sender, answer };
    if bytes > 0 {
        under_way.send(bytes);
    }
    while kit.waiting() == before && !under_way.answer.is_finished() {
        tokio::task::yield_now().await;
    }
    under_way
}

async fn seconds(count: u64) {
    tokio::time::sleep(Duration::from_secs(count)).await;
}

#[tokio::test(start_paused = true)]
async fn a_body_below_the_least_rate_is_refused_after_the_grace() {
    for (name, bytes, each_second, status) in [
        ("nothing", 0, 0, 408),
        ("a byte a second", 1, 1, 408),
        ("half of the rate", 500, 500, 408),
        ("the rate", 1100, 1100, 200),
        // Ahead by a burst: the average counts.
        ("a pause after a burst", 15_000, 0, 200),
        ("a burst that is not enough", 5_000, 0, 408),
    ] {
        let kit = Arc::new(Kit::new());
        let sent = bytes + 12 * each_second;
        let slow = begin_whole(&kit, "192.0.2.7", bytes, sent + 2).await;
        for second in 0..12 {
            if second < 2 {
                assert!(!slow.answer.is_finished(), "{name}: in its grace after {second} s");
            }
            seconds(1).await;
            if each_second > 0 {
                slow.send(each_second);
            }
        }
        let answer = slow.end().await;
        assert_eq!(answer.status, status, "{name}: {answer:?}");
        if status == 408 {
            let error = "the body arrived too slowly: at least 1024 bytes per second are required";
            assert_eq!(answer.json["error"], error, "{name}");
            assert_eq!(answer.headers["connection"], "close");
        }
        assert_eq!((kit.in_flight(), kit.waiting()), (0, 0), "{name}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_least_rate_can_be_changed_and_turned_off() {
    for (rate_min, seconds_until) in [(0, 30), (100, 12), (1024, 2)] {
        let kit = Arc::new(Kit::new());
        let (mut settings, router) = kit::rules(&[SECRET], 78);
        settings.body_time.rate_min = rate_min;
        kit.ingest.change(settings, router);
        let began = tokio::time::Instant::now();
        let slow = begin(&kit, "192.0.2.7", if rate_min == 1024 { 0 } else { 1000 }).await;
        assert_eq!(slow.answer.await.unwrap().status, 408);
        assert_eq!(began.elapsed().as_secs(), seconds_until, "{rate_min}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_slowest_body_gives_way_first_and_never_the_newcomer() {
    let kit = Arc::new(Kit::new());
    let part = BYTES_IN_FLIGHT_MAX / 4 - 100;
    let first = begin(&kit, "192.0.2.1", part).await;
    seconds(1).await;
    let stalled = begin(&kit, "192.0.2.2", part).await;
    let moving = begin(&kit, "192.0.2.3", part).await;
    let last = begin(&kit, "192.0.2.4", part).await;
    seconds(1).await;
    moving.send(1);
    // The first has had the most time for as many bytes.
    assert_eq!(kit.send(signed("/sqreen", sample("sqreen/test"))).await.status, 200);
    let answer = first.end().await;
    assert_eq!(answer.status, 408);
    assert_eq!(answer.headers["retry-after"], "5");
    assert!(answer.json["error"].as_str().unwrap().contains("try again later"), "{answer:?}");
    let (_, refusal) = kit.feed.history().refusals(Some("sqreen")).pop().unwrap();
    assert!(refusal.reason.contains("its room was needed for others"), "{}", refusal.reason);
    // The others were not touched.
    let statuses = [stalled.end().await.status, last.end().await.status];
    assert_eq!(statuses, [200, 200]);
    drop(moving);
    assert_eq!(kit.queue.count(), 3);
}

#[tokio::test(start_paused = true)]
async fn an_address_beyond_its_share_gives_way_before_a_slower_one() {
    let kit = Arc::new(Kit::new());
    let slow = begin(&kit, "192.0.2.1", BYTES_IN_FLIGHT_MAX / 5).await;
    seconds(1).await;
    let mut flood = Vec::new();
    // Two addresses of one sender.
    for address in ["2001:db8::1", "2001:db8::2"].repeat(2) {
        flood.push(begin(&kit, address, BYTES_IN_FLIGHT_MAX / 5 - 100).await);
    }
    let body = format!("[{}]", " ".repeat(2_000));
    assert_eq!(kit.send(signed("/sqreen", &body)).await.status, 200);
    assert_eq!(slow.end().await.status, 200);
    let mut statuses = Vec::new();
    for one in flood {
        statuses.push(one.end().await.status.as_u16());
    }
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 200, 200, 408]);
    assert_eq!((kit.in_flight(), kit.waiting()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn what_a_whole_request_reserves_never_gives_way() {
    let kit = Arc::new(Kit::new());
    kit.queue.stall(&["sqreen"]);
    let mut stored = Vec::new();
    for _ in 0..4 {
        let body = format!("[{}]", " ".repeat(BYTES_IN_FLIGHT_MAX / 4 - 1_000));
        let kit = Arc::clone(&kit);
        stored.push(tokio::spawn(async move { kit.send(signed("/sqreen", &body)).await }));
        tokio::task::yield_now().await;
    }
    seconds(1).await;
    let slow = begin(&kit, "192.0.2.7", 3_000).await;
    let body = format!("[{}]", " ".repeat(5_000));
    // Even all that could give way would not be enough, so nothing does.
    assert_eq!(kit.send(signed("/sqreen", &body)).await.status, 503);
    kit.queue.stall(&[]);
    assert_eq!(slow.end().await.status, 200);
    assert!(stored.iter().all(|request| !request.is_finished()));
    for request in stored {
        request.abort();
        let _ = request.await;
    }
    assert_eq!((kit.in_flight(), kit.waiting()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_body_that_has_its_room_does_not_give_way_itself_and_no_byte_is_lost() {
    let kit = Arc::new(Kit::new());
    let slowest = begin(&kit, "192.0.2.1", 100).await;
    let grower = begin(&kit, "192.0.2.2", 150).await;
    let mut others = Vec::new();
    for host in 3..7 {
        others.push(begin(&kit, &format!("192.0.2.{host}"), BYTES_IN_FLIGHT_MAX / 4 - 100).await);
    }
    seconds(1).await;
    // The slowest makes room; the next to give way would be the one that asked.
    grower.send(200);
    assert_eq!(slowest.end().await.status, 408);
    assert_ne!(grower.end().await.status, 408);
    for other in others {
        assert_eq!(other.end().await.status, 200);
    }
    assert_eq!((kit.in_flight(), kit.waiting()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_body_that_grows_while_there_is_no_room_may_give_way_itself() {
    let kit = Arc::new(Kit::new());
    let slowest = begin(&kit, "192.0.2.1", BYTES_IN_FLIGHT_MAX / 2).await;
    seconds(1).await;
    let other = begin(&kit, "192.0.2.2", BYTES_IN_FLIGHT_MAX / 2 - 100).await;
    slowest.send(2_000);
    assert_eq!(slowest.end().await.status, 408);
    assert_eq!(other.end().await.status, 200);
    assert_eq!((kit.in_flight(), kit.waiting()), (0, 0));
}
