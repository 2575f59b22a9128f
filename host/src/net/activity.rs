//! What a connection is doing, since when, and what that means for its timer and for its seat.
//!
//! A seat is one of the open connections that the listener admits. It is **behind** by the time that it has been held
//! without use: since its phase began, or, while a body arrives, by the time that the body is late at [`PACE`].

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::Instant;

use super::requests::Requests;
use super::room::Owner;
use super::settings::Settings;

/// A body that arrives at this pace is never behind, in bytes per second. Only compared while room is short.
const PACE: u64 = 16 * 1024;
/// How far a body can get ahead of its pace, so that one fast part does not excuse a long wait.
const AHEAD_MAX: Duration = Duration::from_millis(100);
/// A body that is later than this has stalled.
const STALL: Duration = Duration::from_millis(250);
/// A body that has not stalled for this long is steady. More than one burst can bridge.
const STEADY_AFTER: Duration = Duration::from_millis(500);
/// How long a head may take before its connection counts as any other, even a trusted proxy's, or one that has brought
/// a stored request.
const HEAD_GRACE: Duration = Duration::from_secs(2);
/// How long a new connection may take for its first head, and again for the body, before it gives way to one like it.
const FIRST_TURN: Duration = Duration::from_millis(300);
/// A request that has not been answered after this time is considered stuck.
const STUCK: Duration = Duration::from_secs(10);

/// The time limits of a connection.
#[derive(Clone, Copy, Debug)]
pub(super) struct Times {
    pub(super) header: Duration,
    pub(super) idle: Duration,
}

impl Times {
    pub(super) const fn of(settings: &Settings) -> Self {
        Self { header: settings.header_timeout, idle: settings.idle_timeout }
    }
}

/// What a connection is doing, and since when. Written by its task only.
#[derive(Debug)]
pub(super) struct Activity {
    pub(super) began: Instant,
    phase: AtomicU8,
    since_ms: AtomicU64,
    /// For how long after `began` the body's bytes so far are enough at [`PACE`], in microseconds.
    enough_us: AtomicU64,
    /// When the body began or last stalled, in microseconds after `began`.
    steady_since_us: AtomicU64,
    /// How many requests the handler was given.
    requests: AtomicU64,
    /// The number of the request whose length is ambiguous; 0 if none is. It is the last one of its connection.
    ambiguous: AtomicU64,
    /// Has brought a request that was verified and stored.
    proven: AtomicBool,
    /// The [`Owner`] that holds the seat.
    owner: AtomicU64,
    /// Is a trusted proxy's own connection at the moment, and brings no client's request.
    of_proxy: AtomicBool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Phase {
    /// Between requests.
    Idle,
    /// A request head has begun.
    Reading,
    /// The handler has the request, and applies its own limits.
    Answering,
    /// The handler waits for the rest of the body, so nothing is verified yet.
    Receiving,
    /// The connection is being closed while the handler waits for the rest of the body.
    Closing,
}

/// Which seats are taken back first when there are too few.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Standing {
    /// Idle, within a head or within a slow body, and nothing is known in its favour.
    Unproven,
    /// Idle after a stored request, or bringing a body at a good pace.
    Proven,
    /// Of a trusted proxy, which waits for requests of its clients.
    OfProxy,
    /// Not answered for a long time.
    Stuck,
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

/// What the timer of a connection means when it fires.
pub(super) enum Due {
    /// Nothing yet: reset it to this moment.
    At(Instant),
    Idle,
    SlowHead,
}

impl Activity {
    pub(super) fn new(owner: Owner) -> Self {
        Self {
            began: Instant::now(),
            // A new connection is expected to send a request. It is idle only after its first answer.
            phase: AtomicU8::new(Phase::Reading as u8),
            since_ms: AtomicU64::new(0),
            enough_us: AtomicU64::new(0),
            steady_since_us: AtomicU64::new(0),
            requests: AtomicU64::new(0),
            ambiguous: AtomicU64::new(0),
            proven: AtomicBool::new(false),
            owner: AtomicU64::new(owner.to_bits()),
            of_proxy: AtomicBool::new(false),
        }
    }

    pub(super) fn owner(&self) -> Owner {
        Owner::from_bits(self.owner.load(Ordering::Relaxed))
    }

