//! Short texts with places in them: `{alert.title} on {host}`.
//!
//! | in braces | value |
//! |---|---|
//! | `repository.name`, `/a/b.c` | the value at that path of the event (see `paths`) |
//! | `root:groupKey` | the same in the document around the events of a list |
//! | `header:X-Event` | a header of the request |
//! | `query:name` | a parameter of the request's address |
//! | `@type` | the event's type |
//!
//! If a value is missing, empty, or neither text nor a number, the whole template gives nothing, and the
//! next one of the list is tried. `{{` and `}}` are literal braces.

use std::borrow::Cow;
use std::sync::Arc;

use super::fields::Field;
use super::paths::{InvalidPath, Paths};
use crate::model::SignedParts;

/// Longest template, in bytes.
pub const TEMPLATE_BYTES_MAX: usize = 512;
/// Most places in one template.
const PLACES_MAX: usize = 16;

/// A text with places in it.
#[derive(Clone, Debug)]
pub(super) struct Template {
    parts: Vec<Part>,
}

#[derive(Clone, Debug)]
enum Part {
    Literal(Box<str>),
    Event(usize),
    Root(usize),
    Header(http::HeaderName),
    Query(Box<str>),
    Type,
    /// Only if its value is in this sorted list.
    OneOf(Box<Self>, Arc<[Box<str>]>),
    /// The type by the keys of the event.
    ByKeys,
}

/// Which slots have a value that a signature covers.
pub(super) struct SignedSlots {
    pub event: Vec<bool>,
    pub root: Vec<bool>,
}

/// A value of the body.
#[derive(Clone, Copy)]
pub(super) enum Slot {
    Event(usize),
    Root(usize),
}

/// Why a text is not a valid template.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidTemplate {
    #[error("it is empty")]
    Empty,
    #[error("it has more than {TEMPLATE_BYTES_MAX} bytes")]
    Long,
    #[error("it has more than {PLACES_MAX} places")]
    Places,
    #[error("a brace is not closed: write {{{{ or }}}} for a literal brace")]
    Brace,
    #[error("`{path}` is not a valid path: {why}")]
    Path { path: String, why: InvalidPath },
    #[error("`{0}` is not a valid header name")]
    Header(String),
    #[error("it has no place, so it is the same for all events")]
    NoPlace,
    #[error("unknown variable `@{0}`; write `@type`")]
    Variable(String),
    #[error(
        "only a title and a severity can have `@type` in them: everything else is read before it"
    )]
    TypeUnknown,
}

/// All values that a template may name.
pub(super) struct Places<'a> {
    pub event: Vec<Field<'a>>,
    pub root: Vec<Field<'a>>,
    pub headers: &'a http::HeaderMap,
    pub query: Option<&'a str>,
    pub event_type: Option<&'a str>,
    pub type_by_keys: Option<&'a str>,
}

impl Template {
    /// Whether it has no place.
    pub(super) fn is_constant(&self) -> bool {
        self.parts.iter().all(|part| matches!(part, Part::Literal(_)))
    }

    /// Parses a template; its places become slots of `event` and `root`.
    pub(super) fn new(
        text: &str,
        event: &mut Paths,
        root: &mut Paths,
    ) -> Result<Self, InvalidTemplate> {
        if text.is_empty() {
            return Err(InvalidTemplate::Empty);
        }
        if text.len() > TEMPLATE_BYTES_MAX {
            return Err(InvalidTemplate::Long);
        }
        let (mut parts, mut literal) = (Vec::new(), String::new());
        let mut rest = text;
        while let Some(at) = rest.find(['{', '}']) {
            literal.push_str(&rest[..at]);
            let brace = &rest[at..];
            if let Some(after) = brace.strip_prefix("{{").or_else(|| brace.strip_prefix("}}")) {
                literal.push_str(&brace[..1]);
                rest = after;
                continue;
            }
            let place = brace.strip_prefix('{').and_then(|inner| inner.split_once('}'));
            let Some((place, after)) = place.filter(|(place, _)| !place.contains('{')) else {
                return Err(InvalidTemplate::Brace);
            };
            if !literal.is_empty() {
                parts.push(Part::Literal(std::mem::take(&mut literal).into()));
            }
            parts.push(part(place.trim(), event, root)?);
            rest = after;
        }
        literal.push_str(rest);
        if !literal.is_empty() {
            parts.push(Part::Literal(literal.into()));
        }
        if parts.len() > 2 * PLACES_MAX + 1 {
            return Err(InvalidTemplate::Places);
        }
        Ok(Self { parts })
    }

