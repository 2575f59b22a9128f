//! Overload: a sender is served, or gets an answer at once that says when to retry. Silent or slow connections do not
//! affect others.

use std::io::Read;
use std::net::{Shutdown, TcpStream};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::harness::{Client, Daemon, SECRET, body, events, post_all, signature, wait_for};

const IDLE: usize = 10_000;
/// Files that this process has open besides its connections.
const FILES_RESERVED: u64 = 1_000;
const SLOW: usize = 200;
/// Bytes that a slow body has left.
const LONG: usize = 60_000;

/// How many connections this process, and a daemon with the same limits, can have open.
fn connections_max(wanted: usize) -> usize {
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }).unwrap();
    let files = limit.maximum.unwrap_or(u64::MAX).saturating_sub(2 * FILES_RESERVED);
    let count = wanted.min(usize::try_from(files).unwrap_or(usize::MAX));
    if count < wanted {
        println!("only {count} of {wanted} connections: the limit of open files is {files}");
    }
    count
}

fn head(length: usize, body: &[u8]) -> String {
    format!(
        "POST /sqreen HTTP/1.1\r\nhost: test\r\nx-sqreen-integrity: {}\r\ncontent-length: {length}\r\n\r\n",
        signature(SECRET, body)
    )
}

/// Posts requests one after another, each on a connection of its own; all must be accepted.
#[track_caller]
fn all_accepted(daemon: &Daemon, name: &str, count: usize) -> Vec<String> {
    let ids = events(name, count);
    for id in &ids {
        assert_eq!(daemon.post(&body(&[id])).status, 200, "{id}");
    }
    ids
}

/// Opens connections that, in turn, send nothing, stop within the head of a request, or stay idle after a request.
fn idle(daemon: &Daemon, count: usize) -> Vec<TcpStream> {
    let open = |index: usize| {
        let stream = TcpStream::connect(daemon.address()).unwrap();
        if !index.is_multiple_of(3) {
            use std::io::Write;
            let whole = b"GET /nothing HTTP/1.1\r\nhost: x\r\n\r\n";
            let part = if index % 3 == 1 { &whole[..20] } else { whole };
            // At its limit the daemon may have closed it already.
            let _ = (&stream).write_all(part);
        }
        stream
    };
    (0..count).map(open).collect()
}

#[test]
fn ten_thousand_idle_connections_block_no_sender() {
    let count = connections_max(IDLE);
    let daemon = Daemon::new()
        .source("sqreen", SECRET)
        .log("audit-log")
        .server("header_timeout = \"5m\"\nidle_timeout = \"5m\"")
        .start();
    let mut idle = idle(&daemon, count);
    let ids = all_accepted(&daemon, "beside", 200);
    daemon.wait_delivered("audit-log", &ids);
    assert!(!daemon.log().contains("connections_max is reached"));
    // All of them are still open, and one that continues is served.
    let mut last = Client::from(idle.swap_remove(2));
    assert_eq!(last.answer().unwrap().status, 404);
    assert_eq!(last.send("GET", "/nothing", &[], b"").unwrap().status, 404);
    println!("{count} idle connections: {} KiB resident", daemon.resident_kib());
}

#[test]
fn more_idle_connections_than_the_limit_block_no_sender() {
    let count = connections_max(IDLE / 4);
    let daemon = Daemon::new()
        .source("sqreen", SECRET)
        .log("audit-log")
        .server("connections_max = 100\nheader_timeout = \"5m\"\nidle_timeout = \"5m\"")
        .start();
    let _idle = idle(&daemon, count);
    let ids = all_accepted(&daemon, "beside", 100);
    daemon.wait_delivered("audit-log", &ids);
    assert_eq!(daemon.log().matches("connections_max is reached").count(), 1);
}

