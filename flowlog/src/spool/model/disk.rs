//! A disk in memory, which knows what a power loss leaves of it.

use std::{
    collections::BTreeMap,
    ffi::OsString,
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard},
};

use fastrand::Rng;

use super::{
    super::disk::{Disk, Kind, Listed, Output, ReadAt},
    real::Real,
};

/// What goes wrong with the operation whose turn it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// It fails, and so does nothing else.
    Error(i32),
    /// The process is killed: nothing is done any more.
    Kill,
}

/// What a disk may be bad at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BadDisk {
    /// It answers that a file is durable, and it is not.
    UnsyncedFiles,
    /// It answers that names are durable, and they are not.
    UnsyncedNames,
    /// A new name is not there although nothing failed.
    LostNames,
}

type Inode = usize;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Node {
    File(Inode),
    Directory(Inode),
    Other,
}

type Names = BTreeMap<OsString, Node>;

/// A change of names that is not durable yet.
#[derive(Clone, Debug)]
enum Change {
    Add(Inode, OsString, Node),
    Remove(Inode, OsString),
    Move((Inode, OsString), (Inode, OsString), Node),
}

#[derive(Clone, Debug, Default)]
struct Content {
    live: Vec<u8>,
    durable: Vec<u8>,
}

#[derive(Clone, Debug, Default)]
struct Inner {
    files: Vec<Content>,
    live: BTreeMap<Inode, Names>,
    durable: BTreeMap<Inode, Names>,
    pending: Vec<Change>,
    next_directory: Inode,
}

#[derive(Debug, Default)]
struct Controls {
    operations: u64,
    fault: Option<(u64, Fault)>,
    is_dead: bool,
    /// Every change fails with this error.
    read_only: Option<i32>,
    bad: Option<BadDisk>,
    /// Bytes of every file that cannot be read.
    bad_sector: Option<(u64, u64)>,
}

/// A disk in memory, or a real one that fails as this one does, whose directory is `/spool`.
#[derive(Clone, Debug, Default)]
pub(crate) struct ModelDisk {
    memory: Arc<Mutex<(Inner, Controls)>>,
    pub(crate) real: Option<Arc<Real>>,
}

/// The directory of the spool.
pub(crate) const ROOT: &str = "/spool";

fn error(code: i32) -> io::Error {
    io::Error::from_raw_os_error(code)
}

