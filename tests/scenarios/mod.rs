//! Stories, by what they are about.

mod admin;
mod cases;
mod cli;
mod crash;
mod process;
mod receive;
mod sms;
mod targets;
mod twilio;
