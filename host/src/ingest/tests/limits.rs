//! The limits of one source: addresses, rates, bytes in flight. Rates are per day, so that time does not matter.

use std::net::SocketAddr;

use super::*;
use crate::net::Peer;

const DAY: Duration = Duration::from_secs(86_400);

fn from(address: &str) -> Peer {
    SocketAddr::new(address.parse().unwrap(), 4000).into()
}

/// A kit with sources `sqreen` and `other`, both modified by `change`.
fn kit(change: impl Fn(&mut SourceSettings)) -> Kit {
    let kit = Kit::new();
    let (settings, router) = settings(change, SECRET);
    kit.ingest.change(settings, router);
    kit
}

fn settings(change: impl Fn(&mut SourceSettings), secret: &str) -> (Settings, Arc<Router>) {
    let (mut settings, router) = kit::rules(&[secret], 77);
    change(&mut settings.sources[0]);
    let mut other = settings.sources[0].clone();
    (other.name, other.path) = ("other".into(), "/other".to_owned());
    settings.sources.push(other);
    (settings, router)
}

fn rate(count: u32) -> impl Fn(&mut SourceSettings) {
    move |source| source.rates = [Rate { count, per: DAY }].into()
}

fn forged(path: &str) -> http::Request<Full<Bytes>> {
    let body = sample("sqreen/test");
    let forged = kit::with_signature(path, "not the secret", body.as_bytes());
    forged.map(|()| Full::new(Bytes::from_static(body.as_bytes())))
}

#[tokio::test]
async fn an_address_that_is_not_allowed_is_refused_before_the_body_is_read() {
    let kit = kit(|source| source.allow = ["192.0.2.0/24".parse().unwrap()].into());
    let request = kit::with_signature("/sqreen", SECRET, b"").map(|()| Chunks::unreadable(Some(9)));
    let answer = kit.send_from(from("198.51.100.7"), with_expect(request)).await;
    assert_eq!((answer.status.as_u16(), answer.headers.get("retry-after")), (403, None));
    assert_eq!(answer.json["error"], "this address is not allowed");
    let (_, refusal) = kit.feed.history().refusals(Some("sqreen")).pop().unwrap();
    assert_eq!(refusal.reason, "198.51.100.7 is not in the source's `allow`");
    assert_eq!((&*refusal.from, refusal.status), ("198.51.100.7:4000", 403));
    let test = sample("sqreen/test");
    for address in ["192.0.2.9", "::ffff:192.0.2.9"] {
        assert_eq!(kit.send_from(from(address), signed("/sqreen", test)).await.status, 200);
    }
}

#[tokio::test]
async fn above_its_rate_limit_a_source_is_asked_to_wait_and_others_are_not() {
    let kit = kit(rate(2));
    let test = sample("sqreen/test");
    for _ in 0..2 {
        assert_eq!(kit.send(signed("/sqreen", test)).await.status, 200);
    }
    let request = kit::with_signature("/sqreen", SECRET, b"").map(|()| Chunks::unreadable(Some(9)));
    let answer = kit.send(with_expect(request)).await;
    assert_eq!(answer.status, 429);
    let wait: u64 = answer.headers["retry-after"].to_str().unwrap().parse().unwrap();
    assert!((1..=43_200).contains(&wait), "{wait}");
    assert_eq!(answer.json["error"], "too many requests; try again later");
    assert_eq!(kit.send(signed("/other", test)).await.status, 200);

    // Counters survive a reload, but a new rate starts at zero.
    let (settings, router) = self::settings(rate(2), SECRET);
    kit.ingest.change(settings, router);
    assert_eq!(kit.send(signed("/sqreen", test)).await.status, 429);
    let (settings, router) = self::settings(rate(3), SECRET);
    kit.ingest.change(settings, router);
    assert_eq!(kit.send(signed("/sqreen", test)).await.status, 200);
}

#[tokio::test]
async fn a_forger_cannot_lock_out_a_sender_at_the_same_address() {
    for address in ["198.51.100.66", "2001:db8::1", "127.0.0.1"] {
        let kit = kit(rate(5));
        for round in 0..5 {
            for _ in 0..20 {
                let answer = kit.send_from(from(address), forged("/sqreen")).await;
                assert_eq!(answer.status, 401, "{address}");
            }
            let signed = signed("/sqreen", sample("sqreen/test"));
            assert_eq!(kit.send_from(from(address), signed).await.status, 200, "{address} {round}");
        }
        // The rate is used up by verified requests only, and not at another source.
        assert_eq!(kit.send_from(from(address), forged("/sqreen")).await.status, 429);
        assert_eq!(kit.send_from(from(address), forged("/other")).await.status, 401);
    }
}

