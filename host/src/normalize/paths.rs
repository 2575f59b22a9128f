//! Reads the values at chosen paths of a JSON document, all in one pass.
//!
//! A path is keys joined by dots, `alert.labels.severity`, where a number is also an index into an array;
//! or, for keys that contain a dot, a JSON Pointer, `/output_fields/container.id`. The value may have any
//! type or be missing. Reading recurses over the chosen paths, never over the input: at most [`STEPS_MAX`]
//! deep, so each byte is read at most that many times.

use super::fields::{Field, read, read_list};

/// Most keys of one path.
pub(super) const STEPS_MAX: usize = 8;
/// Longest path, in bytes.
pub(super) const PATH_BYTES_MAX: usize = 200;
/// Largest index into an array.
const PLACE_MAX: usize = 99;

/// Paths in a document, as a tree of keys; node 0 is the document.
#[derive(Clone, Debug)]
pub(super) struct Paths {
    nodes: Vec<Node>,
    slots: usize,
    /// The slot for a value of a first key that is not listed.
    others: Option<usize>,
}

#[derive(Clone, Debug, Default)]
struct Node {
    key: Box<str>,
    /// The slot for the value.
    slot: Option<usize>,
    /// The slot for the value of a first key that is listed, so that it is not one of the others.
    listed: Option<usize>,
    /// By the length of their keys: most keys of a document have no node, and that is seen without comparing.
    children: Vec<Vec<usize>>,
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
    #[error("in a path that begins with `/`, write ~0 for `~` and ~1 for `/` in a key")]
    Escape,
}

impl Paths {
    pub(super) fn new() -> Self {
        Self { nodes: vec![Node::default()], slots: 0, others: None }
    }

    /// The slot for the value at `path`; the same one if the path was added before.
    pub(super) fn slot(&mut self, path: &str) -> Result<usize, InvalidPath> {
        if path.len() > PATH_BYTES_MAX {
            return Err(InvalidPath::Long);
        }
        if path.starts_with('/') && !has_valid_escapes(path) {
            return Err(InvalidPath::Escape);
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
        let node = steps.iter().fold(0, |at, step| self.child_or_new(at, step));
        Ok(*self.nodes[node].slot.get_or_insert_with(|| next(&mut self.slots)))
    }

    /// The slot for the value of a first key, as it is written in the document; it is then not one of the others.
    pub(super) fn listed_key(&mut self, key: &str) -> usize {
        let node = self.child_or_new(0, key);
        *self.nodes[node].listed.get_or_insert_with(|| next(&mut self.slots))
    }

    /// The slot that has a value if a document has a first key that is not listed.
    pub(super) fn others(&mut self) -> usize {
        *self.others.get_or_insert_with(|| next(&mut self.slots))
    }

    fn child_or_new(&mut self, at: usize, key: &str) -> usize {
        self.child(at, key).unwrap_or_else(|| {
            let (new, length) = (self.nodes.len(), key.len());
            self.nodes.push(Node { key: key.into(), ..Node::default() });
            let children = &mut self.nodes[at].children;
            children.resize(children.len().max(length + 1), Vec::new());
            children[length].push(new);
            new
        })
    }

    /// The steps to each slot.
    pub(super) fn steps(&self) -> Vec<Vec<&str>> {
        let mut all = vec![Vec::new(); self.slots];
        self.collect(0, &mut Vec::new(), &mut all);
        all
    }

    fn collect<'a>(&'a self, node: usize, before: &mut Vec<&'a str>, all: &mut [Vec<&'a str>]) {
        if let Some(slot) = self.nodes[node].slot {
            all[slot].clone_from(before);
        }
        for &child in self.nodes[node].children.iter().flatten() {
            before.push(&self.nodes[child].key);
            self.collect(child, before, all);
            before.pop();
        }
    }

    /// The first key of each path. Keys that are only listed are not read.
    pub(super) fn first_keys(&self) -> impl Iterator<Item = &str> {
        let first = self.nodes[0].children.iter().flatten().map(|&child| &self.nodes[child]);
        let is_read = |node: &&Node| node.slot.is_some() || !node.children.is_empty();
        first.filter(is_read).map(|node| &*node.key)
    }

    /// The value of each slot. If a key appears twice, the last one counts.
    pub(super) fn read<'a>(&self, json: &'a str) -> Vec<Field<'a>> {
        let mut values = vec![Field::default(); self.slots];
        if self.slots > 0 {
            self.fill(0, json, &mut values);
        }
        values
    }

    fn child(&self, node: usize, key: &str) -> Option<usize> {
        let same_length = self.nodes[node].children.get(key.len())?;
        same_length.iter().copied().find(|&child| *self.nodes[child].key == *key)
    }

    fn fill<'a>(&self, node: usize, json: &'a str, values: &mut [Field<'a>]) {
        let mut take = |key: &str, value: Field<'a>| {
            let child = self.child(node, key);
            if node == 0 {
                let listed = child.and_then(|child| self.nodes[child].listed);
                if let Some(slot) = listed.or(self.others) {
                    values[slot] = value;
                }
            }
            let Some(child) = child else { return };
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
            let children = self.nodes[node].children.iter().flatten();
            let wanted = children.filter_map(|&child| self.nodes[child].key.parse().ok());
            if let Some(last) = wanted.filter(|place| *place <= PLACE_MAX).max() {
                read_list(json, last, &mut |place, value| take(&place.to_string(), value));
            }
        }
    }
}

fn next(slots: &mut usize) -> usize {
    *slots += 1;
    *slots - 1
}

/// Whether each `~` of a JSON Pointer stands for itself (`~0`) or for a slash (`~1`).
#[must_use]
pub fn has_valid_escapes(pointer: &str) -> bool {
    pointer.split('~').skip(1).all(|rest| rest.starts_with(['0', '1']))
}

/// A key of a JSON Pointer, unescaped.
pub(super) fn unescaped(step: &str) -> String {
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
    fn finds_the_value_at_a_path_and_nothing_else() {
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
        let mut tree = Paths::new();
        for path in ["a.b.0", "e", "/a/b.c", "a"] {
            tree.slot(path).unwrap();
        }
        assert_eq!(tree.steps(), [vec!["a", "b", "0"], vec!["e"], vec!["a", "b.c"], vec!["a"]]);
        let both = texts(&["a.b.0", "e", "a.b.0"], json);
        assert_eq!(both, [Some("10".to_owned()), Some("2".to_owned()), Some("10".to_owned())]);
    }

    #[test]
    fn refuses_invalid_paths() {
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
    fn other_documents_than_objects_have_no_values() {
        for json in ["", "1", "\"a\"", "null", "[", "{\"a\""] {
            assert_eq!(texts(&["a", "0"], json), [None, None], "{json}");
        }
    }
}
