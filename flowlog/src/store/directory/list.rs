//! What is in a directory. Whatever is odd is named, and never hides the rest.

use std::{
    ffi::CString,
    io,
    os::fd::{AsFd as _, BorrowedFd, OwnedFd},
};

use nix::sys::stat::{FileStat, SFlag};
use object_store::path::Path;

use super::{Directory, folders::Folders, is_file, kind_of};
use crate::{
    durable,
    record::gateway::GatewayName,
    store::{
        Oddity,
        listing::escape,
        request::{Action, Entry, Failure, List},
    },
};

/// Folders within folders that are looked into; a store has five.
const DEEPEST: usize = 16;

/// Something on the way through a directory.
pub(super) enum Sight<'a> {
    /// A file, by the path of the object that it is.
    File {
        /// Its folder.
        folder: BorrowedFd<'a>,
        /// Its path.
        path: &'a str,
        /// What is known of it.
        found: &'a FileStat,
    },
    /// What is no file, or cannot be looked at.
    Odd(Oddity),
}

impl Directory {
    /// The objects below a folder, or all of them.
    pub(in crate::store) fn list(&self, under: Option<&str>) -> Result<List, Failure> {
        let mut list = List::default();
        self.walk(under, &mut |sight| match sight {
            Sight::Odd(oddity) => list.oddities.push(oddity),
            Sight::File { path, .. } if crate::store::own::is_staged(path) => {}
            Sight::File { path, found, .. } => {
                list.objects.push(Entry::new(path.to_owned(), found));
            }
        })?;
        list.objects.sort_unstable_by(|a, b| a.path.cmp(&b.path));
        list.oddities.sort_unstable();
        Ok(list)
    }

    /// The gateways that have folders in these, in the order of their names.
    pub(in crate::store) fn gateways(
        &self,
        tables: &[String],
    ) -> Result<Vec<GatewayName>, Failure> {
        let mut gateways = vec![];
        for table in tables {
            let failed = Failure::of(Action::List, table);
            let folders = match Folders::open(self.root(), [table.as_str()]) {
                Ok(folders) => folders,
                // Whoever may not look must not take it for empty.
                Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                    return Err(failed(error));
                }
                Err(_) => continue,
            };
            for name in durable::names(folders.last()).map_err(&failed)? {
                let name = name.to_str().ok().and_then(|name| name.strip_prefix("gateway="));
                gateways.extend(name.and_then(|name| name.parse::<GatewayName>().ok()));
            }
        }
        gateways.sort_unstable();
        gateways.dedup();
        Ok(gateways)
    }

    /// The names of what is in a folder, in their order; where there is no such folder, nothing.
    pub(in crate::store) fn folders(&self, folder: &str) -> Result<Vec<String>, Failure> {
        let failed = Failure::of(Action::List, folder);
        let names = match Folders::open(self.root(), folder.split('/')) {
            Ok(folders) => durable::names(folders.last()).map_err(&failed)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(vec![]),
            Err(error) => return Err(failed(error)),
        };
        let mut names: Vec<String> =
            names.iter().filter_map(|name| Some(name.to_str().ok()?.to_owned())).collect();
        names.sort_unstable();
        Ok(names)
    }

    /// Goes through everything below a folder.
    pub(super) fn walk(
        &self,
        under: Option<&str>,
        seen: &mut dyn FnMut(Sight<'_>),
    ) -> Result<(), Failure> {
        let under = under.unwrap_or_default();
        let failed = Failure::of(Action::List, if under.is_empty() { "/" } else { under });
        let names = under.split('/').filter(|name| !name.is_empty());
        let folders = match Folders::open(self.root(), names) {
            Ok(folders) => folders,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => {
                let failure = failed(error);
                let Some(reason) = failure.oddity() else { return Err(failure) };
                seen(Sight::Odd(Oddity { path: escape(under), reason }));
                return Ok(());
            }
        };
        let names = durable::names(folders.last()).map_err(failed)?;
        walk_folder(folders.last(), under, &names, DEEPEST, seen);
        Ok(())
    }
}

fn walk_folder(
    folder: BorrowedFd<'_>,
    above: &str,
    names: &[CString],
    deepest: usize,
    seen: &mut dyn FnMut(Sight<'_>),
) {
    for name in names {
        let bytes = name.to_bytes();
        let shown = join(above, &escape_bytes(bytes));
        let mut odd = |reason: &str| {
            seen(Sight::Odd(Oddity { path: shown.clone(), reason: reason.to_owned() }));
        };
        let Ok(text) = name.to_str() else {
            odd("its name is not UTF-8");
            continue;
        };
        let path = join(above, text);
        if Path::parse(&path).map_or(true, |parsed| parsed.as_ref() != path) {
            odd("its name has characters that no object of flowlog has");
            continue;
        }
        let found = match durable::look(folder, text) {
            Ok(Some(found)) => found,
            // It went meanwhile.
            Ok(None) => continue,
            Err(error) => {
                odd(&format!("cannot be examined: {error}"));
                continue;
            }
        };
        match durable::kind(&found) {
            SFlag::S_IFREG => seen(Sight::File { folder, path: &path, found: &found }),
            // That of a file system, for its own repairs.
            SFlag::S_IFDIR if path == "lost+found" => {}
            SFlag::S_IFDIR if deepest == 0 => odd("a directory that is nested too deeply"),
            SFlag::S_IFDIR => match open_and_list(folder, text) {
                Ok((below, names)) => walk_folder(below.as_fd(), &path, &names, deepest - 1, seen),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => odd(&format!("cannot be listed: {error}")),
            },
            _ => odd(kind_of(&found)),
        }
    }
}

fn open_and_list(above: BorrowedFd<'_>, name: &str) -> io::Result<(OwnedFd, Vec<CString>)> {
    let folder = durable::enter(above, name)?;
    let names = durable::names(&folder)?;
    Ok((folder, names))
}

fn join(above: &str, name: &str) -> String {
    if above.is_empty() { name.to_owned() } else { format!("{above}/{name}") }
}

/// A name that can be printed: what cannot is escaped.
fn escape_bytes(name: &[u8]) -> String {
    name.utf8_chunks()
        .flat_map(|chunk| [escape(chunk.valid()), chunk.invalid().escape_ascii().to_string()])
        .collect()
}

/// Whether something is a file whose name may be given to somebody else.
pub(super) fn is_plain_file(folder: BorrowedFd<'_>, name: &str) -> io::Result<bool> {
    Ok(durable::look(folder, name)?.is_some_and(|found| is_file(&found)))
}