impl ModelDisk {
    fn lock(&self) -> MutexGuard<'_, (Inner, Controls)> {
        self.memory.lock().unwrap()
    }

    /// One more operation; whether it is done.
    fn operation(&self, is_change: bool) -> io::Result<MutexGuard<'_, (Inner, Controls)>> {
        let mut both = self.lock();
        let controls = &mut both.1;
        if controls.is_dead {
            return Err(error(libc::EIO));
        }
        controls.operations += 1;
        if let Some((at, fault)) = controls.fault
            && controls.operations >= at
        {
            controls.fault = None;
            match fault {
                Fault::Error(code) => return Err(error(code)),
                Fault::Kill => {
                    controls.is_dead = true;
                    return Err(error(libc::EIO));
                }
            }
        }
        match controls.read_only {
            Some(code) if is_change => Err(error(code)),
            _ => Ok(both),
        }
    }

    /// One more operation of a real disk; whether it is done.
    pub(crate) fn may(&self, is_change: bool) -> io::Result<()> {
        self.operation(is_change).map(drop)
    }

    /// A real one.
    pub(crate) fn on(real: Real) -> Self {
        Self { real: Some(Arc::new(real)), ..Self::default() }
    }

    /// How many operations there were.
    pub(crate) fn operations(&self) -> u64 {
        self.lock().1.operations
    }

    pub(crate) fn set_fault(&self, after: u64, fault: Fault) {
        let mut both = self.lock();
        both.1.fault = Some((both.1.operations + after + 1, fault));
    }

    pub(crate) fn set_read_only(&self, code: Option<i32>) {
        self.lock().1.read_only = code;
    }

    pub(crate) fn set_bad(&self, bad: Option<BadDisk>) {
        self.lock().1.bad = bad;
    }

    pub(crate) fn set_bad_sector(&self, sector: Option<(u64, u64)>) {
        self.lock().1.bad_sector = sector;
    }

    /// Nothing is done any more until a new process comes.
    pub(crate) fn kill(&self) {
        self.lock().1.is_dead = true;
    }

    pub(crate) fn is_dead(&self) -> bool {
        self.lock().1.is_dead
    }

    pub(crate) fn revive(&self) {
        let mut both = self.lock();
        (both.1.is_dead, both.1.fault) = (false, None);
    }

    /// What was not made durable is there or not, by chance.
    pub(crate) fn lose_power(&self, random: &mut Rng) {
        // What a real disk loses then only a real machine shows.
        if self.real.is_some() {
            return;
        }
        let mut both = self.lock();
        let inner = &mut both.0;
        for change in std::mem::take(&mut inner.pending) {
            if random.bool() {
                apply(&mut inner.durable, &change);
            }
        }
        for file in &mut inner.files {
            if file.live != file.durable {
                // What was synced before more was appended stays.
                let synced = file.durable.len().min(file.live.len());
                match random.u8(..4) {
                    0 => file.durable.clone_from(&file.live),
                    1 => file.durable.resize(file.live.len(), 0),
                    2 => {
                        let length = random.usize(synced..=file.live.len());
                        file.durable = file.live[..length].to_vec();
                    }
                    _ => {}
                }
            }
            file.live.clone_from(&file.durable);
        }
        inner.live = inner.durable.clone();
    }

    /// A copy of all that there is.
    pub(crate) fn copy(&self) -> Self {
        let inner = self.lock().0.clone();
        Self { memory: Arc::new(Mutex::new((inner, Controls::default()))), real: None }
    }

    /// Puts a copy in the place of what there is, durably.
    pub(crate) fn restore(&self, copy: &Self) {
        let inner = copy.lock().0.clone();
        let mut both = self.lock();
        both.0 = inner;
        both.0.pending.clear();
        both.0.durable = both.0.live.clone();
        for file in &mut both.0.files {
            file.durable.clone_from(&file.live);
        }
    }

    /// The paths of all files.
    pub(crate) fn files(&self) -> Vec<PathBuf> {
        if let Some(real) = &self.real {
            return real.files();
        }
        let both = self.lock();
        let mut found = vec![];
        let mut left = vec![(PathBuf::from(ROOT), 0)];
        while let Some((path, directory)) = left.pop() {
            for (name, node) in both.0.live.get(&directory).into_iter().flatten() {
                match node {
                    Node::Directory(inode) => left.push((path.join(name), *inode)),
                    Node::File(_) => found.push(path.join(name)),
                    Node::Other => {}
                }
            }
        }
        found.sort();
        found
    }

    /// Changes what a file holds, durably, behind everybody's back.
    pub(crate) fn damage(&self, path: &Path, change: impl FnOnce(&mut Vec<u8>)) {
        if let Some(real) = &self.real {
            return real.damage(path, change);
        }
        let mut both = self.lock();
        let Some(Node::File(inode)) = both.0.node(path) else { return };
        let file = &mut both.0.files[inode];
        change(&mut file.live);
        file.durable.clone_from(&file.live);
    }

    /// Deletes a file, durably.
    pub(crate) fn delete(&self, path: &Path) {
        if let Some(real) = &self.real {
            return real.delete(path);
        }
        let mut both = self.lock();
        let Some((directory, name)) = both.0.place(path) else { return };
        both.0.change(Change::Remove(directory, name), true);
    }

    /// Puts a file or something odd somewhere, durably.
    pub(crate) fn put(&self, path: &Path, bytes: Option<Vec<u8>>) {
        if let Some(real) = &self.real {
            return real.put(path, bytes);
        }
        let mut both = self.lock();
        let Some((directory, name)) = both.0.place(path) else { return };
        let node = match bytes {
            Some(live) => {
                both.0.files.push(Content { durable: live.clone(), live });
                Node::File(both.0.files.len() - 1)
            }
            None => Node::Other,
        };
        both.0.change(Change::Add(directory, name, node), true);
    }

    pub(crate) fn read(&self, path: &Path) -> Option<Vec<u8>> {
        if let Some(real) = &self.real {
            return real.read(path);
        }
        let both = self.lock();
        match both.0.node(path)? {
            Node::File(inode) => Some(both.0.files[inode].live.clone()),
            _ => None,
        }
    }
}

