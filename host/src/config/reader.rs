//! Reads tables and values of a parsed file and notes every problem with its place, without stopping at the
//! first.
//!
//! An invalid value reads as its default. The noted problem rejects the configuration as a whole, so the
//! default never takes effect.

use std::cell::RefCell;
use std::ops::{Range, RangeInclusive};
use std::time::Duration;

use toml::de::{DeTable, DeValue};

use super::names::{list, near};
use super::problem::{Place, Problem};
use super::units::{self, InvalidQuantity};

/// Most values of one list.
const LIST_ITEMS_MAX: usize = 100;

/// The notes taken so far. All readers of a configuration share them, hence the cells.
#[derive(Default)]
pub(super) struct Notes {
    problems: RefCell<Vec<Problem>>,
    /// Places of literal secrets.
    masks: RefCell<Vec<Range<usize>>>,
    /// References that were not looked up.
    skipped: RefCell<Vec<String>>,
    /// Keys that are in the table at this place under a wrong name.
    misnamed: RefCell<Vec<(Range<usize>, &'static str)>>,
}

impl Notes {
    pub(super) fn add(&self, problem: Problem) {
        self.problems.borrow_mut().push(problem);
    }

    /// How many errors there are so far.
    pub(super) fn errors(&self) -> usize {
        self.problems.borrow().iter().filter(|problem| problem.is_error()).count()
    }

    pub(super) fn mask(&self, span: Range<usize>) {
        self.masks.borrow_mut().push(span);
    }

    pub(super) fn skip(&self, what: String) {
        self.skipped.borrow_mut().push(what);
    }

    /// Adds one warning that lists every reference that was not looked up.
    pub(super) fn add_skipped(&self) {
        let skipped = self.skipped.take();
        if skipped.is_empty() {
            return;
        }
        let title = "not checked: the environment, dispatcher.env and credentials";
        let problem = Problem::warning(title);
        let problem = problem.help("the daemon must have these, and the plugins must accept them:");
        self.add(skipped.into_iter().fold(problem, Problem::help));
    }

    /// Without what is only missing because its name is wrong.
    pub(super) fn into_parts(self) -> (Vec<Problem>, Vec<Range<usize>>) {
        let misnamed = self.misnamed.into_inner();
        let follows = |problem: &Problem| match (&problem.place, problem.absence) {
            (Place::Span(place), Some(key)) => {
                misnamed.iter().any(|(table, meant)| table == place && *meant == key)
            }
            _ => false,
        };
        let mut problems = self.problems.into_inner();
        problems.retain(|problem| !follows(problem));
        (problems, self.masks.into_inner())
    }
}

/// A key and its value, with their places.
#[derive(Clone)]
pub(super) struct Entry<'t> {
    /// `targets.audit-log.timeout`.
    pub(super) path: String,
    pub(super) key: Range<usize>,
    pub(super) span: Range<usize>,
    pub(super) value: &'t DeValue<'t>,
}

impl<'t> Entry<'t> {
    fn wrong_type(&self, notes: &Notes, expected: &str, help: &str) {
        let mut problem = Problem::error(format!("`{}` must be {expected}", self.path))
            .at(self.span.clone(), format!("this is {}", kind(self.value)));
        if !help.is_empty() {
            problem = problem.help(help);
        }
        notes.add(problem);
    }

    /// Notes that the value has the right type but cannot be used.
    pub(super) fn refuse(&self, notes: &Notes, title: &str, label: &str, help: &str) {
        let problem = Problem::error(title).at(self.span.clone(), label);
        notes.add(if help.is_empty() { problem } else { problem.help(help) });
    }

