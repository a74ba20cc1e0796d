//! Network namespaces without names, and tun devices in them.

use std::{
    fs::{File, OpenOptions},
    io,
    os::{
        fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd},
        unix::process::CommandExt as _,
    },
    process::Command,
};

use nix::sched::{CloneFlags, setns, unshare};

/// A network namespace; the kernel removes it, and all that is in it, when nothing uses it.
pub struct Netns(OwnedFd);

impl Netns {
    /// Makes a namespace. The calling thread stays where it is.
    pub fn new() -> io::Result<Self> {
        let make = || {
            unshare(CloneFlags::CLONE_NEWNET)?;
            Ok(Self(File::open("/proc/thread-self/ns/net")?.into()))
        };
        join(std::thread::spawn(make))
    }

    /// Moves the calling thread, and the threads that it starts from now on, into the namespace.
    pub fn enter(&self) -> io::Result<()> {
        Ok(setns(&self.0, CloneFlags::CLONE_NEWNET)?)
    }

    /// Runs something within the namespace, on a thread of its own.
    pub fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> io::Result<T> + Send + 'static,
    ) -> io::Result<T> {
        let namespace = Self(self.0.try_clone()?);
        join(std::thread::spawn(move || {
            namespace.enter()?;
            work()
        }))
    }

    /// A command that will run within the namespace.
    pub fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> io::Result<Command> {
        let namespace = self.0.try_clone()?;
        let mut command = Command::new(program);
        // SAFETY: between fork and exec, a system call that allocates nothing.
        unsafe {
            command.pre_exec(move || Ok(setns(&namespace, CloneFlags::CLONE_NEWNET)?));
        }
        Ok(command)
    }

    /// Runs `ip` with these arguments within the namespace.
    pub fn ip(&self, arguments: &[&str]) -> io::Result<()> {
        let output = self.command("ip")?.args(arguments).output().map_err(|error| {
            io::Error::new(error.kind(), format!("cannot run `ip` (package iproute2): {error}"))
        })?;
        if output.status.success() {
            return Ok(());
        }
        let said = String::from_utf8_lossy(&output.stderr);
        Err(io::Error::other(format!("ip {}: {}", arguments.join(" "), said.trim())))
    }

    /// Makes a tun device within the namespace.
    pub fn tun(&self, name: &str) -> io::Result<Tun> {
        let name = name.to_owned();
        self.run(move || Tun::open(&name))
    }
}

fn join<T>(thread: std::thread::JoinHandle<io::Result<T>>) -> io::Result<T> {
    thread.join().map_err(|_| io::Error::other("a thread in a network namespace panicked"))?
}

/// A tun device: what is written to it arrives at the interface, what leaves there is read from it.
#[derive(Debug)]
pub struct Tun(File);

mod request {
    nix::ioctl_write_ptr_bad!(tunsetiff, libc::TUNSETIFF, libc::ifreq);
}

impl Tun {
    fn open(name: &str) -> io::Result<Self> {
        let file = OpenOptions::new().read(true).write(true).open("/dev/net/tun")?;
        // SAFETY: zeroes are a valid request.
        let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
        for (to, from) in request.ifr_name.iter_mut().zip(name.bytes().take(libc::IFNAMSIZ - 1)) {
            *to = libc::c_char::from_ne_bytes([from]);
        }
        let flags = libc::IFF_TUN | libc::IFF_NO_PI;
        request.ifr_ifru.ifru_flags = libc::c_short::try_from(flags).map_err(io::Error::other)?;
        // SAFETY: the file and the request outlive the call.
        unsafe { request::tunsetiff(file.as_raw_fd(), &raw const request) }?;
        Ok(Self(file))
    }
}

impl AsFd for Tun {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
