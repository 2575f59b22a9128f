//! What was refused: a sender's request by the daemon, or a request on the admin socket.

use serde::{Deserialize, Serialize};

/// `GET /refused`: a sender's request that was refused.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Refusal {
    pub time: String,
    pub source: String,
    pub from: String,
    pub status: u16,
    pub reason: String,
    pub request: String,
}

/// The body of every error on the admin socket.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ErrorBody {
    pub error: String,
}
