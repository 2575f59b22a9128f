//! Finds files of one folder that import one another in a circle.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::tree::{Texts, code, is_test_file, paths_from, sources};

/// Folders within which files may import one another both ways.
const ROOMS: [(&str, &str); 1] =
    [("host/store/src/embedded", "a room of the store is one unit; rooms import one way")];

/// Which of its siblings each file of a folder names, and where.
type Graph = BTreeMap<String, BTreeMap<String, PathBuf>>;

/// The source folder of the crate, and the modules of a file below it.
fn module_path(file: &Path) -> Option<(PathBuf, Vec<String>)> {
    let parts: Vec<&str> = file.iter().filter_map(|part| part.to_str()).collect();
    let src = parts.iter().position(|part| *part == "src")?;
    let mut modules: Vec<String> =
        parts[src + 1..].iter().map(|part| part.trim_end_matches(".rs").to_owned()).collect();
    if matches!(modules.last().map(String::as_str), Some("mod" | "lib" | "main")) {
        modules.pop();
    }
    Some((parts[..=src].iter().collect(), modules))
}

/// The modules that a file names, as paths from the root of its crate.
fn named(modules: &[String], text: &str) -> Vec<Vec<String>> {
    let code = code(text);
    let absolute = paths_from(&code, "crate").into_iter().map(|path| path[1..].to_vec());
    let relative = paths_from(&code, "super").into_iter().filter_map(|path| {
        let ups = path.iter().take_while(|part| *part == "super").count();
        let base = modules.len().checked_sub(ups)?;
        Some([&modules[..base], &path[ups..]].concat())
    });
    absolute.chain(relative).collect()
}

/// What the `mod.rs` of each folder re-exports: the name, and the module it comes from.
fn reexports(files: &Texts) -> BTreeMap<(PathBuf, Vec<String>), String> {
    let mut found = BTreeMap::new();
    for (file, text) in files {
        let Some((src, modules)) = module_path(file) else { continue };
        for line in code(text).split(';') {
            let Some(at) = line.find("use ") else { continue };
            let path = line[at + "use ".len()..].trim_start_matches("self::");
            let is_relative = !["crate::", "super::", "std::"].iter().any(|s| path.starts_with(s));
            if is_relative && line[..at].contains("pub") {
                for path in paths_from(&format!("self::{path}"), "self") {
                    if let [_, module, .., name] = path.as_slice() {
                        let full = [&modules[..], std::slice::from_ref(name)].concat();
                        found.insert((src.clone(), full), module.clone());
                    }
                }
            }
        }
    }
    found
}

/// One graph for each folder.
fn graphs(files: &Texts) -> BTreeMap<PathBuf, Graph> {
    let reexports = reexports(files);
    let mut graphs: BTreeMap<PathBuf, Graph> = BTreeMap::new();
    for (file, text) in files {
        let Some((src, modules)) = module_path(file) else { continue };
        let targets = named(&modules, text);
        for depth in 0..modules.len() {
            let folder = &modules[..depth];
            let from = &modules[depth];
            let graph = graphs.entry(folder.iter().fold(src.clone(), |path, m| path.join(m)));
            let edges = graph.or_default().entry(from.clone()).or_default();
            for target in targets.iter().filter(|target| target.starts_with(folder)) {
                let Some(name) = target.get(depth) else { continue };
                let key = (src.clone(), target[..=depth].to_vec());
                let to = reexports.get(&key).unwrap_or(name);
                if to != from {
                    edges.entry(to.clone()).or_insert_with(|| file.clone());
                }
            }
        }
    }
    graphs
}

/// All files that can be reached from one.
fn reachable(graph: &Graph, from: &str) -> BTreeSet<String> {
    let mut reached = BTreeSet::new();
    let mut open = vec![from.to_owned()];
    while let Some(next) = open.pop() {
        for to in graph.get(&next).into_iter().flat_map(BTreeMap::keys) {
            if graph.contains_key(to) && reached.insert(to.clone()) {
                open.push(to.clone());
            }
        }
    }
    reached
}

#[test]
fn files_of_one_folder_import_one_way() {
    let files: Texts = sources()
        .into_iter()
        .filter(|(path, _)| !is_test_file(path) && !path.starts_with("tests"))
        .collect();
    let mut broken = Vec::new();
    for (folder, graph) in graphs(&files) {
        if ROOMS.iter().any(|(room, _)| folder.starts_with(room) && folder != Path::new(room)) {
            continue;
        }
        let reached: BTreeMap<&String, BTreeSet<String>> =
            graph.keys().map(|from| (from, reachable(&graph, from))).collect();
        for (from, edges) in &graph {
            for (to, file) in edges {
                let is_circle = reached.get(to).is_some_and(|back| back.contains(from));
                if is_circle {
                    let folder = folder.display();
                    broken.push(format!("{folder}: {from} -> {to} ({})", file.display()));
                }
            }
        }
    }
    assert!(broken.is_empty(), "imports in a circle:\n{}", broken.join("\n"));
}
