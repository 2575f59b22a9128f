//! The program `dispatcher`: everything is in the library.

use std::process::ExitCode;

/// Requests are made on one thread and freed on another; glibc's allocator locks for that.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    dispatcher::cli::main(std::env::args_os())
}
