//! Stories, by what they are about.

mod admin;
mod any_sender;
mod bad_plugins;
mod cases;
mod cli;
mod crash;
mod damage;
mod first_hour;
mod full_disk;
mod limits;
mod misbehave;
mod overload;
mod power;
mod prism;
mod process;
mod rebuild;
mod receive;
mod reload;
mod retention;
mod selftest;
mod sms;
mod targets;
mod twilio;
mod vendors;
mod verify;
mod watch;