#[tokio::test]
async fn without_a_rate_nothing_is_counted() {
    let kit = kit(|_| {});
    for _ in 0..50 {
        assert_eq!(kit.send(forged("/sqreen")).await.status, 401);
    }
    assert_eq!(kit.send(signed("/sqreen", sample("sqreen/test"))).await.status, 200);
}

/// Reserves as many of the bytes in flight as it can. `verified`: by requests that are being stored; otherwise by bodies
/// that never end.
async fn flood(kit: &Arc<Kit>, path: &str, verified: bool) -> Vec<tokio::task::JoinHandle<u16>> {
    let mut floods = Vec::new();
    for bytes in [2_000, 500, 100, 10, 2] {
        for _ in 0..20 {
            let body = Bytes::from(format!("[{}]", " ".repeat(bytes - 2)));
            let request = kit::with_signature(path, SECRET, &body).map(|()| match verified {
                true => Chunks::of(vec![body]),
                false => Chunks::stuck(vec![body]),
            });
            let kit = Arc::clone(kit);
            floods.push(tokio::spawn(async move { kit.send(request).await.status.as_u16() }));
            for _ in 0..3 {
                tokio::task::yield_now().await;
            }
        }
    }
    floods
}

#[tokio::test]
async fn a_flood_at_one_source_does_not_block_another() {
    let small = |source: &mut SourceSettings| source.body_bytes_max = 2_000;
    let kit = Arc::new(kit(small));
    kit.queue.stall(&["sqreen"]);
    let floods = flood(&kit, "/sqreen", true).await;
    let test = sample("sqreen/test");
    assert_eq!(
        kit.send(signed("/sqreen", test)).await.status,
        503,
        "the source has used up its own part"
    );
    for _ in 0..3 {
        assert_eq!(kit.send(signed("/other", test)).await.status, 200);
    }
    // A longest body still fits into the own part.
    let part = kit::BYTES_IN_FLIGHT_MAX / 4 / 2;
    let body = format!("[{}]", " ".repeat(1_998));
    assert!(body.len() < part);
    assert_eq!(kit.send(signed("/other", &body)).await.status, 200);
    for flood in &floods {
        flood.abort();
    }
    for flood in floods {
        let _ = flood.await;
    }
    assert_eq!(kit.in_flight(), 0);
    kit.queue.stall(&[]);
    assert_eq!(kit.send(signed("/sqreen", test)).await.status, 200);
}

#[tokio::test]
async fn floods_at_all_other_sources_leave_a_source_its_own_part() {
    let kit = Kit::new();
    let (mut settings, router) = settings(|s| s.body_bytes_max = 2_000, SECRET);
    for name in ["third", "fourth"] {
        let mut more = settings.sources[0].clone();
        (more.name, more.path) = (name.into(), format!("/{name}"));
        settings.sources.push(more);
    }
    kit.ingest.change(settings, router);
    kit.queue.stall(&["sqreen", "other", "third"]);
    let kit = Arc::new(kit);
    let mut floods = Vec::new();
    for path in ["/sqreen", "/other", "/third"] {
        floods.extend(flood(&kit, path, true).await);
    }
    let test = sample("sqreen/test");
    assert_eq!(kit.send(signed("/third", test)).await.status, 503);
    assert_eq!(kit.send(signed("/fourth", test)).await.status, 200);
    for flood in floods {
        flood.abort();
    }
}

#[tokio::test(start_paused = true)]
async fn a_flood_of_bodies_that_never_end_gives_way_to_whole_requests_at_every_source() {
    let kit = Arc::new(kit(|source| source.body_bytes_max = 2_000));
    let floods = flood(&kit, "/sqreen", false).await;
    let full = kit.in_flight();
    assert!(full > kit::BYTES_IN_FLIGHT_MAX / 2, "{full}");
    for path in ["/sqreen", "/other"].repeat(50) {
        assert_eq!(kit.send(signed(path, sample("sqreen/test"))).await.status, 200);
    }
    for flood in floods {
        assert_eq!(flood.await.unwrap(), 408);
    }
    assert_eq!((kit.in_flight(), kit.waiting()), (0, 0));
    let (_, refusal) = kit.feed.history().refusals(Some("sqreen")).pop().unwrap();
    assert!(refusal.reason.contains("server."), "{}", refusal.reason);
}

fn with_expect<B>(mut request: http::Request<B>) -> http::Request<B> {
    request.headers_mut().insert("expect", "100-continue".parse().unwrap());
    request
}
