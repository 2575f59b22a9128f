//! The command line: a file or folder for each command, and what they share.

mod ask;
mod check;
mod command_line;
mod confirm;
mod dead;
mod demo;
mod exit;
mod explain;
mod find;
mod given;
mod help;
mod hold;
mod http;
mod init;
mod logging;
mod matrix;
mod out;
mod plugin;
mod refused;
mod reload;
mod run;
mod sample;
mod scheme;
mod selftest;
mod send;
mod shell;
mod sign;
mod signing;
mod status;
mod store;
mod tail;
pub mod testbed;
mod try_target;
mod verify;
mod waiting;

pub use command_line::main;
