//! Reads the file of one vendor, with the code that reads a user's schemes and senders.

use std::sync::Arc;

use toml::de::DeTable;

use super::super::naming::unknown;
use super::super::problem::Problem;
use super::super::reader::{Entry, Notes, Table};
use super::super::{questions, schemes, senders};
use crate::normalize::{Sample, Sender};
use crate::verify::{Question, Scheme};

/// What is known about one vendor.
#[derive(Debug)]
pub struct Vendor {
    /// As written in the configuration.
    pub name: &'static str,
    /// The vendor's name for people.
    pub vendor: String,
    /// The document that describes the scheme and the bodies.
    pub read_in: String,
    /// `None` for a vendor that does not sign.
    pub confirmed_by: Option<ConfirmedBy>,
    pub signs: Signs,
    pub reads: Reads,
    /// How it asks whether an address is ours, besides the handshake of the scheme.
    pub questions: Vec<Question>,
    /// Whether it accepts no body in a 200.
    pub empty_answer: bool,
    pub setup: Setup,
    pub samples: Vec<Sample>,
}

/// What shows that the file describes the vendor's scheme correctly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConfirmedBy {
    /// The vendor's own document, which `read_in` names.
    Documentation,
    /// The vendor's library, which signs or verifies in `tests/scenarios/vendors.rs`.
    Library,
    /// A test vector that was published elsewhere, or a recorded request.
    Vector,
    /// Second-hand sources only.
    Nothing,
}

const CONFIRMATIONS: [(&str, ConfirmedBy); 4] = [
    ("documentation", ConfirmedBy::Documentation),
    ("library", ConfirmedBy::Library),
    ("vector", ConfirmedBy::Vector),
    ("nothing", ConfirmedBy::Nothing),
];
/// How `read_in` begins if it names no document of the vendor.
const SECOND_HAND: &str = "second-hand";

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
    /// `None`: unknown, or both are possible.
    pub issued_by: Option<IssuedBy>,
    /// What the vendor calls the secret.
    pub secret: String,
    /// Further keys of a source that a user must fill in, each with what to write.
    pub fill: Vec<(String, String)>,
}

/// Who makes the secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IssuedBy {
    /// The vendor shows it, and the user copies it.
    Vendor,
    /// The user makes it, and enters it at the vendor.
    User,
}

const ISSUERS: [(&str, IssuedBy); 2] = [("vendor", IssuedBy::Vendor), ("you", IssuedBy::User)];
const USUAL_SECRET: &str = "signing secret";

impl Vendor {
    /// The vendor's name without a remark: `Twilio`, not `Twilio (messages and calls)`.
    #[must_use]
    pub fn short_name(&self) -> &str {
        let end = self.vendor.find([',', '(']).unwrap_or(self.vendor.len());
        self.vendor.get(..end).unwrap_or_default().trim_end()
    }

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
    let scheme = table.entry("scheme");
    let is_described = scheme.as_ref().is_some_and(|entry| entry.value.is_table());
    let confirmed_by = if is_described { confirmed_by(&mut table, read_in, notes) } else { None };
    let signs = signs(name, scheme, confirmed_by, notes);
    let reads = reads(name, table.entry("sender"), notes);
    let questions = table.entry("questions");
    let questions = questions.map_or_else(Vec::new, |entry| questions::questions(&entry, notes));
    let questions = questions.into_iter().map(|(_, question)| question).collect();
    let empty_answer = table.boolean("empty_answer", false, notes);
    let setup = setup(name, &mut table, notes);
    let samples = table.entry("samples").map_or_else(Vec::new, |entry| entry.items(notes));
    let samples = samples.iter().filter_map(|entry| sample(name, entry, notes)).collect();
    // Only tests read them.
    let _ = table.entry("vectors");
    table.finish(notes, |_| None);
    let (read_in, signs, reads) = (read_in?.to_owned(), signs?, reads?);
    let vendor = vendor?.to_owned();
    Some(Vendor {
        name,
        vendor,
        read_in,
        confirmed_by,
        signs,
        reads,
        questions,
        empty_answer,
        setup,
        samples,
    })
}