    /// Sets for whom the seat is held from now on. `of_proxy`: for a trusted proxy itself.
    pub(super) fn held_for(&self, owner: Owner, of_proxy: bool) {
        self.owner.store(owner.to_bits(), Ordering::Relaxed);
        self.of_proxy.store(of_proxy, Ordering::Relaxed);
    }

    /// Whether it is a trusted proxy's own connection at the moment.
    pub(super) fn is_of_proxy(&self) -> bool {
        self.of_proxy.load(Ordering::Relaxed)
    }

    pub(super) fn prove(&self) {
        self.proven.store(true, Ordering::Relaxed);
    }

    /// Enters a phase now.
    pub(super) fn set(&self, phase: Phase) {
        let since_ms = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.since_ms.store(since_ms, Ordering::Relaxed);
        self.enter(phase);
    }

    /// Begins to wait for the rest of a body.
    pub(super) fn receive(&self) {
        let now_us = self.us_at(Instant::now());
        self.enough_us.store(now_us, Ordering::Relaxed);
        self.steady_since_us.store(now_us, Ordering::Relaxed);
        self.set(Phase::Receiving);
    }

    /// The body is whole. `false`: too late, because its connection is being closed to make room.
    pub(super) fn body_is_whole(&self) -> bool {
        let since_ms = self.us_at(Instant::now()) / 1_000;
        self.since_ms.store(since_ms, Ordering::Relaxed);
        self.leave_receiving(Phase::Answering)
    }

    /// Whether the connection may still be closed. If its body became whole meanwhile, it may not; otherwise its body
    /// cannot become whole any more.
    pub(super) fn close(&self, now: Instant) -> bool {
        if self.is(Phase::Receiving) && self.leave_receiving(Phase::Closing) {
            return true;
        }
        self.standing(now).is_some()
    }

    /// Whether the connection is so new that its first request may be under way.
    pub(super) fn is_new(&self, now: Instant) -> bool {
        !self.is(Phase::Idle)
            && now.saturating_duration_since(self.since()) < FIRST_TURN
            && now.saturating_duration_since(self.began) < 2 * FIRST_TURN
    }

