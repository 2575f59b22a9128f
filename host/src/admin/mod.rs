//! The admin socket: how people look at the running daemon and change it. HTTP/1.1 on a Unix socket
//! that only its owner can open.
//!
//! Limits: [`CONNECTIONS_MAX`] connections at once, [`CONNECTIONS_PER_PEER_MAX`] of a process; beyond that an older
//! one that runs no command gives way, and the last [`COMMANDS_RESERVED`] commands at once are for processes that run
//! none. A whole answer is read within [`ANSWER_TIMEOUT`]. A body of [`BODY_BYTES_MAX`] within [`BODY_TIMEOUT`]; [`IDS_MAX`] ids in a
//! request; [`PAGE_MAX`] dead letters or events in a page; [`SEARCH_BYTES_MAX`] of the log read for it; [`DATA_BYTES_MAX`] of an event's data; [`COUNTERS_MAX`] counters of a
//! target; [`TAIL_BYTES_MAX`] of lines that wait for a slow reader of `tail`, which then misses some.
//!
//! | request | answer |
//! |---|---|
//! | `GET /status` | [`wire::Status`] |
//! | `GET /tail?last=` | the [`wire::TailLine`]s of what happened last, at most [`LAST_MAX`], then others until the client leaves |
//! | `GET /refused?source=` | [`wire::Refusal`]s, the newest last |
//! | `GET /explain?id=&data=1` | [`wire::Explained`] |
//! | `GET /events?source=&type=&severity=&target=&state=&since_ms=&text=&before=&max=` | [`wire::EventPage`] |
//! | `GET /data?id=` | the data of an event, as it was sent |
//! | `GET /dead?target=&max=` | [`wire::DeadPage`] |
//! | `POST /dead/replay`, `POST /dead/drop` | [`wire::Selection`] → [`wire::Count`] |
//! | `POST /drop` | [`wire::Selection`] → [`wire::Count`], of deliveries that wait |
//! | `POST /move` | [`wire::Move`] → [`wire::Count`] |
//! | `POST /retry` | [`wire::Retry`] → [`wire::Count`] |
//! | `POST /reload` | [`wire::Reload`], once the configuration is in force or refused |
//! | `POST /pause`, `POST /resume` | [`wire::Pause`], [`wire::Resume`] → [`wire::Count`] |
//!
//! Every error is a [`wire::ErrorBody`]. A `GET` never makes the store write, and never hastens a write.

mod condition;
mod dead;
mod error;
mod events;
mod explain;
mod hold;
mod refused;
mod retry;
mod route;
mod seats;
mod server;
mod socket;
mod socket_file;
mod status;
mod tail;
mod view;
mod waiting;
pub mod wire;

use std::time::Duration;

pub use server::Admin;
pub use socket::check_path;
pub use view::{Host, SourceView, Standing, TargetView, View, standing};

/// The socket's name in the home.
pub const SOCKET: &str = "admin.sock";
/// Most connections at once.
pub const CONNECTIONS_MAX: usize = 128;
/// Most connections of one process at once.
pub const CONNECTIONS_PER_PEER_MAX: usize = 64;
/// Of so many connections, commands at once that only processes which run none yet may begin.
pub const COMMANDS_RESERVED: usize = 32;
/// Time for a client to read a whole answer; a `tail` has no end.
pub const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);
/// Longest body: room for [`IDS_MAX`] ids.
pub const BODY_BYTES_MAX: usize = 64 * 1024;
/// Time for a body.
pub const BODY_TIMEOUT: Duration = Duration::from_secs(10);
/// Most ids in one request.
pub const IDS_MAX: usize = 1_000;
/// Most dead letters or events in one answer.
pub const PAGE_MAX: usize = 1_000;
/// Most bytes of an event's data in an answer.
pub const DATA_BYTES_MAX: usize = 64 * 1024;
/// Most bytes of lines that wait for one slow reader of `tail`; beyond that, lines are skipped and counted.
pub const TAIL_BYTES_MAX: usize = 64 * 1024;
/// Most bytes of the log that are read for one page of events, besides the block that reaches it.
pub const SEARCH_BYTES_MAX: u64 = 256 << 20;
/// Longest text to look for in events.
pub const TEXT_BYTES_MAX: usize = 1_024;
/// Most earlier lines that a `tail` begins with.
pub const LAST_MAX: usize = 100;
/// Most counters of one target in an answer.
pub const COUNTERS_MAX: usize = 32;
