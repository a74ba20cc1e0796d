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

/// A directory of the BPF file system as this process reaches it.
pub fn reachable(directory: &Path) -> Result<PathBuf, Error> {
    let below = match directory.strip_prefix(MOUNT_POINT) {
        Ok(below) if !is_bpffs(Path::new(MOUNT_POINT)).unwrap_or(false) => below,
        _ => return Ok(directory.to_owned()),
    };
    // A thread of its own, which alone goes to the other mounts.
    let found = std::thread::spawn(of_the_host).join();
    let found = found.unwrap_or_else(|_| Err(io::Error::other("the thread for it panicked")));
    let root = found.map_err(|source| Error::Bpffs { source })?;
    let path = PathBuf::from(format!("/proc/self/fd/{}", root.as_raw_fd())).join(below);
    // The path is good as long as this is open, which is as long as the process lives.
    std::mem::forget(root);
    Ok(path)
}

/// Whether a directory is of a BPF file system.
pub(super) fn is_bpffs(directory: &Path) -> io::Result<bool> {
    Ok(statfs(directory)?.filesystem_type() == BPF_FS_MAGIC)
}

/// The file system of the host, open.
fn of_the_host() -> io::Result<OwnedFd> {
    let mounts = |process: i32| File::open(format!("/proc/{process}/ns/mnt")).ok();
    // Where none of them may be looked at, this process has mounts that are as good.
    if let Some(mounts) = ancestors().into_iter().rev().find_map(mounts) {
        unshare(CloneFlags::CLONE_FS)?;
        setns(mounts, CloneFlags::CLONE_NEWNS)?;
    }
    if !is_bpffs(Path::new(MOUNT_POINT)).unwrap_or(false) {
        let none: Option<&str> = None;
        mount(Some("bpf"), MOUNT_POINT, Some("bpf"), MsFlags::empty(), none)?;
        tracing::info!("mounted the BPF file system at {MOUNT_POINT}");
    }
    Ok(open(MOUNT_POINT, OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty())?)
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
