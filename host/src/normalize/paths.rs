//! Reads the values that stand at chosen places of a JSON document, all of them in one pass.
//!
//! A path is keys joined by dots, `alert.labels.severity`, where a number also counts the elements of
//! an array; or, where a key holds a dot, a JSON Pointer, `/output_fields/container.id`. What stands
//! there may be of any type or missing. Reading recurses over the chosen paths, never over the input:
//! at most [`STEPS_MAX`] deep, so that each byte is read at most so often.

use super::fields::{Field, read, read_list};

/// Most keys of one path.
pub(super) const STEPS_MAX: usize = 8;
/// Longest path, in bytes.
pub(super) const PATH_BYTES_MAX: usize = 200;
/// Largest place in an array that a path may name.
const PLACE_MAX: usize = 99;

/// Places in a document, as a tree of their keys; node 0 is the document.
#[derive(Clone, Debug)]
pub(super) struct Paths {
    nodes: Vec<Node>,
    slots: usize,
}

#[derive(Clone, Debug, Default)]
struct Node {
    key: Box<str>,
    /// Where the value goes.
    slot: Option<usize>,
    children: Vec<usize>,
}

/// Why a path cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidPath {
    #[error("a key in it is empty")]
    Empty,
    #[error("it has more than {STEPS_MAX} keys")]
    Deep,
    #[error("it has more than {PATH_BYTES_MAX} bytes")]
    Long,
}

impl Paths {
    pub(super) fn new() -> Self {
        Self { nodes: vec![Node::default()], slots: 0 }
    }

    /// The slot that the value at `path` goes to; the same for the same place.
    pub(super) fn slot(&mut self, path: &str) -> Result<usize, InvalidPath> {
        if path.len() > PATH_BYTES_MAX {
            return Err(InvalidPath::Long);
        }
        let steps: Vec<String> = match path.strip_prefix('/') {
            Some(pointer) => pointer.split('/').map(unescaped).collect(),
            None => path.split('.').map(str::to_owned).collect(),
        };
        if steps.len() > STEPS_MAX {
            return Err(InvalidPath::Deep);
        }
        if steps.iter().any(String::is_empty) {
            return Err(InvalidPath::Empty);
        }
        let mut at = 0;
        for step in steps {
            let known =
                self.nodes[at].children.iter().copied().find(|&c| *self.nodes[c].key == *step);
            at = known.unwrap_or_else(|| {
                let new = self.nodes.len();
                self.nodes.push(Node { key: step.into(), ..Node::default() });
                self.nodes[at].children.push(new);
                new
            });
        }
        Ok(*self.nodes[at].slot.get_or_insert_with(|| {
            self.slots += 1;
            self.slots - 1
        }))
    }

    /// The value of each slot; of a key that is there twice, the last.
    pub(super) fn read<'a>(&self, json: &'a str) -> Vec<Field<'a>> {
        let mut values = vec![Field::default(); self.slots];
        if self.slots > 0 {
            self.fill(0, json, &mut values);
        }
        values
    }

    fn fill<'a>(&self, node: usize, json: &'a str, values: &mut [Field<'a>]) {
        let children = &self.nodes[node].children;
        let mut take = |key: &str, value: Field<'a>| {
            let Some(&child) = children.iter().find(|&&child| *self.nodes[child].key == *key)
            else {
                return;
            };
            if let Some(slot) = self.nodes[child].slot {
                values[slot] = value;
            }
            if !self.nodes[child].children.is_empty() {
                self.fill(child, value.raw().unwrap_or_default(), values);
            }
        };
        if json.starts_with('{') {
            read(json, &mut take);
        } else if json.starts_with('[') {
            let wanted = children.iter().filter_map(|&child| self.nodes[child].key.parse().ok());
            if let Some(last) = wanted.filter(|place| *place <= PLACE_MAX).max() {
                read_list(json, last, &mut |place, value| take(&place.to_string(), value));
            }
        }
    }
}

/// A key of a JSON Pointer as it stands in the document.
fn unescaped(step: &str) -> String {
    step.replace("~1", "/").replace("~0", "~")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(paths: &[&str], json: &str) -> Vec<Option<String>> {
        let mut tree = Paths::new();
        let slots: Vec<_> = paths.iter().map(|path| tree.slot(path).unwrap()).collect();
        let values = tree.read(json);
        slots.into_iter().map(|slot| values[slot].raw().map(str::to_owned)).collect()
    }

    #[test]
    fn finds_what_stands_at_a_path_and_nothing_else() {
        let json = r#"{"a": {"b": [10, {"c": "x"}], "b.c": true}, "d": null, "e": 1, "e": 2}"#;
        for (path, expected) in [
            ("e", Some("2")),
            ("a.b.0", Some("10")),
            ("a.b.1.c", Some("\"x\"")),
            ("a.b.2", None),
            ("/a/b.c", Some("true")),
            ("a.b", Some("[10, {\"c\": \"x\"}]")),
            ("d", None),
            ("d.x", None),
            ("e.x", None),
            ("missing.at.all", None),
        ] {
            assert_eq!(texts(&[path], json), [expected.map(str::to_owned)], "{path}");
        }
        let both = texts(&["a.b.0", "e", "a.b.0"], json);
        assert_eq!(both, [Some("10".to_owned()), Some("2".to_owned()), Some("10".to_owned())]);
    }

    #[test]
    fn refuses_paths_that_name_no_place() {
        for (path, expected) in [
            ("", InvalidPath::Empty),
            ("a..b", InvalidPath::Empty),
            ("/", InvalidPath::Empty),
            ("a.b.c.d.e.f.g.h.i", InvalidPath::Deep),
            (&"a".repeat(201), InvalidPath::Long),
        ] {
            assert_eq!(Paths::new().slot(path), Err(expected), "{path}");
        }
    }

    #[test]
    fn a_document_that_is_no_object_has_nothing() {
        for json in ["", "1", "\"a\"", "null", "[", "{\"a\""] {
            assert_eq!(texts(&["a", "0"], json), [None, None], "{json}");
        }
    }
}