    /// The text with its places filled in; nothing if one of them has no value.
    pub(super) fn fill<'a>(&self, places: &Places<'a>) -> Option<Cow<'a, str>> {
        if let [part] = &self.parts[..] {
            return part.value(places);
        }
        // Most templates are incomplete for most events: find out before anything is copied.
        if !self.parts.iter().all(|part| part.may_have_value(places)) {
            return None;
        }
        let mut text = String::new();
        for part in &self.parts {
            match part {
                Part::Literal(literal) => text.push_str(literal),
                part => text.push_str(&part.value(places)?),
            }
        }
        Some(Cow::Owned(text))
    }

    /// The values of its places, in order; nothing if one of them has none.
    pub(super) fn values<'a>(&self, places: &Places<'a>) -> Option<Vec<Cow<'a, str>>> {
        let places_of = self.parts.iter().filter(|part| !matches!(part, Part::Literal(_)));
        places_of.map(|part| part.value(places)).collect()
    }

    /// The parts of the request that it reads and no signature covers.
    pub(super) fn unsigned(&self, signed: &SignedParts) -> impl Iterator<Item = String> {
        let unsigned = |part: &&Part| !part.is_signed(signed);
        self.parts.iter().filter(unsigned).filter_map(Part::shown)
    }

    /// The values of the body that it reads, as slots of the event or the root, if they are not among these.
    pub(super) fn unsigned_values(&self, signed: &SignedSlots) -> impl Iterator<Item = Slot> {
        self.parts.iter().filter_map(|part| match part {
            Part::Event(slot) if !signed.event[*slot] => Some(Slot::Event(*slot)),
            Part::Root(slot) if !signed.root[*slot] => Some(Slot::Root(*slot)),
            _ => None,
        })
    }

    /// The same template, but with the names of the set of headers that is signed.
    pub(super) fn in_set(&self, signed: &SignedParts) -> Self {
        let part = |part: &Part| match part {
            Part::Header(name) => {
                let same = signed.same_as.iter().find(|(other, _)| other == name);
                Part::Header(same.map_or(name, |(_, this)| this).clone())
            }
            part => part.clone(),
        };
        Self { parts: self.parts.iter().map(part).collect() }
    }

    /// Its text, if that is the same for all events.
    pub(super) fn constant(&self) -> Option<&str> {
        match &self.parts[..] {
            [Part::Literal(text)] => Some(text),
            _ => None,
        }
    }

    /// Whether it reads nothing but such headers and parameters of the address.
    pub(super) fn reads_only(
        &self,
        header: &impl Fn(&http::HeaderName) -> bool,
        query: &impl Fn(&str) -> bool,
    ) -> bool {
        self.parts.iter().all(|part| match part {
            Part::Literal(_) => true,
            Part::Header(name) => header(name),
            Part::Query(name) => query(name),
            _ => false,
        })
    }

    /// Whether it has the type of the event in it.
    pub(super) fn has_type(&self) -> bool {
        self.parts.iter().any(|part| matches!(part, Part::Type))
    }

    /// Whether it reads a header or the query.
    pub(super) fn reads_around_body(&self) -> bool {
        self.parts.iter().any(|part| matches!(part, Part::Header(_) | Part::Query(_)))
    }

    /// The same template; parts that no signature covers count only with a value from the sorted `list`.
    pub(super) fn with_listed(&self, signed: &SignedParts, list: &Arc<[Box<str>]>) -> Self {
        self.instead(signed, |part| Part::OneOf(Box::new(part.clone()), Arc::clone(list)))
    }

    /// The same template, with the type by the event's keys in place of parts that no signature covers.
    pub(super) fn with_type_by_keys(&self, signed: &SignedParts) -> Self {
        self.instead(signed, |_| Part::ByKeys)
    }

    fn instead(&self, signed: &SignedParts, unsigned: impl Fn(&Part) -> Part) -> Self {
        let part = |part: &Part| match part.is_signed(signed) {
            true => part.clone(),
            false => unsigned(part),
        };
        Self { parts: self.parts.iter().map(part).collect() }
    }
}

fn part(place: &str, event: &mut Paths, root: &mut Paths) -> Result<Part, InvalidTemplate> {
    let slot = |paths: &mut Paths, path: &str| {
        paths.slot(path).map_err(|why| InvalidTemplate::Path { path: path.to_owned(), why })
    };
    if let Some(variable) = place.strip_prefix('@') {
        return match variable {
            "type" => Ok(Part::Type),
            _ => Err(InvalidTemplate::Variable(variable.to_owned())),
        };
    }
    if let Some(name) = place.strip_prefix("header:") {
        let header = name.to_ascii_lowercase().parse();
        return header.map(Part::Header).map_err(|_| InvalidTemplate::Header(name.to_owned()));
    }
    if let Some(name) = place.strip_prefix("query:") {
        return Ok(Part::Query(name.into()));
    }
    match place.strip_prefix("root:") {
        Some(path) => slot(root, path).map(Part::Root),
        None => slot(event, place).map(Part::Event),
    }
}

