//! When requests are refused and accepted again, on a disk that is full or fails.

use super::*;

#[test]
fn requests_are_accepted_again_without_a_reason_and_the_first_reason_is_reported() {
    let room = Room::new(&Settings::new("x"));
    assert!(room.admit(false).is_ok());
    room.close(Why::Quota, "quota".into());
    room.close(Why::Floor, "floor".into());
    for (gone, left) in [(Why::Floor, Some("floor")), (Why::Quota, Some("quota"))] {
        assert_eq!(room.why().as_deref(), left);
        let refused = room.admit(false).unwrap_err();
        assert!(matches!(refused, AppendError::Full { reason } if Some(&*reason) == left));
        room.open(gone);
    }
    assert_eq!((room.why(), room.refused()), (None, 2));
    assert!(room.admit(false).is_ok());
}

#[test]
fn a_reason_that_comes_and_goes_gets_ever_fewer_lines() {
    let room = Room::new(&Settings::new("x"));
    let mut lines = 0;
    for _ in 0..4_000 {
        room.disk_failed("no");
        lines += u32::from(lock(&room.state).outage.has_line);
        room.disk_wrote();
    }
    assert_eq!(lines, 12);
    let (mut shown, now) = (Shown::default(), Instant::now());
    let found = [0, 1, 2, 3, 700].map(|s| shown.again(now + Duration::from_secs(s)));
    assert_eq!(found, [Some(1), Some(2), None, Some(4), Some(1)]);
}

/// Whatever lifts last: the end has a line exactly if the time that ends has one.
#[test]
fn requests_that_are_refused_for_a_minute_get_a_line_whatever_the_reason_was_before() {
    let room = Room::new(&Settings::new("x"));
    let has_line = || lock(&room.state).outage.has_line;
    for _ in 0..2 {
        room.disk_failed("no");
        room.disk_wrote();
    }
    room.disk_failed("for the third time");
    assert!(!has_line());
    room.say_what_lasts(Instant::now());
    assert!(!has_line(), "not yet");
    room.say_what_lasts(Instant::now() + Duration::from_secs(61));
    assert!(has_line());
    room.disk_wrote();
    assert!(!has_line());
    room.close(Why::Floor, "floor".into());
    room.close(Why::Failed, "no".into());
    room.close(Why::Quota, "quota".into());
    room.open(Why::Quota);
    room.open(Why::Floor);
    assert!(has_line() && room.why().is_some(), "of a reason that is gone");
    room.disk_wrote();
    assert!(!has_line() && room.why().is_none());
}

#[test]
fn a_disk_that_refuses_soon_again_is_tried_less_often() {
    let room = Room::new(&Settings::new("x"));
    let mut waits = Vec::new();
    for _ in 0..8 {
        room.disk_refused("no");
        room.disk_refused("no, reported once");
        let mut state = lock(&room.state);
        waits.push(state.retry.unwrap().1);
        state.opened = Some(Instant::now());
        room.set(&mut state, Why::Disk, None);
    }
    assert_eq!(waits, [1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000, 30_000]);
}

#[test]
fn a_few_of_the_daemons_own_events_are_accepted() {
    let room = Room::new(&Settings::new("x"));
    for _ in 0..2 {
        room.close(Why::Floor, "floor".into());
        for _ in 0..OWN_EVENTS_MAX {
            assert!(room.admit(true).is_ok());
        }
        assert!(room.admit(true).is_err());
        room.open(Why::Floor);
    }
}
