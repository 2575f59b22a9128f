//! Reads the file of one vendor, with the code that reads a user's schemes and senders.

use std::sync::Arc;

use toml::de::DeTable;

use super::super::problem::Problem;
use super::super::reader::{Entry, Notes, Table};
use super::super::{schemes, senders};
use crate::normalize::{Sample, Sender};
use crate::verify::Scheme;

/// What is known about one vendor.
#[derive(Debug)]
pub struct Vendor {
    /// As written in the configuration.
    pub name: &'static str,
    /// The vendor's name for people.
    pub vendor: String,
    /// The document that describes the scheme and the bodies.
    pub read_in: String,
    pub signs: Signs,
    pub reads: Reads,
    pub setup: Setup,
    pub samples: Vec<Sample>,
}

/// How a vendor proves that a request is authentic.
#[derive(Debug)]
pub enum Signs {
    By(Arc<Scheme>),
    /// It does not sign; sources use this scheme instead.
    Not {
        instead: String,
    },
    /// Unknown.
    Unknown,
}

/// How a vendor's bodies are read.
#[derive(Debug)]
pub enum Reads {
    By(Arc<Sender>),
    /// Like those of this other vendor.
    Like(String),
}

/// What a person needs to set a source up.
#[derive(Debug)]
pub struct Setup {
    /// The environment variable for the secret.
    pub variable: String,
    /// Where to enter the address and the secret at the vendor; may be empty.
    pub place: String,
}

impl Vendor {
    #[must_use]
    pub const fn scheme(&self) -> Option<&Arc<Scheme>> {
        match &self.signs {
            Signs::By(scheme) => Some(scheme),
            _ => None,
        }
    }

    #[must_use]
    pub const fn sender(&self) -> Option<&Arc<Sender>> {
        match &self.reads {
            Reads::By(sender) => Some(sender),
            Reads::Like(_) => None,
        }
    }
}

/// The vendor, or `None` if something required is missing; and every problem in the file.
pub(super) fn parse(name: &'static str, text: &'static str) -> (Option<Vendor>, Vec<Problem>) {
    let notes = Notes::default();
    let (table, errors) = DeTable::parse_recoverable(text);
    for error in &errors {
        notes.add(Problem::error(error.message()).at(error.span().unwrap_or(0..0), ""));
    }
    let vendor = read(name, Table::new(String::new(), 0..0, table.get_ref()), &notes);
    (vendor.filter(|_| errors.is_empty()), notes.into_parts().0)
}

fn read(name: &'static str, mut table: Table<'_>, notes: &Notes) -> Option<Vendor> {
    let vendor = required(&mut table, "vendor", notes);
    let read_in = required(&mut table, "read_in", notes);
    let confirmed = table.boolean("confirmed", true, notes);
    let signs = signs(name, table.entry("scheme"), confirmed, notes);
    let reads = reads(name, table.entry("sender"), notes);
    let setup = setup(name, &mut table, notes);
    let samples = table.entry("samples").map_or_else(Vec::new, |entry| entry.items(notes));
    let samples = samples.iter().filter_map(|entry| sample(name, entry, notes)).collect();
    // Only tests read them.
    let _ = table.entry("vectors");
    table.finish(notes, |_| None);
    let (read_in, signs, reads) = (read_in?.to_owned(), signs?, reads?);
    Some(Vendor { name, vendor: vendor?.to_owned(), read_in, signs, reads, setup, samples })
}

fn required<'t>(table: &mut Table<'t>, key: &'static str, notes: &Notes) -> Option<&'t str> {
    let text = table.entry(key).and_then(|entry| entry.string(notes));
    let text = text.filter(|text| !text.is_empty());
    if text.is_none() {
        let title = format!("`{}` is missing", table.path_of(key));
        notes.add(Problem::error(title).at(table.place.clone(), "needed here").absence());
    }
    text
}

/// A table says how the vendor signs; a text names the scheme to use for one that does not sign.
fn signs(name: &str, entry: Option<Entry<'_>>, confirmed: bool, notes: &Notes) -> Option<Signs> {
    let Some(entry) = entry else { return Some(Signs::Unknown) };
    if entry.value.is_str() {
        return Some(Signs::Not { instead: entry.string(notes)?.to_owned() });
    }
    let scheme = schemes::scheme(name, entry.table(notes)?, notes)?;
    Some(Signs::By(Arc::new(Scheme { unconfirmed: !confirmed, ..scheme })))
}

/// A table says how bodies are read; a text names another vendor with the same bodies.
fn reads(name: &str, entry: Option<Entry<'_>>, notes: &Notes) -> Option<Reads> {
    let Some(entry) = entry else {
        notes.add(Problem::error("`sender` is missing").at(0..0, "needed here").absence());
        return None;
    };
    if entry.value.is_str() {
        return Some(Reads::Like(entry.string(notes)?.to_owned()));
    }
    Some(Reads::By(Arc::new(senders::sender(name, entry.table(notes)?, notes)?)))
}

fn setup(name: &str, table: &mut Table<'_>, notes: &Notes) -> Setup {
    let usual = format!("{}_SECRET", name.to_ascii_uppercase().replace('-', "_"));
    let Some(mut table) = table.table("setup", notes) else {
        return Setup { variable: usual, place: String::new() };
    };
    let mut text = |key| Some(table.entry(key)?.string(notes)?.to_owned());
    let (variable, place) = (text("variable"), text("where"));
    table.finish(notes, |_| None);
    Setup { variable: variable.unwrap_or(usual), place: place.unwrap_or_default() }
}

fn sample(vendor: &str, entry: &Entry<'_>, notes: &Notes) -> Option<Sample> {
    let mut table = entry.table(notes)?;
    let name = required(&mut table, "name", notes);
    let body = table.entry("body").and_then(|entry| entry.string(notes));
    let headers = table.table("headers", notes).map_or_else(Vec::new, |table| texts(&table, notes));
    let ids = list(&mut table, "ids", notes);
    let times = list(&mut table, "times", notes);
    table.finish(notes, |_| None);
    let name = format!("{vendor}/{}", name?);
    Some(Sample { name, headers, body: body.unwrap_or_default().to_owned(), ids, times })
}

/// The names and texts of a table.
pub(super) fn texts(table: &Table<'_>, notes: &Notes) -> Vec<(String, String)> {
    let pair =
        |(key, entry): (&str, Entry<'_>)| Some((key.to_owned(), entry.string(notes)?.to_owned()));
    table.all().into_iter().filter_map(pair).collect()
}

fn list(table: &mut Table<'_>, key: &'static str, notes: &Notes) -> Vec<String> {
    let entries = table.entry(key).map_or_else(Vec::new, |entry| entry.one_or_more(notes));
    entries.iter().filter_map(|entry| entry.string(notes)).map(str::to_owned).collect()
}