#[test]
fn slow_senders_do_not_affect_others() {
    // Whatever the load of the machine, the senders are slow for as long as the requests beside them take.
    let times = "header_timeout = \"5m\"\nbody_timeout = \"5m\"";
    let daemon = Daemon::new().source("sqreen", SECRET).log("audit-log").server(times).start();
    let (ids, stop, ticks) = (events("slow", SLOW), AtomicBool::new(false), AtomicUsize::new(0));
    let done = std::thread::scope(|scope| {
        let slow = scope.spawn(|| {
            let bytes = |id: &String| {
                let body = [body(&[id]), vec![b' '; LONG]].concat();
                (head(body.len(), &body) + std::str::from_utf8(&body).unwrap()).into_bytes()
            };
            // Half of them are slow within the head, half within the body, which has a least rate.
            let mut senders: Vec<_> = (ids.iter().enumerate())
                .map(|(index, id)| {
                    let (bytes, in_head) = (bytes(id), index % 2 == 0);
                    let (at, step) = if in_head { (10, 1) } else { (bytes.len() - LONG, 1_000) };
                    (daemon.client(), bytes, at, step)
                })
                .collect();
            for (client, bytes, at, _) in &mut senders {
                client.write(&bytes[..*at]).unwrap();
            }
            while !stop.load(Ordering::Relaxed) {
                for (client, bytes, at, step) in &mut senders {
                    let next = (*at + *step).min(bytes.len() - 1);
                    client.write(&bytes[*at..next]).unwrap();
                    *at = next;
                }
                ticks.fetch_add(1, Ordering::Relaxed);
                std::thread::sleep(Duration::from_millis(50));
            }
            for (client, bytes, at, _) in &mut senders {
                client.write(&bytes[*at..]).unwrap();
                assert_eq!(client.answer().unwrap().status, 200);
            }
        });
        wait_for("slow senders", || (ticks.load(Ordering::Relaxed) > 2).then_some(()));
        let done = all_accepted(&daemon, "beside", 200);
        stop.store(true, Ordering::Relaxed);
        slow.join().unwrap();
        done
    });
    daemon.wait_delivered("audit-log", &done);
    daemon.wait_delivered("audit-log", &ids);
}

#[test]
fn senders_that_never_read_responses_do_not_affect_others() {
    let daemon = Daemon::new().source("sqreen", SECRET).log("audit-log").start();
    let request = b"GET /nothing HTTP/1.1\r\nhost: x\r\n\r\n".repeat(2_000);
    let deaf: Vec<TcpStream> = (0..SLOW)
        .map(|_| {
            use std::io::Write;
            let stream = TcpStream::connect(daemon.address()).unwrap();
            stream.set_nonblocking(true).unwrap();
            // As much as the socket accepts.
            let _ = (&stream).write(&request);
            stream
        })
        .collect();
    let ids = all_accepted(&daemon, "beside", 200);
    daemon.wait_delivered("audit-log", &ids);
    drop(deaf);
}

#[test]
fn bodies_that_stop_shortly_before_their_end_make_room_for_whole_requests() {
    let daemon = Daemon::new()
        .source("sqreen", SECRET)
        .log("audit-log")
        .server("in_flight_max = \"16MiB\"\nbody_timeout = \"5m\"")
        .start();
    // Each announces 4 MiB and stops shortly before the end.
    let (part, long) = (vec![b' '; (4 << 20) - 100], vec![b' '; 200 << 10]);
    let mut held: Vec<Client> = Vec::new();
    for _ in 0..16 {
        let mut client = daemon.client();
        client.write(head(4 << 20, b"").as_bytes()).unwrap();
        // Fails if it has given way meanwhile.
        let _ = client.write(&part);
        held.push(client);
        // Was read to its end, where it turned out to be empty.
        assert_eq!(daemon.post(&long).status, 400);
    }
    let ids = all_accepted(&daemon, "short", 50);
    let log = daemon.log();
    let reason = "its room was needed for others (server.in_flight_max)\"";
    assert!(log.matches(reason).count() >= held.len() - 4, "{log}");
    // The first one had waited longest.
    let answer = held[0].answer().unwrap();
    assert_eq!((answer.status, answer.header("retry-after")), (408, Some("5")));
    assert!(answer.json()["error"].as_str().unwrap().contains("try again later"), "{answer:?}");
    drop(held);
    daemon.wait_delivered("audit-log", &ids);
}

#[test]
fn a_body_that_arrives_too_slowly_gets_a_408_that_names_the_least_rate() {
    let daemon = Daemon::new().source("sqreen", SECRET).log("audit-log").start();
    let mut slow = daemon.client();
    slow.write((head(1_000, b"") + "[").as_bytes()).unwrap();
    let answer = slow.answer().unwrap();
    assert_eq!((answer.status, answer.header("connection")), (408, Some("close")), "{answer:?}");
    let error = "the body arrived too slowly: at least 1024 bytes per second are required";
    assert_eq!(answer.json()["error"], error);
    let expected = "at less than 1024 bytes per second on average (server.body_rate_min)";
    wait_for("the log", || daemon.log().contains(expected).then_some(()));
}

