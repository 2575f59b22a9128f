//! The command line: a file or folder for each command, and what they share.

mod ask;
mod check;
mod command_line;
mod demo;
mod exit;
mod find;
mod help;
mod http;
mod init;
mod logging;
mod matrix;
mod mend;
mod out;
mod plugin;
mod reload;
mod run;
mod sample;
mod scheme;
mod see;
mod selftest;
mod send;
mod sign;
mod store;
pub mod testbed;
mod try_target;
mod verify;

pub use command_line::main;
