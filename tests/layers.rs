//! Checks how the files of `runtime/` depend on each other: by layers, and without a cycle.
//!
//! A file may use its own layer and those above it in [`LAYERS`]. Files are the nodes of a graph; an edge is a path
//! that begins with `crate`, `super`, `self` or a child module, in a `use` or anywhere else in the code, followed
//! through re-exports to the file that it ends in. A `mod` or a `pub use` is no edge as long as its file only passes the
//! name on, and neither are comments, strings, `pub(in …)`, `$crate` and everything under `#[cfg(test)]`.
//!
//! `lib.rs` uses whatever it likes, and nobody uses what only `lib.rs` defines.

#[path = "layers/tokens.rs"]
mod tokens;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use tokens::{is_name, tokens, without_tests};

/// From top to bottom of the page: what comes earlier knows nothing of what comes later.
const LAYERS: &[&[&str]] = &[
    &["os"],
    &["util"],
    &["stack"],
    &["task"],
    &["time"],
    &["poll"],
    &["sched"],
    &["sync"],
    &["channel"],
    &["thread"],
    &["cancel"],
    &["group"],
    // std's shapes, which serve each other: files come from pools, `io::copy` knows sockets, processes have pipes.
    &["io", "net", "fs", "process", "signal"],
    &["pool"],
    &["actor"],
    &["futures"],
    // Pages of documentation, without code.
    &["guide"],
];

#[test]
fn files_use_only_their_own_layer_and_those_above() {
    let faults = Crate::read().breaches();
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}

#[test]
fn no_file_is_in_an_import_cycle() {
    let found = Crate::read();
    let cycle = found.cycle().unwrap_or_default();
    assert!(cycle.is_empty(), "\n{}", cycle.join("\n  uses "));
}

/// A module's path from the root, without `crate`: `["task", "park"]`; the root's is empty.
type Module = Vec<String>;

/// The files and what they mention.
#[derive(Default)]
struct Crate {
    /// The file of every module; inline modules stand in their parent's file.
    files: BTreeMap<Module, String>,
    /// `(module, name) -> path`: what `pub use` makes a module show under a name of its own.
    reexports: BTreeMap<(Module, String), Mention>,
    mentions: Vec<Mention>,
    /// Names that a module uses outside of `use`.
    names: BTreeSet<(Module, String)>,
}

/// A path in the code, and the module that it stands in.
#[derive(Clone)]
struct Mention {
    module: Module,
    path: Vec<String>,
}

impl Crate {
    fn read() -> Crate {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("runtime");
        let mut sources = Vec::new();
        collect(&root, &root, &mut sources);
        assert!(sources.len() > 20, "only {} files found under {}", sources.len(), root.display());
        Crate::new(sources.iter().map(|(file, text)| (file.as_str(), text.as_str())))
    }

    fn new<'a>(sources: impl IntoIterator<Item = (&'a str, &'a str)>) -> Crate {
        let mut found = Crate::default();
        for (file, text) in sources {
            let mut reader = Reader {
                file,
                tokens: without_tests(tokens(text)),
                at: 0,
                module: module_of(file),
                inline: vec![],
            };
            found.files.insert(reader.module.clone(), file.to_owned());
            reader.read(&mut found);
        }
        let used = found.reexports.iter().filter(|(key, _)| found.names.contains(key));
        found.mentions.extend(used.map(|(_, mention)| mention.clone()));
        found
    }

    /// All edges between different files.
    fn edges(&self) -> BTreeSet<(&str, &str)> {
        let resolve = |m: &Mention| Some((self.files[&m.module].as_str(), self.resolve(m, 0)?));
        self.mentions.iter().filter_map(resolve).filter(|(from, to)| from != to).collect()
    }

    /// The file in which a path ends; none if it leads out of the crate.
    fn resolve(&self, mention: &Mention, depth: usize) -> Option<&str> {
        let mut module = mention.module.clone();
        let mut rest = mention.path.iter();
        let mut first = true;
        while let Some(name) = rest.next() {
            match name.as_str() {
                "crate" => module.clear(),
                "self" => {}
                "super" => drop(module.pop()),
                _ => {
                    let child: Module = module.iter().chain([name]).cloned().collect();
                    if self.files.contains_key(&child) {
                        module = child;
                    } else if first {
                        return None; // Another crate's name, or a local one.
                    } else if let Some(target) = self.reexports.get(&(module.clone(), name.clone())) {
                        assert!(depth < 20, "endless re-export of {name}");
                        let path = target.path.iter().chain(rest).cloned().collect();
                        return self.resolve(&Mention { module: target.module.clone(), path }, depth + 1);
                    } else {
                        break; // An item of `module`.
                    }
                }
            }
            first = false;
        }
        Some(&self.files[&module])
    }

    fn breaches(&self) -> Vec<String> {
        let unknown = self.files.values().filter(|file| *file != "lib.rs" && layer(file).is_none());
        let unknown =
            unknown.map(|file| format!("{file} belongs to no layer: add it to LAYERS where it belongs"));
        let lower =
            self.edges().into_iter().filter(|(from, to)| *from != "lib.rs" && layer(to) > layer(from));
        let lower = lower.map(|(from, to)| format!("{from} uses {to}, which is in a layer below its own"));
        let root = self.edges().into_iter().filter(|(_, to)| *to == "lib.rs");
        let root = root.map(|(from, _)| format!("{from} uses something that lib.rs defines"));
        unknown.chain(lower).chain(root).collect()
    }

    /// The files of one cycle, the first of them again at the end.
    fn cycle(&self) -> Option<Vec<&str>> {
        let mut edges = self.edges();
        // An edge to a file that uses nothing is in no cycle; without it others use nothing in turn.
        loop {
            let users: BTreeSet<_> = edges.iter().map(|&(from, _)| from).collect();
            let before = edges.len();
            edges.retain(|(_, to)| users.contains(to));
            if edges.len() == before {
                break;
            }
        }
        let mut walk = vec![edges.first()?.0];
        loop {
            let last = walk[walk.len() - 1];
            let next = edges.iter().find(|(from, _)| *from == last)?.1;
            if let Some(start) = walk.iter().position(|file| *file == next) {
                walk.push(next);
                return Some(walk.split_off(start));
            }
            walk.push(next);
        }
    }
}

