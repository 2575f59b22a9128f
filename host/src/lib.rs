//! The dispatcher daemon as a library; `main.rs` only calls [`cli`].
//!
//! `ARCHITECTURE.md` lists the layers and what each may name; `tests/tidy/layers.rs` checks the imports.

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

pub use dispatcher_model as model;
pub use dispatcher_store as store;
