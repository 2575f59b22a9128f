//! Target plugin `file-log`.

mod escape;
mod file;
mod line;
mod minify;
mod time;
