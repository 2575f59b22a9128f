//! Senders without a secret cannot keep others out: while they hold all the connections and all the bytes in flight that
//! there are, at least 99 in 100 signed requests are served. The limits are the default ones, scaled down.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::harness::{Attack, Client, Daemon, SECRET, Setup, body, signature, wait_for};

/// Least number of signed requests beside each attack.
const REQUESTS_MIN: usize = 100;
/// How long each attack lasts at least. It takes a moment until attackers hold everything that they can.
const ATTACK_MIN: Duration = Duration::from_secs(3);

const SECOND: Duration = Duration::from_secs(1);

/// How the sender behaves on each connection.
#[derive(Clone, Copy, Default)]
struct Sender {
    /// Waits before its request until so many connections of attackers have followed its own.
    followers: usize,
    /// Waits before its head, within it and before its body.
    latency: Duration,
}

fn setup(server: &str) -> Setup {
    Daemon::new().source("sqreen", SECRET).log("audit-log").server(server)
}

/// The head of a request whose signature is well formed, and wrong.
fn head(lines: &str) -> String {
    let forged = "0".repeat(64);
    format!("POST /sqreen HTTP/1.1\r\nhost: h\r\nx-sqreen-integrity: {forged}\r\n{lines}\r\n\r\n")
}

/// The beginning of a long body.
fn body_of(bytes: usize) -> String {
    head("content-length: 60000") + &" ".repeat(bytes)
}

fn attack(attackers: usize, begin: String, piece: &'static str) -> Attack {
    Attack { attackers, addresses: 1, begin, piece, every: SECOND }
}

/// Posts signed requests beside the attack, each on a connection that begins with `first`, with these lines in its head.
#[track_caller]
fn others_are_served(name: &str, server: &str, attack: &Attack, first: &str, lines: &str) {
    sender_is_served(Sender::default(), name, server, attack, first, lines);
}

#[track_caller]
fn sender_is_served(
    Sender { followers, latency }: Sender,
    name: &str,
    server: &str,
    attack: &Attack,
    first: &str,
    lines: &str,
) {
    let daemon = setup(server).start();
    let attackers = attack.start(daemon.address());
    // A body that follows later has time only once the attackers are known by having come back.
    let later = lines.contains("expect");
    if later || followers > 0 {
        let known = 10 * attack.attackers;
        wait_for("the attackers to come back", || (attackers.opened() >= known).then_some(()));
    }
    let mut served = Vec::new();
    let mut statuses = BTreeMap::<String, usize>::new();
    let (began, mut sent) = (Instant::now(), 0);
    while sent < REQUESTS_MIN || began.elapsed() < ATTACK_MIN {
        let id = format!("{name} {sent}");
        sent += 1;
        let body = body(&[&id]);
        let signature = signature(SECRET, &body);
        let length = body.len();
        let head = format!(
            "{first}POST /sqreen HTTP/1.1\r\nhost: h\r\n{lines}x-sqreen-integrity: {signature}\r\n\
             content-length: {length}\r\n\r\n"
        );
        let answer = Client::connect(daemon.address()).and_then(|mut client| {
            let opened = attackers.opened();
            wait_for("attackers that follow", || {
                (attackers.opened() >= opened + followers).then_some(())
            });
            if later {
                client.write(head.as_bytes())?;
                assert_eq!(client.answer()?.status, 100);
                client.write(&body)?;
            } else if latency.is_zero() {
                client.write(&[head.as_bytes(), &body].concat())?;
            } else {
                let (begin, end) = head.as_bytes().split_at(head.len() / 2);
                for part in [begin, end, &body] {
                    std::thread::sleep(latency);
                    client.write(part)?;
                }
            }
            client.answer()
        });
        let status = answer.map_or_else(|error| error.kind().to_string(), |a| a.status.to_string());
        if status == "200" {
            served.push(id);
        }
        *statuses.entry(status).or_default() += 1;
    }
    println!("{name}: {statuses:?} beside {} connections", attackers.opened());
    assert!(served.len() * 100 >= sent * 99, "{name}: {statuses:?}");
    drop(attackers);
    daemon.wait_delivered("audit-log", &served);
}

const SMALL: &str = "connections_max = 64\nin_flight_max = \"1MiB\"";

#[test]
fn bodies_that_fill_the_bytes_in_flight_block_no_sender() {
    let attack = attack(268, body_of(3_912), " ");
    others_are_served("268 slow bodies", "in_flight_max = \"1MiB\"", &attack, "", "");
}

#[test]
fn slow_heads_that_take_every_connection_block_no_sender() {
    let attack = attack(160, "POST /sqreen HTTP/1.1\r\nx-long: ".to_owned(), "x");
    others_are_served("160 slow heads", "connections_max = 64", &attack, "", "");
    let many = Attack { addresses: 160, ..attack };
    others_are_served("160 slow heads of as many addresses", "connections_max = 64", &many, "", "");
}

#[test]
fn a_sender_that_connects_before_many_slow_heads_is_served() {
    for (name, addresses) in [("one address", 1), ("many addresses", 160)] {
        let begin = "POST /sqreen HTTP/1.1\r\nx-long: ".to_owned();
        let attack = Attack { addresses, ..attack(160, begin, "x") };
        let sender = Sender { followers: 100, ..Sender::default() };
        sender_is_served(sender, name, "connections_max = 64", &attack, "", "");
    }
}