fn required<'t>(table: &mut Table<'t>, key: &'static str, notes: &Notes) -> Option<&'t str> {
    let text = table.entry(key).and_then(|entry| entry.string(notes));
    let text = text.filter(|text| !text.is_empty());
    if text.is_none() {
        let title = format!("`{}` is missing", table.path_of(key));
        notes.add(Problem::error(title).at(table.place.clone(), "needed here").absence(key));
    }
    text
}

fn confirmed_by(
    table: &mut Table<'_>,
    read_in: Option<&str>,
    notes: &Notes,
) -> Option<ConfirmedBy> {
    let place = table.place.clone();
    let Some(entry) = table.entry("confirmed_by") else {
        let problem = Problem::error("`confirmed_by` is missing").at(place, "needed here");
        let help = "write \"documentation\", \"library\" or \"vector\", or \"nothing\" if only second-hand \
                    sources describe the scheme";
        notes.add(problem.absence("confirmed_by").help(help));
        return None;
    };
    let written = entry.string(notes)?;
    let Some((_, found)) = CONFIRMATIONS.iter().find(|(name, _)| *name == written) else {
        let names = CONFIRMATIONS.iter().map(|(name, _)| *name);
        unknown(&entry, "confirmation", "confirmations", written, names, notes);
        return None;
    };
    if *found == ConfirmedBy::Documentation && read_in?.starts_with(SECOND_HAND) {
        let title = "`read_in` names second-hand sources, which confirm nothing";
        let help =
            "name the vendor's own document in `read_in`, or write confirmed_by = \"nothing\"";
        entry.refuse(notes, title, "not true", help);
    }
    Some(*found)
}

/// A table says how the vendor signs; a text names the scheme to use for one that does not sign.
fn signs(
    name: &str,
    entry: Option<Entry<'_>>,
    confirmed_by: Option<ConfirmedBy>,
    notes: &Notes,
) -> Option<Signs> {
    let Some(entry) = entry else { return Some(Signs::Unknown) };
    if entry.value.is_str() {
        return Some(Signs::Not { instead: entry.string(notes)?.to_owned() });
    }
    let scheme = schemes::scheme(name, entry.table(notes)?, notes)?;
    let unconfirmed = confirmed_by.is_none_or(|by| by == ConfirmedBy::Nothing);
    Some(Signs::By(Arc::new(Scheme { unconfirmed, ..scheme })))
}

/// A table says how bodies are read; a text names another vendor with the same bodies.
fn reads(name: &str, entry: Option<Entry<'_>>, notes: &Notes) -> Option<Reads> {
    let Some(entry) = entry else {
        notes.add(Problem::error("`sender` is missing").at(0..0, "needed here").absence("sender"));
        return None;
    };
    if entry.value.is_str() {
        return Some(Reads::Like(entry.string(notes)?.to_owned()));
    }
    Some(Reads::By(Arc::new(senders::sender(name, entry.table(notes)?, notes)?)))
}

fn setup(name: &str, table: &mut Table<'_>, notes: &Notes) -> Setup {
    let usual = format!("{}_SECRET", name.to_ascii_uppercase().replace('-', "_"));
    let mut setup = Setup {
        variable: usual,
        place: String::new(),
        issued_by: None,
        secret: USUAL_SECRET.to_owned(),
        fill: Vec::new(),
    };
    let Some(mut table) = table.table("setup", notes) else { return setup };
    let mut read = |key, into: &mut String| {
        let text = table.entry(key).and_then(|entry| entry.string(notes));
        text.into_iter().for_each(|text| text.clone_into(into));
    };
    read("variable", &mut setup.variable);
    read("where", &mut setup.place);
    read("secret", &mut setup.secret);
    if let Some(fill) = table.table("fill", notes) {
        setup.fill = texts(&fill, notes);
    }
    setup.issued_by = table.entry("issued_by").and_then(|entry| issued_by(&entry, notes));
    table.finish(notes, |_| None);
    setup
}

fn issued_by(entry: &Entry<'_>, notes: &Notes) -> Option<IssuedBy> {
    let written = entry.string(notes)?;
    let found = ISSUERS.iter().find(|(name, _)| *name == written);
    if found.is_none() {
        let names = ISSUERS.iter().map(|(name, _)| *name);
        unknown(entry, "issuer", "issuers", written, names, notes);
    }
    found.map(|(_, issuer)| *issuer)
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
