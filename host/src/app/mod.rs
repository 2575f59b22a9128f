//! The running daemon: wires the parts, starts them, reloads them, stops them in order.
//!
//! | file | what |
//! |---|---|
//! | `daemon` | start and stop of all parts |
//! | `reload`, `reload_report`, `restart` | another configuration without a restart, and what it did |
//! | `prepare`, `recipients`, `plugin_host` | from configured targets to instances of their plugins |
//! | `wiring`, `recipe` | numbers, routes, and which targets a reload replaces |
//! | `check`, `plugin_files`, `trial` | plugins and settings without a daemon |
//! | `own_files`, `writable` | what is wrong with the files that targets write |
//! | `monitor`, `free_space`, `silent_sources`, `silence_file`, `last_events` | alarms that no request and no delivery raises |
//! | `own_events` | alarms become events |
//! | `limits` | limits of the process |

mod check;
mod daemon;
mod error;
mod free_space;
mod last_events;
mod left_behind;
mod limits;
mod monitor;
mod own_events;
mod own_files;
mod plugin_files;
mod plugin_host;
mod prepare;
mod recipe;
mod recipients;
mod reload;
mod reload_report;
mod restart;
mod silence_file;
mod silent_sources;
mod trial;
mod wiring;
mod writable;

pub use check::check;
pub use daemon::App;
pub use error::{AppError, TrialError};
pub use plugin_files::{Listed, plugin_file, plugins};
pub use reload::Reloader;
pub use restart::restart_keys;
pub use trial::{Attempt, Probe, attempt, connect};
