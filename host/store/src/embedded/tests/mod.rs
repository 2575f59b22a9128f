//! Tests of the engine as a whole: the contract, crashes, a disk that refuses, random walks.

mod contract;
mod crash;
mod damage;
mod faults;
mod full;
mod gate;
mod limits;
mod random;
mod reading;
mod rebuild;
mod retention;
mod rooms;
mod spy;
mod summaries;
mod support;
mod tools;
