//! Reads `dispatcher.toml`. The only module that knows TOML; it fills in the settings of every other module.
//!
//! - One run finds every problem. A configuration with an error is rejected as a whole.
//! - Secrets are references. No message and no `Debug` output contains one.
//! - It reads only the configuration file, `conf.d/*.toml` and `dispatcher.env` beside it, and the files that
//!   references name. It writes nothing.
//!
//! Limits: [`CONFIG_BYTES_MAX`] bytes for all files together. The limits of each setting are next to the code
//! that reads it.

mod addition;
mod configuration;
mod document;
mod environment;
mod files;
mod home;
mod limits;
mod load;
mod masks;
mod names;
mod naming;
mod owners;
mod problem;
mod problems;
mod questions;
mod reader;
mod reference;
mod regular_file;
mod retry;
mod route;
mod saved;
mod schemes;
mod senders;
mod server;
mod settings;
mod sources;
mod target;
mod targets;
#[cfg(test)]
mod tests;
mod tokens;
mod units;
pub mod vendors;

pub use addition::{CannotAdd, addition};
pub use configuration::Config;
pub use document::{Document, Position};
pub use environment::{ENV_FILE, ENV_FILE_BYTES_MAX, Environment};
pub use files::{CONFIG_BYTES_MAX, MORE_FILES_MAX, MORE_FOLDER, configuration_files, file_with};
pub use home::{HomeError, home};
pub use load::{folder, load, load_again, load_to_start, load_with};
pub use names::{list, near};
pub use naming::NAME_BYTES_MAX;
pub use problem::{Kind, Place, Problem};
pub use problems::{PROBLEMS_SHOWN_MAX, Problems};
pub use reference::{InvalidSecret, resolve};
pub use saved::read_saved;
pub use server::default_plugins;
pub use settings::PluginSettings;
pub use target::TargetConfig;
pub use units::{show_duration, show_rate};
