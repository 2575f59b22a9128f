//! The scheme and the secret of the requests that these commands send.

use std::io;

use crate::config;
use crate::verify::Scheme;

/// A random secret.
///
/// # Errors
/// The system has no randomness.
pub fn generated_secret() -> io::Result<String> {
    let mut bytes = [0u8; 32];
    getrandom::fill(&mut bytes).map_err(|error| io::Error::other(error.to_string()))?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// The scheme that all of them are signed with.
///
/// # Errors
/// This build has no scheme `sqreen`.
pub fn sqreen() -> io::Result<&'static Scheme> {
    config::vendors::scheme("sqreen")
        .map(|scheme| &**scheme)
        .ok_or_else(|| io::Error::other("unknown scheme `sqreen`"))
}