fn apply(names: &mut BTreeMap<Inode, Names>, change: &Change) {
    match change {
        Change::Add(directory, name, node) => {
            names.entry(*directory).or_default().insert(name.clone(), *node);
        }
        Change::Remove(directory, name) => {
            names.entry(*directory).or_default().remove(name);
        }
        Change::Move((from, name), (to, new), node) => {
            let source = names.entry(*from).or_default();
            if source.get(name) == Some(node) {
                source.remove(name);
            }
            names.entry(*to).or_default().insert(new.clone(), *node);
        }
    }
}

impl Inner {
    fn directory(&self, path: &Path) -> Option<Inode> {
        let mut inode = 0;
        for name in path.strip_prefix(ROOT).ok()? {
            match self.live.get(&inode)?.get(name)? {
                Node::Directory(next) => inode = *next,
                _ => return None,
            }
        }
        Some(inode)
    }

    fn place(&self, path: &Path) -> Option<(Inode, OsString)> {
        Some((self.directory(path.parent()?)?, path.file_name()?.to_owned()))
    }

    fn node(&self, path: &Path) -> Option<Node> {
        let (directory, name) = self.place(path)?;
        self.live.get(&directory)?.get(&name).copied()
    }

    fn change(&mut self, change: Change, is_durable: bool) {
        apply(&mut self.live, &change);
        if is_durable {
            apply(&mut self.durable, &change);
        } else {
            self.pending.push(change);
        }
    }
}

const NONE: i32 = libc::ENOENT;