    /// A string. `${X}` is an error, because nothing inside a value is ever expanded.
    pub(super) fn string(&self, notes: &Notes) -> Option<&'t str> {
        let DeValue::String(text) = self.value else {
            self.wrong_type(notes, "a string", "");
            return None;
        };
        if let Some(name) = dollar_name(text) {
            self.refuse(
                notes,
                &format!("`${{{name}}}` is not expanded in `{}`", self.path),
                "write the value itself",
                "only secrets and settings of targets can be references: \"env:NAME\"",
            );
            return None;
        }
        Some(text)
    }

    pub(super) fn boolean(&self, notes: &Notes) -> Option<bool> {
        if let DeValue::Boolean(value) = self.value {
            return Some(*value);
        }
        self.wrong_type(notes, "true or false", "");
        None
    }

    pub(super) fn integer(&self, limits: &RangeInclusive<u64>, notes: &Notes) -> Option<u64> {
        let DeValue::Integer(digits) = self.value else {
            self.wrong_type(notes, "a whole number", "");
            return None;
        };
        let value = i128::from_str_radix(digits.as_str(), digits.radix()).ok();
        let value = value.and_then(|value| u64::try_from(value).ok());
        if let Some(value) = value.filter(|value| limits.contains(value)) {
            return Some(value);
        }
        self.out_of_range(notes, &limits.start().to_string(), &limits.end().to_string());
        None
    }

    pub(super) fn duration(
        &self,
        limits: &RangeInclusive<Duration>,
        notes: &Notes,
    ) -> Option<Duration> {
        let read = match self.value {
            DeValue::String(text) => units::duration(text),
            DeValue::Integer(number) => Err(units::duration_of_number(number.as_str())),
            _ => {
                self.wrong_type(notes, "a duration", "write a number and a unit: \"10s\"");
                return None;
            }
        };
        let value = self.quantity(notes, read)?;
        if limits.contains(&value) {
            return Some(value);
        }
        let show = |limit: &Duration| units::show_duration(*limit);
        self.out_of_range(notes, &show(limits.start()), &show(limits.end()));
        None
    }

    pub(super) fn bytes(&self, limits: &RangeInclusive<u64>, notes: &Notes) -> Option<u64> {
        let read = match self.value {
            DeValue::String(text) => units::bytes(text),
            DeValue::Integer(number) => Err(units::bytes_of_number(number.as_str())),
            _ => {
                self.wrong_type(notes, "a size", "write a number and a unit: \"64MiB\"");
                return None;
            }
        };
        let value = self.quantity(notes, read)?;
        if limits.contains(&value) {
            return Some(value);
        }
        let show = |limit: &u64| units::show_bytes(*limit);
        self.out_of_range(notes, &show(limits.start()), &show(limits.end()));
        None
    }

    /// A number per period: `100/s`.
    pub(super) fn rate(
        &self,
        counts: &RangeInclusive<u64>,
        notes: &Notes,
    ) -> Option<(u64, Duration)> {
        let DeValue::String(text) = self.value else {
            self.wrong_type(notes, "a rate", "write a number and a period: \"100/s\"");
            return None;
        };
        let (count, per) = self.quantity(notes, units::rate(text))?;
        if counts.contains(&count) {
            return Some((count, per));
        }
        self.out_of_range(notes, &counts.start().to_string(), &counts.end().to_string());
        None
    }

    fn quantity<T>(&self, notes: &Notes, read: Result<T, InvalidQuantity>) -> Option<T> {
        read.map_err(|invalid| {
            let title = format!("`{}` {}", self.path, invalid.title);
            self.refuse(notes, &title, &invalid.label, &invalid.help);
        })
        .ok()
    }

    fn out_of_range(&self, notes: &Notes, min: &str, max: &str) {
        let title = format!("`{}` is out of range", self.path);
        self.refuse(notes, &title, &format!("must be from {min} to {max}"), "");
    }

    /// The value itself, or the items of a list. An empty list is an error: removing the key is clearer.
    pub(super) fn one_or_more(&self, notes: &Notes) -> Vec<Entry<'t>> {
        self.one_to(LIST_ITEMS_MAX, notes)
    }

    /// Like [`one_or_more`](Self::one_or_more), for lists that may be longer.
    pub(super) fn one_to(&self, items_max: usize, notes: &Notes) -> Vec<Entry<'t>> {
        let DeValue::Array(items) = self.value else {
            return vec![self.clone()];
        };
        if items.is_empty() {
            let title = format!("`{}` is an empty list", self.path);
            self.refuse(notes, &title, "remove the key, or add an item", "");
        }
        self.items_to(items_max, notes)
    }

    /// The items of a list. None if the value is not a list.
    pub(super) fn items(&self, notes: &Notes) -> Vec<Entry<'t>> {
        self.items_to(LIST_ITEMS_MAX, notes)
    }

    fn items_to(&self, items_max: usize, notes: &Notes) -> Vec<Entry<'t>> {
        let DeValue::Array(items) = self.value else { return Vec::new() };
        if items.len() > items_max {
            let title = format!("`{}` has too many items", self.path);
            self.refuse(notes, &title, &format!("{}, at most {items_max}", items.len()), "");
        }
        let item = |(index, item): (usize, &'t toml::Spanned<DeValue<'t>>)| Entry {
            path: format!("{}[{index}]", self.path),
            key: self.key.clone(),
            span: item.span(),
            value: item.get_ref(),
        };
        items.iter().enumerate().take(items_max).map(item).collect()
    }

    pub(super) fn table(&self, notes: &Notes) -> Option<Table<'t>> {
        if let DeValue::Table(entries) = self.value {
            return Some(Table::new(self.path.clone(), self.key.clone(), entries));
        }
        self.wrong_type(notes, "a table", "");
        None
    }
}

