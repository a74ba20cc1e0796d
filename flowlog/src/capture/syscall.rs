//! The system call of BPF, for the commands that aya has no wrapper for.

use std::io;

/// The system call; what the attribute points to has to outlive it.
pub(crate) fn bpf<T>(command: libc::c_int, attr: &mut T) -> io::Result<libc::c_int> {
    // SAFETY: the attribute has the size that is said, and its pointers outlive the call.
    let outcome =
        unsafe { libc::syscall(libc::SYS_bpf, command, std::ptr::from_mut(attr), size_of::<T>()) };
    if outcome < 0 {
        return Err(io::Error::last_os_error());
    }
    libc::c_int::try_from(outcome).map_err(io::Error::other)
}
