//! The files of the log: writing, reading and scanning segments.

pub(super) mod backwards;
pub(super) mod beginning;
pub(super) mod ending;
pub(super) mod prewriter;
pub(super) mod reader;
pub(super) mod recent;
pub(super) mod remaining;
pub(super) mod scanner;
pub(super) mod segment_file;
pub(super) mod segments;
pub(super) mod spare;
pub(super) mod summary;
pub(super) mod writer;