/// A table that is being read. The reader asks for every key it knows and then calls
/// [`finish`](Table::finish), which notes all other keys.
pub(super) struct Table<'t> {
    /// Empty for the whole file.
    pub(super) path: String,
    /// The table's name in the file, where a missing key is shown.
    pub(super) place: Range<usize>,
    entries: &'t DeTable<'t>,
    known: Vec<&'static str>,
}

impl<'t> Table<'t> {
    pub(super) fn new(path: String, place: Range<usize>, entries: &'t DeTable<'t>) -> Self {
        Self { path, place, entries, known: Vec::new() }
    }

    pub(super) fn entry(&mut self, key: &'static str) -> Option<Entry<'t>> {
        self.known.push(key);
        let (key, value) = self.entries.get_key_value(key)?;
        Some(self.entry_of(key, value))
    }

    /// Every entry in the order of the file, for tables whose keys are names.
    pub(super) fn all(&self) -> Vec<(&'t str, Entry<'t>)> {
        let mut all: Vec<_> = self
            .entries
            .iter()
            .map(|(key, value)| (key.get_ref().as_ref(), self.entry_of(key, value)))
            .collect();
        all.sort_by_key(|(_, entry)| entry.key.start);
        all
    }

    fn entry_of(
        &self,
        key: &'t toml::Spanned<toml::de::DeString<'t>>,
        value: &'t toml::Spanned<DeValue<'t>>,
    ) -> Entry<'t> {
        Entry {
            path: self.path_of(key.get_ref()),
            key: key.span(),
            span: value.span(),
            value: value.get_ref(),
        }
    }

    pub(super) fn path_of(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }

    /// The table with this key, if there is one.
    pub(super) fn table(&mut self, key: &'static str, notes: &Notes) -> Option<Table<'t>> {
        self.entry(key)?.table(notes)
    }

    pub(super) fn boolean(&mut self, key: &'static str, default: bool, notes: &Notes) -> bool {
        self.entry(key).and_then(|entry| entry.boolean(notes)).unwrap_or(default)
    }

    pub(super) fn integer(
        &mut self,
        key: &'static str,
        limits: RangeInclusive<u64>,
        notes: &Notes,
    ) -> Option<u64> {
        self.entry(key)?.integer(&limits, notes)
    }

    pub(super) fn duration(
        &mut self,
        key: &'static str,
        limits: RangeInclusive<Duration>,
        notes: &Notes,
    ) -> Option<Duration> {
        self.entry(key)?.duration(&limits, notes)
    }

    pub(super) fn bytes(
        &mut self,
        key: &'static str,
        limits: RangeInclusive<u64>,
        notes: &Notes,
    ) -> Option<u64> {
        self.entry(key)?.bytes(&limits, notes)
    }

    /// Notes each key that the reader did not ask for, with the name that was probably meant or, from
    /// `elsewhere`, the place where the key belongs.
    pub(super) fn finish(self, notes: &Notes, elsewhere: impl Fn(&str) -> Option<String>) {
        for (name, entry) in self.all() {
            if self.known.contains(&name) {
                continue;
            }
            let known = self.known.iter().copied();
            let problem = Problem::error(format!("unknown key `{}`", entry.path));
            notes.add(match near(name, known.clone()) {
                Some(near) => {
                    notes.misnamed.borrow_mut().push((self.place.clone(), near));
                    problem.at(entry.key, format!("did you mean `{near}`?"))
                }
                None => {
                    let problem = problem.at(entry.key, "unknown key");
                    let problem = elsewhere(name).into_iter().fold(problem, Problem::help);
                    problem.help(format!("known keys: {}", list(known)))
                }
            });
        }
    }
}

/// `NAME` of the first `${NAME}` in a text.
pub(super) fn dollar_name(text: &str) -> Option<&str> {
    let (_, rest) = text.split_once("${")?;
    let (name, _) = rest.split_once('}')?;
    super::environment::is_name(name).then_some(name)
}

/// `NAME` if the whole text is `${NAME}` or `$NAME`.
pub(super) fn whole_dollar_name(text: &str) -> Option<&str> {
    let name = text.strip_prefix('$')?;
    let name = name.strip_prefix('{').and_then(|name| name.strip_suffix('}')).unwrap_or(name);
    super::environment::is_name(name).then_some(name)
}

fn kind(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) => "a whole number",
        DeValue::Float(_) => "a number with a fraction",
        DeValue::Boolean(_) => "a boolean",
        DeValue::Datetime(_) => "a date or time",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}
