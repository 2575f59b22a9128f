//! Tests of the engine as a whole: the contract, crashes, a failing or full disk, retention, tools.

mod contract;
mod crash;
mod damage;
mod faults;
mod folders;
mod full;
mod gate;
mod gone;
mod gone_beginning;
mod gone_end;
mod gone_middle;
mod index_damage;
mod limits;
mod lost_end;
mod names;
mod odd_names;
mod reading;
mod rebuild;
mod retention;
mod rooms;
mod summaries;
mod support;
mod tools;
mod unreadable;
mod unsuited;
mod verdicts;
