//! Receives a request: finds its source, applies the limits, verifies it, reads its events, plans their targets,
//! stores them and answers.
//!
//! A 2xx is built from the proof that the events are durable, and events only from a verified request. A refused
//! request costs no disk space, and no more memory than its limit. Its answer says what the sender can change,
//! but not which check of a signature failed, and nothing about the inside of the daemon.
//!
//! Limits: the length of a body per source, the time for a body, and the bytes of all bodies together
//! ([`Settings::bytes_in_flight_max`]). Bytes count as they arrive, so announcing a long body reserves nothing. Those of
//! a body that has not arrived whole give way to others when room is short, see `budget`.
//!
//! | answer | when |
//! |---|---|
//! | 200 | the events are on disk, or were before; or the request is a handshake, which is answered |
//! | 400 | verified, but the body cannot be read (not JSON, a form or multipart, for most senders), or is nested too deeply |
//! | 401 | the signature is missing, malformed or wrong; before the body is read if the headers show it |
//! | 403 | the sender's address is not in `allow` of the source; before the body is read |
//! | 404, 405 | no source has this path; the scheme does not use this method |
//! | 408 | the body took too long, or gave way to others because it arrived slowly |
//! | 413 | the body is too long, as sent or decompressed, has too many events, or does not fit into a segment |
//! | 415 | the content encoding is not supported |
//! | 429 | above the source's rate limit; with `Retry-After` |
//! | 503 | too many bytes in flight, storing failed, the source has no secret or not the published key to verify with, or no source has this path while the configuration changes or just after; with `Retry-After` |

mod answer;
mod body;
mod budget;
mod change;
mod decode;
mod handler;
mod handshake;
mod limits;
mod rate;
mod refusal;
mod report;
mod rules;
mod settings;
#[cfg(test)]
mod tests;

pub use change::ChangeUnderWay;
pub use decode::{DecodeError, decoded};
pub use handler::Ingest;
pub use rate::{RATES_MAX, Rate};
pub use settings::{
    BODY_BYTES_MAX, BYTES_IN_FLIGHT_MAX, BodyTime, HEALTH_PATH, InForce, Repeat, Settings,
    SourceSettings, same_path,
};
