//! Numbers that are remembered: which clsacts and which programs are flowlog's.
//!
//! The file system has no files of words: a number is remembered by an empty directory.

use std::{collections::HashSet, fs, path::Path};

use super::{directories, if_there, make};
use crate::capture::error::{Error, failure};

const CLSACT: &str = "clsact-";
const PROGRAM: &str = "program-";

/// Whether a directory of this name is one of them.
pub(super) fn is_number(name: &str) -> bool {
    name.starts_with(CLSACT) || name.starts_with(PROGRAM)
}

/// The kernel indexes of the interfaces that have a clsact of flowlog's making.
pub(in crate::capture) fn own_clsacts(directory: &Path) -> Result<HashSet<u32>, Error> {
    remembered(directory, CLSACT)
}

/// Remembers that flowlog made the clsact of an interface.
pub(in crate::capture) fn remember_clsact(
    directory: &Path,
    kernel_index: u32,
) -> Result<(), Error> {
    make(&directory.join(format!("{CLSACT}{kernel_index}")))
}

/// Forgets it.
pub(in crate::capture) fn forget_clsact(directory: &Path, kernel_index: u32) -> Result<(), Error> {
    forget(&directory.join(format!("{CLSACT}{kernel_index}")))
}

/// The kernel's numbers of the programs that filters of this gateway may be.
pub(in crate::capture) fn programs(directory: &Path) -> Result<HashSet<u32>, Error> {
    remembered(directory, PROGRAM)
}

/// Remembers a program, before it is attached.
pub(in crate::capture) fn remember_program(directory: &Path, id: u32) -> Result<(), Error> {
    make(&directory.join(format!("{PROGRAM}{id}")))
}

/// Forgets it.
pub(in crate::capture) fn forget_program(directory: &Path, id: u32) -> Result<(), Error> {
    forget(&directory.join(format!("{PROGRAM}{id}")))
}

fn remembered(directory: &Path, prefix: &str) -> Result<HashSet<u32>, Error> {
    let folders = directories(directory)?.into_iter();
    Ok(folders.filter_map(|name| name.strip_prefix(prefix)?.parse().ok()).collect())
}

fn forget(path: &Path) -> Result<(), Error> {
    if_there(fs::remove_dir(path)).map_err(|source| failure("remove", path, source))
}
