//! How the program ends. The codes are part of its interface: scripts and service managers read them.

/// All well.
pub const OK: u8 = 0;
/// Problems were found, or something failed.
pub const PROBLEMS: u8 = 1;
/// The command line was wrong.
pub const USAGE: u8 = 2;
/// `run` with a wrong configuration (`EX_CONFIG`): trying again is of no use until a person mends it.
pub const CONFIG: u8 = 78;

/// For `--help`.
pub const HELP: &str = "\
Exit codes: 0 all well; 1 problems found; 2 wrong usage; 78 `run` with a wrong
configuration (a service manager must not try again).";

/// Why a command ends without having done its work.
#[derive(Debug)]
pub struct Failure {
    pub code: u8,
    /// For the error stream; may have several lines.
    pub text: String,
}

impl Failure {
    /// Something failed; `text` says what, where and what to do.
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
