//! What `demo`, `selftest` and the program `dispatcher-bench` share: a daemon in a child process, a scratch
//! folder for it, and signed requests.

mod child;
mod daemon;
mod exchange;
mod scratch;
mod signing;

pub use child::{Launched, Server};
pub use daemon::DaemonFolder;
pub use exchange::{Answer, exchange};
pub use scratch::Scratch;
pub use signing::{generated_secret, sqreen};

pub use crate::admin::wire::Status;