fn layer(file: &str) -> Option<usize> {
    let first = file.split('/').next()?;
    LAYERS.iter().position(|layer| layer.contains(&first.trim_end_matches(".rs")))
}

fn module_of(file: &str) -> Module {
    let path = file.trim_end_matches(".rs").trim_end_matches("/mod");
    path.split('/').filter(|name| *name != "lib").map(str::to_owned).collect()
}

/// All sources but the files called `tests.rs`, which are whole modules under `#[cfg(test)]`.
fn collect(root: &Path, folder: &Path, sources: &mut Vec<(String, String)>) {
    for entry in fs::read_dir(folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display())) {
        let path = entry.expect("the folder can be listed").path();
        if path.is_dir() {
            collect(root, &path, sources);
        } else if path.extension().is_some_and(|ext| ext == "rs") && !path.ends_with("tests.rs") {
            let name =
                path.strip_prefix(root).expect("it was found there").to_str().expect("names are ASCII");
            sources.push((name.to_owned(), fs::read_to_string(&path).expect("sources are readable")));
        }
    }
}

/// Walks over a file's tokens and notes the paths.
struct Reader<'a> {
    file: &'a str,
    tokens: Vec<String>,
    at: usize,
    module: Module,
    /// For each open brace, whether it opened an inline module.
    inline: Vec<bool>,
}

impl Reader<'_> {
    fn token(&self, ahead: usize) -> &str {
        self.tokens.get(self.at + ahead).map_or("", String::as_str)
    }

    fn read(&mut self, found: &mut Crate) {
        let mut public = false;
        while self.at < self.tokens.len() {
            match self.token(0) {
                "pub" => {
                    public = true;
                    self.at += 1;
                    if self.token(0) == "(" {
                        self.at += self.tokens[self.at..].iter().take_while(|t| *t != ")").count() + 1;
                    }
                    continue;
                }
                "mod" if self.token(2) == "{" => {
                    self.module.push(self.token(1).to_owned());
                    found.files.insert(self.module.clone(), self.file.to_owned());
                    self.inline.push(true);
                    self.at += 3;
                }
                "{" => {
                    self.inline.push(false);
                    self.at += 1;
                }
                "}" => {
                    if self.inline.pop() == Some(true) {
                        self.module.pop();
                    }
                    self.at += 1;
                }
                "use" => {
                    self.at += 1;
                    self.use_tree(&[], public, found);
                }
                "$" => self.at += 2,
                _ => self.path(found),
            }
            public = false;
        }
    }

    /// One branch of a `use`, behind `prefix`; stops at what follows it.
    fn use_tree(&mut self, prefix: &[String], public: bool, found: &mut Crate) {
        let mut path = prefix.to_vec();
        if self.token(0) == "::" {
            path.push("(another crate)".to_owned());
        }
        loop {
            match self.token(0) {
                "::" => self.at += 1,
                "{" => {
                    self.at += 1;
                    while self.token(0) != "}" {
                        self.use_tree(&path, public, found);
                        self.at += usize::from(self.token(0) == ",");
                    }
                    self.at += 1;
                    return;
                }
                "as" | "," | ";" | "}" | "" => break,
                name => {
                    // `{self}` is the module before the brace itself.
                    if name != "self" || path.is_empty() {
                        path.push(name.to_owned());
                    }
                    self.at += 1;
                }
            }
        }
        let mut name = path.last().cloned().unwrap_or_default();
        if self.token(0) == "as" {
            name = self.token(1).to_owned();
            self.at += 2;
        }
        let mention = Mention { module: self.module.clone(), path };
        if public {
            found.reexports.insert((self.module.clone(), name), mention);
        } else {
            found.mentions.push(mention);
        }
    }

    /// A path in the code, or a token that begins none.
    fn path(&mut self, found: &mut Crate) {
        let mut path = Vec::new();
        if is_name(self.token(0)) && (self.at == 0 || self.tokens[self.at - 1] != "::") {
            path.push(self.token(0).to_owned());
            found.names.insert((self.module.clone(), self.token(0).to_owned()));
            while self.token(1) == "::" && is_name(self.token(2)) {
                path.push(self.token(2).to_owned());
                self.at += 2;
            }
        }
        if path.len() > 1 {
            found.mentions.push(Mention { module: self.module.clone(), path });
        }
        self.at += 1;
    }
}