impl Disk for ModelDisk {
    fn list(&self, directory: &Path) -> io::Result<Vec<Listed>> {
        let both = self.operation(false)?;
        if let Some(real) = &self.real {
            drop(both);
            return real.disk.list(&real.path(directory));
        }
        let inode = both.0.directory(directory).ok_or_else(|| error(NONE))?;
        let names = both.0.live.get(&inode).cloned().unwrap_or_default();
        let listed = names.into_iter().map(|(name, node)| {
            let (kind, bytes) = match node {
                Node::File(inode) => {
                    let file = &both.0.files[inode];
                    (Kind::File, file.live.len() as u64)
                }
                Node::Directory(_) => (Kind::Directory, 0),
                Node::Other => (Kind::Other, 0),
            };
            Listed { name, kind, bytes }
        });
        Ok(listed.collect())
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn ReadAt>> {
        let both = self.operation(false)?;
        if let Some(real) = &self.real {
            drop(both);
            return real.open(self, path);
        }
        match both.0.node(path) {
            Some(Node::File(inode)) => Ok(Arc::new(Open { disk: self.clone(), inode })),
            Some(_) => Err(error(libc::EINVAL)),
            None => Err(error(NONE)),
        }
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn Output>> {
        let mut both = self.operation(true)?;
        if let Some(real) = &self.real {
            drop(both);
            return real.create(self, path);
        }
        let (directory, name) = both.0.place(path).ok_or_else(|| error(NONE))?;
        both.0.files.push(Content::default());
        let inode = both.0.files.len() - 1;
        both.0.change(Change::Add(directory, name, Node::File(inode)), false);
        Ok(Box::new(Open { disk: self.clone(), inode }))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut both = self.operation(true)?;
        if let Some(real) = &self.real {
            drop(both);
            return real.disk.rename(&real.path(from), &real.path(to));
        }
        let node = both.0.node(from).ok_or_else(|| error(NONE))?;
        let (source, target) = (both.0.place(from), both.0.place(to));
        let (source, target) = source.zip(target).ok_or_else(|| error(NONE))?;
        if both.1.bad == Some(BadDisk::LostNames) {
            both.0.change(Change::Remove(source.0, source.1), false);
        } else if from != to {
            both.0.change(Change::Move(source, target, node), false);
        }
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut both = self.operation(true)?;
        if let Some(real) = &self.real {
            drop(both);
            return real.disk.remove(&real.path(path));
        }
        match both.0.node(path) {
            None => return Err(error(NONE)),
            Some(Node::Directory(_)) => return Err(error(libc::EISDIR)),
            Some(_) => {}
        }
        let (directory, name) = both.0.place(path).ok_or_else(|| error(NONE))?;
        both.0.change(Change::Remove(directory, name), false);
        Ok(())
    }

    fn remove_directory(&self, path: &Path) -> io::Result<()> {
        let mut both = self.operation(true)?;
        if let Some(real) = &self.real {
            drop(both);
            return real.disk.remove_directory(&real.path(path));
        }
        let inode = both.0.directory(path).ok_or_else(|| error(NONE))?;
        if both.0.live.get(&inode).is_some_and(|names| !names.is_empty()) {
            return Err(error(libc::ENOTEMPTY));
        }
        let (directory, name) = both.0.place(path).ok_or_else(|| error(NONE))?;
        both.0.change(Change::Remove(directory, name), false);
        Ok(())
    }

    fn make_directory(&self, path: &Path) -> io::Result<()> {
        let mut both = self.operation(true)?;
        if let Some(real) = &self.real {
            drop(both);
            return real.disk.make_directory(&real.path(path));
        }
        if both.0.node(path).is_some() {
            return Ok(());
        }
        let (directory, name) = both.0.place(path).ok_or_else(|| error(NONE))?;
        both.0.next_directory += 1;
        let inode = both.0.next_directory;
        both.0.live.insert(inode, Names::new());
        both.0.change(Change::Add(directory, name, Node::Directory(inode)), false);
        Ok(())
    }

    fn sync_directory(&self, path: &Path) -> io::Result<()> {
        let mut both = self.operation(true)?;
        if let Some(real) = &self.real {
            drop(both);
            return real.disk.sync_directory(&real.path(path));
        }
        let directory = both.0.directory(path).ok_or_else(|| error(NONE))?;
        if both.1.bad == Some(BadDisk::UnsyncedNames) {
            return Ok(());
        }
        let touches = |change: &Change| match change {
            Change::Add(of, ..) | Change::Remove(of, _) => *of == directory,
            Change::Move((from, _), (to, _), _) => *from == directory || *to == directory,
        };
        let (now, later) = std::mem::take(&mut both.0.pending).into_iter().partition(touches);
        both.0.pending = later;
        let now: Vec<Change> = now;
        for change in &now {
            apply(&mut both.0.durable, change);
        }
        Ok(())
    }
}

struct Open {
    disk: ModelDisk,
    inode: Inode,
}

impl ReadAt for Open {
    fn bytes(&self) -> io::Result<u64> {
        let both = self.disk.operation(false)?;
        Ok(both.0.files[self.inode].live.len() as u64)
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let both = self.disk.operation(false)?;
        let end = offset + buffer.len() as u64;
        if both.1.bad_sector.is_some_and(|(from, until)| offset < until && from < end) {
            return Err(error(libc::EIO));
        }
        let bytes = &both.0.files[self.inode].live;
        let from = usize::try_from(offset).unwrap().min(bytes.len());
        let read = buffer.len().min(bytes.len() - from);
        buffer[..read].copy_from_slice(&bytes[from..from + read]);
        Ok(read)
    }
}

impl Output for Open {
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        let outcome = self.disk.operation(true).map(|_| ());
        let mut both = self.disk.lock();
        // What fails in its middle has written a part.
        let written = if outcome.is_ok() { bytes.len() } else { bytes.len() / 2 };
        both.0.files[self.inode].live.extend_from_slice(&bytes[..written]);
        outcome
    }

    fn sync(&mut self) -> io::Result<()> {
        let mut both = self.disk.operation(true)?;
        if both.1.bad != Some(BadDisk::UnsyncedFiles) {
            let file = &mut both.0.files[self.inode];
            file.durable.clone_from(&file.live);
        }
        Ok(())
    }
}