#[test]
fn a_new_connection_takes_the_place_of_one_slow_body_and_every_accepted_event_is_delivered() {
    let daemon = Daemon::new()
        .source("sqreen", SECRET)
        .log("audit-log")
        .server("connections_max = 8\nbody_timeout = \"5m\"\nbody_rate_min = \"0B\"")
        .start();
    let ids = events("half", 8);
    let bodies: Vec<_> = ids.iter().map(|id| body(&[id])).collect();
    let mut busy: Vec<Client> = bodies
        .iter()
        .map(|body| {
            let mut client = daemon.client();
            let head = head(body.len(), body);
            let head = head.trim_end().to_owned() + "\r\nexpect: 100-continue\r\n\r\n";
            client.write(head.as_bytes()).unwrap();
            // From here on the request is being handled.
            assert_eq!(client.answer().unwrap().status, 100);
            client.write(&body[..10]).unwrap();
            client
        })
        .collect();
    let new = all_accepted(&daemon, "new", 1);
    let end = |(client, body): (&mut Client, &Vec<u8>)| {
        client.write(&body[10..]).and_then(|()| client.answer()).map(|answer| answer.status)
    };
    let ended: Vec<_> = busy.iter_mut().zip(&bodies).map(end).collect();
    let served = ended.iter().map(|status| status.as_ref().is_ok_and(|status| *status == 200));
    let served: Vec<String> =
        ids.iter().zip(served).filter(|(_, served)| *served).map(|(id, _)| id.clone()).collect();
    assert_eq!(served.len(), 7, "{ended:?}");
    drop(busy);
    // Far more senders than connections: each request is either refused with 503, or acknowledged and delivered.
    let many = events("flood", 2_000);
    let posted = post_all(daemon.address(), &many, 5, 64, &AtomicUsize::new(0));
    assert!(posted.refused.keys().all(|status| *status == 503), "{:?}", posted.refused);
    let refused: usize = posted.refused.values().sum();
    let output = daemon.command(&["status", "--json"]).output().unwrap();
    let status: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let counted = status["overload"]["connections"].as_u64().unwrap_or_default();
    assert!(counted >= refused as u64, "{refused}: {status}");
    assert_eq!(output.status.success(), counted == 0, "{status}");
    daemon.wait_delivered("audit-log", &new);
    daemon.wait_delivered("audit-log", &served);
    daemon.wait_delivered("audit-log", &posted.acknowledged);
    assert!(!posted.acknowledged.is_empty());
}

/// Removes the colour codes from text for a terminal.
fn without_colours(text: &str) -> String {
    let mut parts = text.split('\u{1b}');
    let first = parts.next().unwrap_or_default().to_owned();
    let rest = |part: &str| {
        part.split_once(|c: char| c.is_ascii_alphabetic())
            .map_or(String::new(), |(_, text)| text.to_owned())
    };
    parts.fold(first, |all, part| all + &rest(part))
}

#[test]
fn slowhttptest_in_all_its_modes_blocks_no_sender() {
    let program = "slowhttptest";
    if Command::new(program).arg("-h").stdout(Stdio::null()).status().is_err() {
        return println!("skipped: {program} is not installed");
    }
    let daemon = Daemon::new().source("sqreen", SECRET).log("audit-log").start();
    let url = format!("http://{}/sqreen", daemon.address());
    for (mode, verb) in [("-H", "GET"), ("-B", "POST"), ("-X", "GET"), ("-R", "GET")] {
        let mut attack = Command::new(program)
            .args([mode, "-c", "1000", "-r", "500", "-i", "1", "-l", "6", "-p", "3", "-t", verb])
            .args(["-u", &url])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut ids = Vec::new();
        while attack.try_wait().unwrap().is_none() {
            let name = format!("beside {mode} {}", ids.len());
            ids.extend(all_accepted(&daemon, &name, 10));
        }
        let mut printed = String::new();
        attack.stdout.take().unwrap().read_to_string(&mut printed).unwrap();
        let printed = without_colours(&printed);
        assert!(printed.contains("service available:   YES"), "{mode}\n{printed}");
        assert!(!printed.contains("service available:   NO"), "{mode}\n{printed}");
        println!("{mode}: {} requests beside it\n{printed}", ids.len());
        daemon.wait_delivered("audit-log", &ids);
    }
}

#[test]
fn senders_that_vanish_half_way_leave_nothing_behind() {
    let daemon = Daemon::new()
        .source("sqreen", SECRET)
        .log("audit-log")
        .server("header_timeout = \"1s\"\nbody_timeout = \"1s\"\nidle_timeout = \"1s\"")
        .start();
    let before = daemon.open_files();
    let mut halves = Vec::new();
    for index in 0..SLOW {
        let stream = TcpStream::connect(daemon.address()).unwrap();
        {
            use std::io::Write;
            let text = head(1_000, b"") + "[";
            (&stream).write_all(&text.as_bytes()[..text.len() - index % 2 * 20]).unwrap();
        }
        // It sends nothing more, and no packet shows that it is gone.
        if index % 4 == 0 {
            stream.shutdown(Shutdown::Read).unwrap();
        }
        halves.push(stream);
    }
    let ids = all_accepted(&daemon, "beside", 50);
    wait_for("their connections to be closed", || {
        (daemon.open_files() <= before + 2).then_some(())
    });
    daemon.wait_delivered("audit-log", &ids);
    drop(halves);
}
