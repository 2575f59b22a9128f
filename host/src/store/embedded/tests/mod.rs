//! Tests of the engine as a whole: the contract, crashes, a disk that refuses, random walks.

mod contract;
mod crash;
mod damage;
mod faults;
mod full;
mod limits;
mod random;
mod spy;
mod summaries;
mod support;