    fn leave_receiving(&self, next: Phase) -> bool {
        let (from, to) = (Phase::Receiving as u8, next as u8);
        self.phase.compare_exchange(from, to, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }

    /// Notes a part of a body.
    pub(super) fn progress(&self, bytes: usize) {
        let worth_us = (bytes as u64).saturating_mul(1_000_000) / PACE;
        let enough_us = self.enough_us.load(Ordering::Relaxed);
        let now = Instant::now();
        if self.us_at(now) > enough_us.saturating_add(micros(STALL)) {
            self.steady_since_us.store(self.us_at(now), Ordering::Relaxed);
        }
        let enough_us = enough_us.saturating_add(worth_us).min(self.us_at(now + AHEAD_MAX));
        self.enough_us.store(enough_us, Ordering::Relaxed);
    }

    fn us_at(&self, at: Instant) -> u64 {
        micros(at.saturating_duration_since(self.began))
    }

    /// Whether a body arrives, and has kept its pace for a while.
    pub(super) fn is_steady(&self, now: Instant) -> bool {
        let now_us = self.us_at(now);
        let stalled_us = self.enough_us.load(Ordering::Relaxed).saturating_add(micros(STALL));
        let since_us = self.steady_since_us.load(Ordering::Relaxed);
        self.is(Phase::Receiving)
            && now_us <= stalled_us
            && now_us >= since_us.saturating_add(micros(STEADY_AFTER))
    }

    /// By how much the seat is behind at `now`. A body that has just begun is as old as it is,
    /// whatever has arrived of it: otherwise its first bytes would put it before a head that has just begun.
    pub(super) fn seat_behind_ms(&self, now: Instant) -> i64 {
        let age_ms =
            (self.us_at(now) / 1_000).saturating_sub(self.since_ms.load(Ordering::Relaxed));
        let begun = u128::from(age_ms) < HEAD_GRACE.as_millis();
        if begun { age_ms.cast_signed().max(1) } else { self.behind_ms(now) }
    }

    /// By how much a body is behind its pace at `now`, or for how long its connection has been in another phase.
    /// Negative: ahead.
    pub(super) fn behind_ms(&self, now: Instant) -> i64 {
        let until_ms = if self.is(Phase::Receiving) {
            self.enough_us.load(Ordering::Relaxed) / 1_000
        } else {
            self.since_ms.load(Ordering::Relaxed)
        };
        let (now_ms, until_ms) = (self.us_at(now) / 1_000, until_ms);
        now_ms.cast_signed().saturating_sub(until_ms.cast_signed())
    }

    /// Where the seat stands among those that may be taken back. `None`: it is in use.
    pub(super) fn standing(&self, now: Instant) -> Option<Standing> {
        let behind_ms = self.seat_behind_ms(now);
        let behind = |time: Duration| i128::from(behind_ms) >= time.as_millis().cast_signed();
        let proven = self.proven.load(Ordering::Relaxed);
        Some(match self.phase.load(Ordering::Relaxed) {
            phase if phase == Phase::Answering as u8 => {
                return behind(STUCK).then_some(Standing::Stuck);
            }
            phase if phase == Phase::Receiving as u8 => {
                if behind_ms <= 0 || self.is_steady(now) {
                    Standing::Proven
                } else {
                    Standing::Unproven
                }
            }
            phase if phase != Phase::Idle as u8 && behind(HEAD_GRACE) => Standing::Unproven,
            _ if self.is_of_proxy() => Standing::OfProxy,
            _ if proven => Standing::Proven,
            _ => Standing::Unproven,
        })
    }

    /// Enters a phase without updating the time.
    pub(super) fn enter(&self, phase: Phase) {
        self.phase.store(phase as u8, Ordering::Relaxed);
    }

    fn is(&self, phase: Phase) -> bool {
        self.phase.load(Ordering::Relaxed) == phase as u8
    }

    pub(super) fn is_receiving(&self) -> bool {
        self.is(Phase::Receiving)
    }

    /// Whether the handler has a request.
    fn answers(&self) -> bool {
        self.phase.load(Ordering::Relaxed) >= Phase::Answering as u8
    }

    /// Counts a request that the handler is given. Whether its head has two lengths, or a length and a transfer
    /// encoding.
    pub(super) fn begins_request(&self) -> bool {
        let number = self.requests.load(Ordering::Relaxed) + 1;
        self.requests.store(number, Ordering::Relaxed);
        self.ambiguous.load(Ordering::Relaxed) == number
    }

    /// Notes bytes that arrived.
    fn received(&self, bytes: &mut [u8], requests: &mut Requests) {
        if self.is(Phase::Idle) {
            self.set(Phase::Reading);
        }
        if let Some(number) = requests.read_and_correct(bytes) {
            self.ambiguous.store(number, Ordering::Relaxed);
        }
    }

    fn since(&self) -> Instant {
        self.began + Duration::from_millis(self.since_ms.load(Ordering::Relaxed))
    }

    /// What the timer means at `now`.
    pub(super) fn due(&self, times: Times, now: Instant) -> Due {
        let since = self.since();
        if self.answers() {
            return Due::At(now + times.header.min(times.idle));
        }
        let (limit, due) = if self.is(Phase::Reading) {
            (times.header, Due::SlowHead)
        } else {
            (times.idle, Due::Idle)
        };
        if now >= since + limit {
            return due;
        }
        // Early enough for a head that begins right now.
        Due::At((since + limit).min(now + times.header))
    }
}

/// A stream that notes when bytes arrive, and follows its requests.
pub(super) struct Watched {
    pub(super) stream: TcpStream,
    activity: Arc<Activity>,
    requests: Requests,
}

impl Watched {
    pub(super) fn new(stream: TcpStream, activity: Arc<Activity>) -> Self {
        Self { stream, activity, requests: Requests::default() }
    }
}

impl AsyncRead for Watched {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let this = &mut *self;
        let read = Pin::new(&mut this.stream).poll_read(cx, buffer);
        if buffer.filled().len() > before {
            this.activity.received(&mut buffer.filled_mut()[before..], &mut this.requests);
        }
        read
    }
}

impl AsyncWrite for Watched {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::advance;

    fn activity() -> Activity {
        Activity::new(Owner::from_bits(7))
    }

    fn standing(activity: &Activity) -> Option<Standing> {
        activity.standing(Instant::now())
    }

    const fn s(count: u64) -> Duration {
        Duration::from_secs(count)
    }

