//! The dispatcher daemon as a library, for its program, for `dispatcher-bench` and for fuzz targets.
//!
//! `ARCHITECTURE.md` describes the layers and what each may name; `tests/tidy/layers.rs` checks the imports.
//! In a private module the compiler finds dead code; make one public only if a program needs it.

#![expect(unreachable_pub, reason = "`pub` says what a private module offers to the others")]

mod admin;
mod app;
pub mod cli;
pub mod config;
mod deliver;
mod egress;
pub mod ingest;
pub mod net;
pub mod normalize;
mod plugin;
mod retry;
mod route;
mod telemetry;
pub mod verify;

pub use dispatcher_model as model;
use dispatcher_store as store;
