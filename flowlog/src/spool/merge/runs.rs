//! Merging runs into one, few at a time: a process may have so many files open and no more.

use std::{net::IpAddr, path::PathBuf};

use super::{
    super::{
        Error, UNFINISHED,
        header::Header,
        longest_table,
        run::{Cursor, Run, RunWriter},
    },
    Duplicates, Merge, cursors,
};

/// Runs that are open at once.
pub const MOST_AT_ONCE: usize = 32;
/// Entries between two looks at whether it is time to end.
const BETWEEN_LOOKS: usize = 1 << 16;

/// Merges runs into one.
pub fn merge(runs: &[Run], path: PathBuf, duplicates: Duplicates) -> Result<Run, Error> {
    merge_until(runs, path, duplicates, &|| false)
}

/// Merges runs into one, unless it is time to end before that is done.
pub fn merge_until(
    runs: &[Run],
    path: PathBuf,
    duplicates: Duplicates,
    is_over: &dyn Fn() -> bool,
) -> Result<Run, Error> {
    let header = Header::of(runs).unwrap_or_default();
    let mut parts = Parts { runs: runs.to_vec(), temporary: vec![] };
    while parts.runs.len() > MOST_AT_ONCE {
        parts.merge_some(&path, duplicates, is_over)?;
    }
    write(&parts.runs, path, header, duplicates, is_over)
}

/// Runs that are merged in steps.
struct Parts {
    runs: Vec<Run>,
    /// Those of them that are in between.
    temporary: Vec<PathBuf>,
}

impl Parts {
    /// Makes each few runs one, in their order.
    fn merge_some(
        &mut self,
        path: &std::path::Path,
        duplicates: Duplicates,
        is_over: &dyn Fn() -> bool,
    ) -> Result<(), Error> {
        let mut merged = vec![];
        for few in self.runs.chunks(MOST_AT_ONCE) {
            let mut name = path.file_stem().unwrap_or_default().to_owned();
            name.push(format!("~{}.{UNFINISHED}", self.temporary.len()));
            let part = path.with_file_name(name);
            self.temporary.push(part.clone());
            let header = Header { interfaces: longest_table(few), ..Header::default() };
            merged.push(write(few, part, header, duplicates, is_over)?);
        }
        self.runs = merged;
        Ok(())
    }
}

impl Drop for Parts {
    fn drop(&mut self) {
        let disk = self.runs.first().map(|run| run.disk().clone());
        for path in disk.iter().flat_map(|_| &self.temporary) {
            // What stays has the name of something unfinished, and goes with the next start.
            disk.as_ref().map_or(Ok(()), |disk| disk.remove(path)).unwrap_or_default();
        }
    }
}

fn write(
    runs: &[Run],
    path: PathBuf,
    header: Header,
    duplicates: Duplicates,
    is_over: &dyn Fn() -> bool,
) -> Result<Run, Error> {
    let Some(first) = runs.first() else { return Err(Error::Damaged { path }) };
    let (v4, v6) = cursors(runs)?;
    let mut writer = RunWriter::create(first.disk(), path)?;
    copy(v4, duplicates, &mut writer, is_over)?;
    copy(v6, duplicates, &mut writer, is_over)?;
    writer.finish(header)
}

fn copy<const A: usize>(
    cursors: Vec<Cursor<A>>,
    duplicates: Duplicates,
    writer: &mut RunWriter,
    is_over: &dyn Fn() -> bool,
) -> Result<(), Error>
where
    IpAddr: From<[u8; A]>,
{
    let mut merged = Merge::new(cursors, duplicates)?;
    loop {
        if is_over() {
            return Err(Error::Stopped);
        }
        for _ in 0..BETWEEN_LOOKS {
            let Some(entry) = merged.next_entry()? else { return Ok(()) };
            writer.push(&entry)?;
        }
    }
}
