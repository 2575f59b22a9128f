//! Stories, by what they are about.

mod admin;
mod any_sender;
mod bad_plugins;
mod cases;
mod cli;
mod crash;
mod first_hour;
mod misbehave;
mod prism;
mod process;
mod receive;
mod reload;
mod sms;
mod targets;
mod twilio;
mod vendors;
mod verify;
mod watch;
