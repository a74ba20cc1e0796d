//! The system call of BPF, for the commands that aya has no wrapper for.

use std::{io, mem};

use aya_obj::generated::{bpf_attr, bpf_cmd};

/// An attribute of zeros. The kernel takes one that is longer than its own as long as what it does not know
/// is zero.
pub(crate) const fn attribute() -> bpf_attr {
    // SAFETY: every part of it is made of integers, of which zero is one.
    unsafe { mem::zeroed() }
}

/// The system call; what the attribute points to has to outlive it.
pub(crate) fn bpf(command: bpf_cmd, attr: &mut bpf_attr) -> io::Result<libc::c_int> {
    // SAFETY: the attribute has the size that is said, and its pointers outlive the call.
    let outcome = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            command as u32,
            std::ptr::from_mut(attr),
            size_of::<bpf_attr>(),
        )
    };
    if outcome < 0 {
        return Err(io::Error::last_os_error());
    }
    libc::c_int::try_from(outcome).map_err(io::Error::other)
}