/// The checker itself, on crates of a few lines.
mod checker {
    use super::Crate;

    #[test]
    fn a_use_of_a_lower_layer_is_a_breach() {
        for code in
            ["use crate::sync::Mutex;", "fn f() { crate::sync::f() }", "use super::{super::sync::{self}};"]
        {
            let found = Crate::new([
                ("lib.rs", ""),
                ("task/park.rs", code),
                ("task/mod.rs", ""),
                ("sync/mod.rs", ""),
            ]);
            let expected = "task/park.rs uses sync/mod.rs, which is in a layer below its own";
            assert_eq!(found.breaches(), [expected], "{code}");
        }
    }

    #[test]
    fn comments_strings_tests_and_macro_paths_do_not_count() {
        let code = r##"
            //! [`crate::sync`]
            /* crate::sync::a /* nested */ */
            const S: &str = "\"crate::sync::a"; const R: &str = r#"crate::"sync"#; const C: char = '"';
            #[cfg(test)] use crate::sync::{a, b};
            #[cfg(all(test, loom))] #[allow(unused)] mod tests { use crate::sync::a; fn f<'a>(_: &'a u8) { { } } }
            macro_rules! m { () => { $crate::sync::a() } }
            pub(in crate::task) fn f() {}
        "##;
        let found = Crate::new([("lib.rs", ""), ("task/mod.rs", code), ("sync/mod.rs", "")]);
        assert_eq!(found.breaches(), [] as [&str; 0]);
    }

    #[test]
    fn what_follows_a_test_module_counts_again() {
        let code = "#[cfg(test)] mod tests { } #[cfg(not(test))] use crate::sync::a;";
        let found = Crate::new([("lib.rs", ""), ("task/mod.rs", code), ("sync/mod.rs", "")]);
        assert_eq!(found.breaches().len(), 1);
    }

    #[test]
    fn a_reexport_leads_to_where_the_item_is() {
        let found = Crate::new([
            ("lib.rs", "pub mod task; pub use task::park;"),
            ("task/mod.rs", "mod a; mod b; pub(crate) use a::{A as Alias, park};"),
            ("task/a.rs", ""),
            ("task/b.rs", "use super::Alias; fn f() { crate::park() }"),
        ]);
        assert_eq!(found.edges().into_iter().collect::<Vec<_>>(), [("task/b.rs", "task/a.rs")]);
        assert_eq!((found.breaches().len(), found.cycle()), (0, None));
    }

    #[test]
    fn a_reexported_name_that_its_file_uses_counts() {
        let found =
            Crate::new([("lib.rs", ""), ("os/mod.rs", "pub use a::A; fn f(_: A) {}"), ("os/a.rs", "")]);
        assert!(found.edges().contains(&("os/mod.rs", "os/a.rs")));
    }

    #[test]
    fn a_cycle_is_found_behind_files_that_only_lead_to_it() {
        let found = Crate::new([
            ("lib.rs", ""),
            ("os/mod.rs", "mod a; mod b; mod c; fn f() { a::f() }"),
            ("os/a.rs", "use super::b::f; use crate::os::d;"),
            ("os/b.rs", "fn f() { super::c::f() }"),
            ("os/c.rs", "use super::a;"),
        ]);
        assert_eq!(found.cycle(), Some(vec!["os/a.rs", "os/b.rs", "os/c.rs", "os/a.rs"]));
    }

    #[test]
    fn the_root_and_unknown_layers_are_refused() {
        let found = Crate::new([("lib.rs", "pub struct X;"), ("os/mod.rs", "use crate::X;"), ("odd.rs", "")]);
        assert_eq!(found.breaches().len(), 2);
    }
}
