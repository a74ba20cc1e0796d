//! Which file of a crate uses which: read from its syntax, from the module tree of `lib.rs` and `main.rs`.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use syn::visit::Visit;

/// The files of a crate by their modules, and the paths in each.
#[derive(Default)]
pub struct Imports {
    /// By module path: `spool::run`; `lib` and `main` are the roots.
    pub files: BTreeMap<String, BTreeSet<Vec<String>>>,
}

/// The room of a file: the first part of its module path.
pub fn room(file: &str) -> &str {
    file.split_once("::").map_or(file, |(room, _)| room)
}

impl Imports {
    /// Reads the sources of a crate.
    pub fn read(sources: &Path) -> anyhow::Result<Self> {
        let mut imports = Self::default();
        for root in ["lib", "main"] {
            let file = sources.join(root).with_extension("rs");
            if file.exists() {
                imports.add(&file, sources, &[], root)?;
            }
        }
        Ok(imports)
    }

    /// Adds the file of a module, and the modules that it declares in files of their own.
    fn add(
        &mut self,
        file: &Path,
        folder: &Path,
        module: &[String],
        root: &str,
    ) -> anyhow::Result<()> {
        let text =
            fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
        let syntax =
            syn::parse_file(&text).with_context(|| format!("cannot parse {}", file.display()))?;
        let mut paths = Paths { module: module.to_vec(), found: BTreeSet::new() };
        paths.visit_file(&syntax);
        let name = if module.is_empty() { root.to_owned() } else { module.join("::") };
        self.files.insert(name, paths.found);
        for item in &syntax.items {
            let syn::Item::Mod(declared) = item else { continue };
            if declared.content.is_some() || is_of_tests(&declared.attrs) {
                continue;
            }
            let name = declared.ident.to_string();
            let inner = folder.join(&name);
            let file = [inner.with_extension("rs"), inner.join("mod.rs")]
                .into_iter()
                .find(|file: &PathBuf| file.exists());
            let file = file.with_context(|| {
                format!("no file for the module {name} below {}", folder.display())
            })?;
            let module: Vec<String> = module.iter().cloned().chain([name]).collect();
            self.add(&file, &inner, &module, root)?;
        }
        Ok(())
    }

    /// Every use of one file by another that is not of its family, with the name that is used.
    pub fn all(&self) -> Vec<(&str, &str, String)> {
        let mut all = vec![];
        for (from, paths) in &self.files {
            for path in paths {
                let Some(to) = self.file_of(path) else { continue };
                if !is_family(from, to) {
                    all.push((from.as_str(), to, path.join("::")));
                }
            }
        }
        all
    }

    /// The file of the longest module that a path begins with.
    fn file_of(&self, path: &[String]) -> Option<&str> {
        (1..=path.len()).rev().find_map(|length| {
            let module = path[..length].join("::");
            self.files.get_key_value(&module).map(|(file, _)| file.as_str())
        })
    }
}

/// Whether one is a module inside the other, or the same.
fn is_family(one: &str, other: &str) -> bool {
    let is_inside = |inner: &str, outer: &str| {
        inner.strip_prefix(outer).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
    };
    is_inside(one, other) || is_inside(other, one)
}

/// The name of the crate, as the binary uses it.
const CRATE: &str = "flowlog";

/// Collects the paths of a file, from the root of the crate.
struct Paths {
    module: Vec<String>,
    found: BTreeSet<Vec<String>>,
}

impl Paths {
    fn add(&mut self, segments: &[String]) {
        let mut rest = segments;
        let mut path = match rest.first().map(String::as_str) {
            Some("crate" | CRATE) => vec![],
            Some("self" | "super") => self.module.clone(),
            _ => return,
        };
        while let Some(first) = rest.first() {
            match first.as_str() {
                "super" => drop(path.pop()),
                "self" | "crate" | CRATE => {}
                _ => break,
            }
            rest = &rest[1..];
        }
        path.extend(rest.iter().cloned());
        self.found.insert(path);
    }

    fn add_tree(&mut self, tree: &syn::UseTree, before: &[String]) {
        let with = |ident: &syn::Ident| {
            before.iter().cloned().chain([ident.to_string()]).collect::<Vec<_>>()
        };
        match tree {
            syn::UseTree::Path(path) => self.add_tree(&path.tree, &with(&path.ident)),
            syn::UseTree::Name(name) if name.ident == "self" => self.add(before),
            syn::UseTree::Name(name) => self.add(&with(&name.ident)),
            syn::UseTree::Rename(rename) => self.add(&with(&rename.ident)),
            syn::UseTree::Glob(_) => self.add(before),
            syn::UseTree::Group(group) => {
                for tree in &group.items {
                    self.add_tree(tree, before);
                }
            }
        }
    }
}

impl<'ast> Visit<'ast> for Paths {
    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        if !is_of_tests(&item.attrs) {
            self.add_tree(&item.tree, &[]);
        }
    }

    fn visit_item_mod(&mut self, item: &'ast syn::ItemMod) {
        if is_of_tests(&item.attrs) {
            return;
        }
        self.module.push(item.ident.to_string());
        syn::visit::visit_item_mod(self, item);
        self.module.pop();
    }

    fn visit_item_fn(&mut self, item: &'ast syn::ItemFn) {
        if !is_of_tests(&item.attrs) {
            syn::visit::visit_item_fn(self, item);
        }
    }

    fn visit_item_impl(&mut self, item: &'ast syn::ItemImpl) {
        if !is_of_tests(&item.attrs) {
            syn::visit::visit_item_impl(self, item);
        }
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let segments: Vec<String> =
            path.segments.iter().map(|segment| segment.ident.to_string()).collect();
        self.add(&segments);
        syn::visit::visit_path(self, path);
    }
}

/// Whether something is compiled for tests only.
fn is_of_tests(attributes: &[syn::Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        attribute.path().is_ident("cfg")
            && attribute.parse_args::<syn::Meta>().is_ok_and(|condition| is_test(&condition))
    })
}

/// `test`, or `all(test, …)`.
fn is_test(condition: &syn::Meta) -> bool {
    let syn::Meta::List(list) = condition else { return condition.path().is_ident("test") };
    let separated = syn::punctuated::Punctuated::<syn::Meta, syn::Token![,]>::parse_terminated;
    list.path.is_ident("all")
        && list.parse_args_with(separated).is_ok_and(|all| all.iter().any(is_test))
}