#[test]
fn slow_bodies_that_take_every_connection_block_no_sender() {
    let slow = attack(160, body_of(0), " ");
    others_are_served("160 slow bodies", "connections_max = 64", &slow, "", "");
    let many = Attack { addresses: 160, ..slow };
    others_are_served("160 slow bodies of as many addresses", SMALL, &many, "", "");
    let slow = attack(300, body_of(1_000), " ");
    others_are_served("300 slow bodies", "connections_max = 100", &slow, "", "");
}

#[test]
fn a_sender_whose_body_follows_later_is_not_blocked_either() {
    let waits = "expect: 100-continue\r\n";
    for begin in ["POST /sqreen HTTP/1.1\r\nx-long: ".to_owned(), body_of(4_000)] {
        let slow = Attack { addresses: 160, ..attack(160, begin, " ") };
        others_are_served("expect", SMALL, &slow, "", waits);
    }
}

#[test]
fn requests_that_are_refused_for_their_head_block_no_sender() {
    // Two hosts, and a body that never ends.
    let begin = body_of(4_000).replacen("host: h", "host: h\r\nhost: i", 1);
    others_are_served("two hosts", SMALL, &attack(160, begin, " "), "", "");
    let unknown = body_of(4_000).replacen("/sqreen", "/unknown", 1);
    others_are_served("unknown path", SMALL, &attack(160, unknown, " "), "", "");
}

#[test]
fn bodies_of_every_shape_block_no_sender() {
    let chunked = head("transfer-encoding: chunked");
    let expect = head("content-length: 60000\r\nexpect: 100-continue");
    for (name, begin, piece) in [
        ("announced and never sent", body_of(0), ""),
        ("a long part and no end", body_of(59_000), ""),
        ("chunks without end", chunked.clone(), "1\r\nx\r\n"),
        ("a chunk without end", chunked + "ea60\r\n", "x"),
        ("waiting for 100 Continue", expect.clone(), ""),
        ("slow after 100 Continue", expect, "x"),
    ] {
        others_are_served(name, SMALL, &attack(160, begin, piece), "", "");
    }
}

#[test]
fn bodies_just_above_the_least_rate_block_no_sender() {
    const PIECE: &str = concat!(
        "                                                            ",
        "                                                            "
    );
    let every = SECOND / 10;
    for (name, addresses) in [("one address", 1), ("many addresses", 160)] {
        let attack = Attack { addresses, every, ..attack(160, body_of(2_000), PIECE) };
        others_are_served(name, SMALL, &attack, "", "");
    }
}

#[test]
fn attackers_behind_a_trusted_proxy_block_no_sender() {
    let trusted = format!("{SMALL}\ntrusted_proxies = \"127.0.0.0/8\"");
    let honest = "x-forwarded-for: 203.0.113.7\r\n";
    for (name, address) in [("one client", "198.51.100.1"), ("many clients", "198.51.100.{n}")] {
        let lines = format!("content-length: 60000\r\nx-forwarded-for: {address}");
        let slow = attack(160, head(&lines) + &" ".repeat(4_000), " ");
        others_are_served(name, &trusted, &slow, "", honest);
    }
    let protocol = format!("{trusted}\nproxy_protocol = true");
    let first = |address: &str| format!("PROXY TCP4 {address} 127.0.0.1 4711 80\r\n");
    let honest = first("203.0.113.7");
    for (name, address) in
        [("PROXY, one client", "198.51.100.1"), ("PROXY, many", "198.51.100.{n}")]
    {
        for begin in ["POST /sqreen HTTP/1.1\r\nx: ".to_owned(), body_of(4_000)] {
            let slow = attack(160, first(address) + &begin, "x");
            others_are_served(name, &protocol, &slow, &honest, "");
        }
    }
}

#[test]
fn a_proxy_that_opens_a_connection_for_each_request_is_served_even_if_it_is_not_quick() {
    let sender = Sender { latency: Duration::from_millis(20), ..Sender::default() };
    let trusted = "connections_max = 64\ntrusted_proxies = \"127.0.0.0/8\"";
    let forwarded = "x-forwarded-for: 198.51.100.{n}";
    for begin in [
        head(&format!("content-length: 60000\r\n{forwarded}")),
        format!("POST /sqreen HTTP/1.1\r\n{forwarded}\r\nx: "),
    ] {
        let slow = attack(160, begin, "x");
        let honest = "x-forwarded-for: 203.0.113.7\r\n";
        sender_is_served(sender, "new connections", trusted, &slow, "", honest);
    }
    let protocol = format!("{trusted}\nproxy_protocol = true");
    let first = |address: &str| format!("PROXY TCP4 {address} 127.0.0.1 4711 80\r\n");
    let slow = attack(160, first("198.51.100.{n}") + &body_of(0), "x");
    let honest = first("203.0.113.7");
    sender_is_served(sender, "PROXY, new connections", &protocol, &slow, &honest, "");
}

#[test]
fn a_sender_with_some_latency_shares_its_address_with_attackers_and_is_served() {
    let sender = Sender { latency: Duration::from_millis(20), ..Sender::default() };
    for begin in ["POST /sqreen HTTP/1.1\r\nx-long: ".to_owned(), body_of(0)] {
        let lines = "x-forwarded-for: 203.0.113.7\r\n";
        let slow = Attack { addresses: 1, ..attack(160, begin, "x") };
        sender_is_served(sender, "shared address", "connections_max = 64", &slow, "", lines);
    }
}

#[test]
fn attackers_at_the_senders_own_address_behind_an_untrusted_proxy_block_no_sender() {
    let lines = "content-length: 60000\r\nx-forwarded-for: 198.51.100.{n}";
    let slow = attack(160, head(lines) + &" ".repeat(4_000), " ");
    others_are_served("untrusted", SMALL, &slow, "", "x-forwarded-for: 203.0.113.7\r\n");
}
