//! The dispatcher daemon as a library; `main.rs` only calls [`cli`].
//!
//! The layers and what each may know stand in `ARCHITECTURE.md`; `tests/tidy.rs` holds the imports to them.

pub mod admin;
pub mod app;
pub mod cli;
pub mod config;
pub mod deliver;
pub mod egress;
pub mod ingest;
pub mod net;
pub mod normalize;
pub mod plugin;
pub mod retry;
pub mod route;
pub mod telemetry;
pub mod verify;

/// For tests of the layers below `config`: the records that it reads from the built-in vendors' files.
#[cfg(test)]
pub(crate) use config::vendors;

pub use dispatcher_model as model;
pub use dispatcher_store as store;