    #[tokio::test(start_paused = true)]
    async fn only_a_stored_request_speaks_for_an_idle_connection() {
        let activity = activity();
        assert_eq!(standing(&activity), Some(Standing::Unproven), "expects its first head");
        activity.enter(Phase::Answering);
        assert_eq!(standing(&activity), None);
        activity.set(Phase::Idle);
        assert_eq!(standing(&activity), Some(Standing::Unproven), "after a refusal");
        activity.prove();
        advance(s(60)).await;
        assert_eq!(standing(&activity), Some(Standing::Proven));
        activity.set(Phase::Reading);
        assert_eq!(standing(&activity), Some(Standing::Proven), "the next head has just begun");
        advance(HEAD_GRACE).await;
        assert_eq!(standing(&activity), Some(Standing::Unproven), "and does not end");
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_is_judged_by_its_pace() {
        let activity = activity();
        activity.prove();
        activity.receive();
        advance(s(1)).await;
        assert_eq!(activity.behind_ms(Instant::now()), 1_000);
        assert_eq!(standing(&activity), Some(Standing::Unproven));
        activity.progress(1 << 30);
        assert_eq!(standing(&activity), Some(Standing::Unproven), "it has just begun");
        assert_eq!(activity.seat_behind_ms(Instant::now()), 1_000);
        advance(s(1)).await;
        activity.progress(1 << 30);
        assert_eq!(standing(&activity), Some(Standing::Proven));
        assert_eq!(activity.behind_ms(Instant::now()), -100, "a burst counts for a moment");
        for _ in 0..100 {
            advance(s(1)).await;
            activity.progress(1);
        }
        // A byte is worth 61 µs.
        assert_eq!(activity.behind_ms(Instant::now()), 99_894);
        activity.set(Phase::Answering);
        assert_eq!(standing(&activity), None, "it is whole");
        advance(STUCK).await;
        assert_eq!(standing(&activity), Some(Standing::Stuck));
    }

    #[tokio::test(start_paused = true)]
    async fn a_steady_body_keeps_its_seat_before_it_is_old_and_a_burst_does_not() {
        for (pieces, expected) in [
            (&[2_000; 6][..], Some(Standing::Proven)),
            (&[60_000, 0, 0, 0, 0, 0], Some(Standing::Unproven)),
            (&[1; 6], Some(Standing::Unproven)),
            (&[60_000, 0, 0, 0, 0, 60_000], Some(Standing::Unproven)),
        ] {
            let activity = activity();
            activity.receive();
            for &bytes in pieces {
                if bytes > 0 {
                    activity.progress(bytes);
                }
                advance(Duration::from_millis(100)).await;
            }
            assert_eq!(standing(&activity), expected, "{pieces:?}");
            advance(s(1)).await;
            assert_eq!(standing(&activity), Some(Standing::Unproven), "stalled");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_becomes_whole_or_its_connection_is_closed_and_never_both() {
        let (whole, closed) = (activity(), activity());
        whole.receive();
        closed.receive();
        advance(s(1)).await;
        assert!(whole.body_is_whole() && !whole.close(Instant::now()));
        assert!(closed.close(Instant::now()) && !closed.body_is_whole());
        advance(STUCK).await;
        assert!(whole.close(Instant::now()), "not answered for long");
    }

    #[tokio::test(start_paused = true)]
    async fn a_proxys_own_connection_is_one_of_the_last_and_its_clients_count_by_themselves() {
        let activity = activity();
        activity.held_for(Owner::from_bits(1), true);
        assert_eq!(standing(&activity), Some(Standing::OfProxy));
        activity.enter(Phase::Answering);
        activity.held_for(Owner::from_bits(2), false);
        activity.receive();
        advance(s(1)).await;
        assert_eq!(
            (standing(&activity), activity.owner().to_bits()),
            (Some(Standing::Unproven), 2)
        );
        activity.held_for(Owner::from_bits(1), true);
        activity.set(Phase::Idle);
        advance(s(60)).await;
        assert_eq!(standing(&activity), Some(Standing::OfProxy));
        activity.set(Phase::Reading);
        advance(HEAD_GRACE).await;
        assert_eq!(standing(&activity), Some(Standing::Unproven), "a proxy sends a head at once");
        let order = [Standing::Unproven, Standing::Proven, Standing::OfProxy, Standing::Stuck];
        assert!(order.is_sorted());
    }
}
