//! How the program ends. The codes are part of its interface: scripts and service managers read them.

/// Success.
pub const OK: u8 = 0;
/// Problems were found, or the command failed.
pub const PROBLEMS: u8 = 1;
/// The command line was wrong.
pub const USAGE: u8 = 2;
/// `run` with a wrong configuration (`EX_CONFIG`): trying again is useless until a person fixes it.
pub const CONFIG: u8 = 78;

/// For `--help`.
pub const HELP: &str = "\
Exit codes: 0 success; 1 problems found; 2 wrong usage; 78 `run` with a wrong
configuration (a service manager must not try again).";

/// Why a command failed.
#[derive(Debug)]
pub struct Failure {
    pub code: u8,
    /// For standard error; may have several lines.
    pub text: String,
}

impl Failure {
    /// `text` says what failed, where, and what to do.
    #[must_use]
    pub fn new(text: impl std::fmt::Display) -> Self {
        Self { code: PROBLEMS, text: format!("error: {text}") }
    }

    #[must_use]
    pub fn usage(text: impl std::fmt::Display) -> Self {
        Self { code: USAGE, text: format!("error: {text}") }
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Self::new(error)
    }
}
