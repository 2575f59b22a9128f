//! The program `dispatcher`: everything is in the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    dispatcher::cli::main(std::env::args_os())
}
