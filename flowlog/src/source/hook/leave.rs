//! Leaving a note: what `flowlog hook` does. A server waits for it meanwhile, so that it does next to nothing.

use std::{
    hash::{BuildHasher as _, Hasher as _, RandomState},
    io::{self, Write as _},
    os::fd::AsFd as _,
    path::Path,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use nix::sys::stat::{Mode, fchmod};

use super::{
    Fields, Kind, Stamp,
    note::{NoteName, is_server},
};
use crate::durable;

/// Leaves a note in a directory: a file that is whole or not there.
pub fn leave(
    directory: &Path,
    kind: Kind,
    server: Option<&str>,
    stamp: Stamp,
    fields: &Fields,
) -> io::Result<()> {
    if !server.is_none_or(is_server) {
        let rule = "a server's name has 1 to 64 letters, digits, dots, underscores and hyphens";
        return Err(io::Error::new(io::ErrorKind::InvalidInput, rule));
    }
    let random = RandomState::new().build_hasher().finish();
    let name = NoteName::new(stamp, random, kind, server).text();
    let temporary = format!(".{name}");
    let directory = durable::open_to_write(directory)?;
    let mut file = durable::create_file(&directory, temporary.as_str())?;
    // The daemon is another user, and may have no right to read others' files. Nobody else can list the directory, and
    // nobody guesses the name.
    let written = fchmod(file.as_fd(), READABLE)
        .map_err(io::Error::from)
        .and_then(|()| file.write_all(fields.text().as_bytes()))
        .and_then(|()| durable::rename(&directory, temporary.as_str(), &directory, name.as_str()));
    if written.is_err() {
        // The failure that counts is the one before.
        durable::remove_file(&directory, temporary.as_str()).unwrap_or_default();
    }
    written
}

const READABLE: Mode = Mode::S_IRUSR.union(Mode::S_IWUSR).union(Mode::S_IRGRP).union(Mode::S_IROTH);

static IS_ARMED: AtomicBool = AtomicBool::new(false);

/// From now on the process ends with success after this time, wherever it is then: whoever waits for it must not wait
/// longer, and must not take it for a refusal. A copy of it goes on with the note, behind the caller's back.
pub fn leave_within(limit: Duration) {
    if IS_ARMED.swap(true, Ordering::Relaxed) {
        return;
    }
    // SAFETY: `go_on_behind` calls nothing that is not safe within a signal's handler.
    unsafe { call_after(limit, go_on_behind) };
}

/// The copy goes on for so long. The daemon waits longer for a note that is half written.
const BEHIND: Duration = Duration::from_secs(4);

/// Ends the process with success, and lets a copy of it go on where it was.
extern "C" fn go_on_behind(_: libc::c_int) {
    // SAFETY: system calls that are safe within a signal's handler; the process has one thread, and the copy has
    // memory of its own.
    unsafe {
        // Not `fork`, which takes locks that the code below the signal may hold.
        if libc::syscall(libc::SYS_clone, libc::SIGCHLD, 0, 0, 0, 0) != 0 {
            libc::_exit(0);
        }
        // Whoever reads the words of the caller's process is not to wait for those of the copy.
        let nowhere = libc::open(c"/dev/null".as_ptr(), libc::O_RDWR | libc::O_CLOEXEC);
        for stream in 0..=2 {
            libc::dup2(nowhere, stream);
        }
        call_after(BEHIND, end);
    }
}

extern "C" fn end(_: libc::c_int) {
    // SAFETY: a system call that is safe within a signal's handler, and does not return.
    unsafe { libc::_exit(0) }
}

/// Calls a function after a time, once. Where that fails, there is no limit.
///
/// # Safety
///
/// The function calls nothing that is not safe within a signal's handler.
unsafe fn call_after(time: Duration, handler: extern "C" fn(libc::c_int)) {
    let zero = libc::timeval { tv_sec: 0, tv_usec: 0 };
    let value = libc::timeval {
        tv_sec: libc::time_t::from(u32::try_from(time.as_secs()).unwrap_or(u32::MAX)),
        tv_usec: libc::suseconds_t::from(time.subsec_micros().cast_signed()),
    };
    let timer = libc::itimerval { it_interval: zero, it_value: value };
    // SAFETY: the timer outlives the call; of the handler the caller vouches.
    unsafe {
        libc::signal(libc::SIGALRM, handler as libc::sighandler_t);
        libc::setitimer(libc::ITIMER_REAL, &raw const timer, std::ptr::null_mut());
    }
}
