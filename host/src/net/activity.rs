//! What a connection is doing, since when, and what that means for its timer.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::Instant;

use super::framing::HeadLines;
use super::settings::Settings;

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
pub(super) struct Activity {
    pub(super) began: Instant,
    phase: AtomicU8,
    since_ms: AtomicU64,
    two_lengths: AtomicBool,
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
}

/// What the timer of a connection means when it fires.
pub(super) enum Due {
    /// Nothing yet: reset it to this moment.
    At(Instant),
    Idle,
    SlowHead,
}

impl Activity {
    pub(super) fn new() -> Self {
        Self {
            began: Instant::now(),
            // A new connection is expected to send a request. It is idle only after its first answer.
            phase: AtomicU8::new(Phase::Reading as u8),
            since_ms: AtomicU64::new(0),
            two_lengths: AtomicBool::new(false),
        }
    }

    /// Enters a phase now.
    pub(super) fn set(&self, phase: Phase) {
        let since_ms = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.since_ms.store(since_ms, Ordering::Relaxed);
        self.enter(phase);
    }

    /// Enters a phase without updating the time.
    pub(super) fn enter(&self, phase: Phase) {
        self.phase.store(phase as u8, Ordering::Relaxed);
    }

    fn is(&self, phase: Phase) -> bool {
        self.phase.load(Ordering::Relaxed) == phase as u8
    }

    /// Whether a head had both a length and a transfer encoding. It is the last one of its connection.
    pub(super) fn has_two_lengths(&self) -> bool {
        self.two_lengths.load(Ordering::Relaxed)
    }

    /// Notes bytes that arrived. `head`: what has arrived of the current head.
    fn received(&self, bytes: &[u8], head: &mut HeadLines) {
        if self.is(Phase::Answering) {
            return;
        }
        if self.is(Phase::Idle) {
            self.set(Phase::Reading);
            *head = HeadLines::default();
        }
        head.read(bytes);
        if head.has_two_lengths() {
            self.two_lengths.store(true, Ordering::Relaxed);
        }
    }

    /// Since when the connection has been waiting for a request. With `stuck`, since when it has been in its phase, if
    /// that is longer than `stuck`.
    pub(super) fn waits_since(&self, now: Instant, stuck: Option<Duration>) -> Option<Instant> {
        let since = self.since();
        let waits = match stuck {
            None => !self.is(Phase::Answering),
            Some(stuck) => now >= since + stuck,
        };
        waits.then_some(since)
    }

    fn since(&self) -> Instant {
        self.began + Duration::from_millis(self.since_ms.load(Ordering::Relaxed))
    }

    /// What the timer means at `now`.
    pub(super) fn due(&self, times: Times, now: Instant) -> Due {
        let since = self.since();
        if self.is(Phase::Answering) {
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

/// A stream that notes when bytes arrive, and what the lines of a head are.
pub(super) struct Watched {
    pub(super) stream: TcpStream,
    activity: Arc<Activity>,
    head: HeadLines,
}

impl Watched {
    pub(super) fn new(stream: TcpStream, activity: Arc<Activity>) -> Self {
        Self { stream, activity, head: HeadLines::default() }
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
            this.activity.received(&buffer.filled()[before..], &mut this.head);
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