impl Part {
    fn value<'a>(&self, places: &Places<'a>) -> Option<Cow<'a, str>> {
        match self {
            Self::Literal(text) => Some(Cow::Owned(text.to_string())),
            Self::Event(slot) => places.event.get(*slot)?.text(),
            Self::Root(slot) => places.root.get(*slot)?.text(),
            Self::Header(name) => {
                let value = places.headers.get(name)?.to_str().ok()?;
                Some(Cow::Borrowed(value)).filter(|value| !value.is_empty())
            }
            Self::Query(name) => {
                let mut pairs = form_urlencoded::parse(places.query?.as_bytes());
                let (_, value) = pairs.find(|(key, _)| **key == **name)?;
                let value = value.into_owned();
                (!value.is_empty()).then_some(Cow::Owned(value))
            }
            Self::Type => places.event_type.map(Cow::Borrowed),
            Self::ByKeys => places.type_by_keys.map(Cow::Borrowed),
            Self::OneOf(part, list) => part
                .value(places)
                .filter(|value| list.binary_search_by(|listed| (**listed).cmp(&**value)).is_ok()),
        }
    }

    /// Whether it could have a value; cheaper than the value.
    fn may_have_value(&self, places: &Places<'_>) -> bool {
        let is_there = |field: Option<&Field<'_>>| field.is_some_and(|field| field.raw().is_some());
        match self {
            Self::Event(slot) => is_there(places.event.get(*slot)),
            Self::Root(slot) => is_there(places.root.get(*slot)),
            Self::ByKeys => places.type_by_keys.is_some(),
            _ => true,
        }
    }

    /// Whether the signature covers it, if the body is signed.
    fn is_signed(&self, signed: &SignedParts) -> bool {
        match self {
            Self::Header(name) => signed.headers.contains(name),
            Self::Query(_) => signed.query,
            Self::OneOf(..) => false,
            Self::Literal(_) | Self::Event(_) | Self::Root(_) | Self::Type | Self::ByKeys => true,
        }
    }

    /// A header or a parameter, for people.
    fn shown(&self) -> Option<String> {
        match self {
            Self::Header(name) => Some(format!("header {name}")),
            Self::Query(name) => Some(format!("query parameter {name}")),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(template: &str) -> Option<String> {
        let (mut event, mut root) = (Paths::new(), Paths::new());
        let template = Template::new(template, &mut event, &mut root).unwrap();
        let mut headers = http::HeaderMap::new();
        headers.insert("x-event", "push".parse().unwrap());
        let places = Places {
            event: event.read(r#"{"a": {"b": "one"}, "n": 2, "t": true, "e": ""}"#),
            root: root.read(r#"{"a": {"b": "root"}}"#),
            headers: &headers,
            query: Some("topic=a%20b&empty="),
            event_type: Some("kind"),
            type_by_keys: None,
        };
        template.fill(&places).map(Cow::into_owned)
    }

    #[test]
    fn fills_in_all_places_or_gives_nothing() {
        for (template, expected) in [
            ("{a.b}", Some("one")),
            ("{ a.b }/{n}!", Some("one/2!")),
            ("{root:a.b}", Some("root")),
            ("{header:X-Event} of {@type}", Some("push of kind")),
            ("{query:topic}", Some("a b")),
            ("plain", Some("plain")),
            ("{{{n}}}", Some("{2}")),
            ("{query:empty}", None),
            ("{header:x-other}", None),
            ("x{e}", None),
            ("{t}", None),
            ("{a}", None),
            ("{a.b} and {missing}", None),
        ] {
            assert_eq!(filled(template).as_deref(), expected, "{template}");
        }
    }

    #[test]
    fn says_why_a_text_is_not_a_template() {
        for (template, expected) in [
            ("", "it is empty"),
            ("{a", "a brace is not closed: write {{ or }} for a literal brace"),
            ("a}", "a brace is not closed: write {{ or }} for a literal brace"),
            ("{a..b}", "`a..b` is not a valid path: a key in it is empty"),
            ("{}", "`` is not a valid path: a key in it is empty"),
            ("{header:a b}", "`a b` is not a valid header name"),
            ("{@id}", "unknown variable `@id`; write `@type`"),
        ] {
            let made = Template::new(template, &mut Paths::new(), &mut Paths::new());
            assert_eq!(made.unwrap_err().to_string(), expected, "{template}");
        }
        let long = "a".repeat(TEMPLATE_BYTES_MAX + 1);
        let made = Template::new(&long, &mut Paths::new(), &mut Paths::new());
        assert_eq!(made.unwrap_err(), InvalidTemplate::Long);
        let made = Template::new(&"{a}-".repeat(40), &mut Paths::new(), &mut Paths::new());
        assert_eq!(made.unwrap_err(), InvalidTemplate::Places);
    }
}
