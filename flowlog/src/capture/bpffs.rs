//! Where the BPF file system is.
//!
//! Its usual place may hide another: `ip netns exec` gives a process a `/sys` of its own, which goes with
//! it. What is to outlive the process must be where the host has it, so it is looked for in the mounts
//! of the oldest process that this one descends from and may look at; and mounted there, as `bpftool`
//! does too, where nobody has done so.

use std::{
    fs::File,
    io,
    os::fd::{AsRawFd as _, OwnedFd},
    path::{Path, PathBuf},
};

use nix::{
    fcntl::{OFlag, open},
    mount::{MsFlags, mount},
    sched::{CloneFlags, setns, unshare},
    sys::{
        stat::Mode,
        statfs::{BPF_FS_MAGIC, statfs},
    },
};

use super::Error;

/// Where hosts have it.
const MOUNT_POINT: &str = "/sys/fs/bpf";

/// A directory of the BPF file system as this process reaches it; mounted where it is not.
pub fn reachable(directory: &Path) -> Result<PathBuf, Error> {
    let mounted = reach(directory, true)?;
    mounted.ok_or_else(|| Error::Bpffs { source: io::ErrorKind::NotFound.into() })
}

/// The same where nothing is to be changed: `None` where the file system is not mounted.
pub fn reachable_as_it_is(directory: &Path) -> Result<Option<PathBuf>, Error> {
    reach(directory, false)
}

fn reach(directory: &Path, mounts: bool) -> Result<Option<PathBuf>, Error> {
    let below = match directory.strip_prefix(MOUNT_POINT) {
        Ok(below) if !is_bpffs(Path::new(MOUNT_POINT)).unwrap_or(false) => below,
        _ => return Ok(Some(directory.to_owned())),
    };
    // A thread of its own, which alone goes to the other mounts.
    let found = std::thread::spawn(move || of_the_host(mounts)).join();
    let found = found.unwrap_or_else(|_| Err(io::Error::other("the thread for it panicked")));
    let Some(root) = found.map_err(|source| Error::Bpffs { source })? else { return Ok(None) };
    let path = PathBuf::from(format!("/proc/self/fd/{}", root.as_raw_fd())).join(below);
    // The path is good as long as this is open, which is as long as the process lives.
    std::mem::forget(root);
    Ok(Some(path))
}

/// Whether a directory is of a BPF file system.
pub(super) fn is_bpffs(directory: &Path) -> io::Result<bool> {
    Ok(statfs(directory)?.filesystem_type() == BPF_FS_MAGIC)
}

/// The file system of the host, open; `None` where it is not mounted and not to be.
fn of_the_host(mounts: bool) -> io::Result<Option<OwnedFd>> {
    let mounts_of = |process: i32| File::open(format!("/proc/{process}/ns/mnt")).ok();
    // Where none of them may be looked at, this process has mounts that are as good.
    if let Some(namespace) = ancestors().into_iter().rev().find_map(mounts_of) {
        unshare(CloneFlags::CLONE_FS)?;
        setns(namespace, CloneFlags::CLONE_NEWNS)?;
    }
    if !is_bpffs(Path::new(MOUNT_POINT)).unwrap_or(false) {
        if !mounts {
            return Ok(None);
        }
        let none: Option<&str> = None;
        mount(Some("bpf"), MOUNT_POINT, Some("bpf"), MsFlags::empty(), none)?;
        tracing::info!("mounted the BPF file system at {MOUNT_POINT}");
    }
    let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    Ok(Some(open(MOUNT_POINT, flags, Mode::empty())?))
}

/// The processes that this one descends from, its parent first.
fn ancestors() -> Vec<i32> {
    let parent = |process: i32| {
        let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
        // Behind the name, which may have anything in it: the state, and the parent.
        stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()
    };
    let first = nix::unistd::getppid().as_raw();
    std::iter::successors(Some(first), |process| parent(*process)).take_while(|p| *p > 0).collect()
}
