//! The kernel's list of TCX programs, of which aya tells less, and only to who has `CAP_SYS_ADMIN`.

use std::{
    ffi::CStr,
    io,
    os::fd::{AsFd, AsRawFd as _, FromRawFd as _, OwnedFd},
};

use flowlog_common::flow::Direction;

const BPF_PROG_GET_FD_BY_ID: libc::c_int = 13;
const BPF_OBJ_GET_INFO_BY_FD: libc::c_int = 15;
const BPF_PROG_QUERY: libc::c_int = 16;
const BPF_LINK_DETACH: libc::c_int = 34;
const BPF_TCX_INGRESS: u32 = 46;
const BPF_TCX_EGRESS: u32 = 47;

/// As many programs as the kernel takes at a hook.
const MAX_PROGRAMS: usize = 64;

/// A program at a hook.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Attached {
    /// The kernel's number of the program, which no other program gets.
    pub(super) program: u32,
    /// The kernel's number of the link; zero where it was attached without one.
    pub(super) link: u32,
}

/// The part of the kernel's `bpf_attr` that a query uses.
#[derive(Default)]
#[repr(C)]
struct QueryAttr {
    target_ifindex: u32,
    attach_type: u32,
    query_flags: u32,
    attach_flags: u32,
    prog_ids: u64,
    count: u32,
    reserved: u32,
    prog_attach_flags: u64,
    link_ids: u64,
    link_attach_flags: u64,
    revision: u64,
}

/// The programs at a hook of an interface in this network namespace, in the order in which they run;
/// none where the kernel has no TCX.
pub(super) fn programs(kernel_index: u32, direction: Direction) -> io::Result<Vec<Attached>> {
    let mut programs = [0_u32; MAX_PROGRAMS];
    let mut links = [0_u32; MAX_PROGRAMS];
    let mut attr = QueryAttr {
        target_ifindex: kernel_index,
        attach_type: match direction {
            Direction::Up => BPF_TCX_INGRESS,
            Direction::Down => BPF_TCX_EGRESS,
        },
        prog_ids: (&raw mut programs) as u64,
        link_ids: (&raw mut links) as u64,
        count: u32::try_from(MAX_PROGRAMS).map_err(io::Error::other)?,
        ..QueryAttr::default()
    };
    match bpf(BPF_PROG_QUERY, &mut attr) {
        Ok(_) => {}
        // The kernel says so of an attach type that it does not know.
        Err(error) if error.raw_os_error() == Some(libc::EINVAL) => return Ok(vec![]),
        Err(error) => return Err(error),
    }
    let count = usize::try_from(attr.count).map_err(io::Error::other)?;
    let both = programs.into_iter().zip(links).take(count);
    Ok(both.map(|(program, link)| Attached { program, link }).collect())
}

/// The name that a program was given; `None` where it has none or the process may not ask.
pub(super) fn program_name(program: u32) -> Option<String> {
    /// Up to its name, the kernel's `bpf_prog_info`.
    #[repr(C)]
    struct Info {
        before: [u8; 64],
        name: [u8; 16],
    }
    #[repr(C)]
    struct InfoAttr {
        fd: u32,
        length: u32,
        info: u64,
    }
    let fd = bpf(BPF_PROG_GET_FD_BY_ID, &mut [program, 0, 0]).ok()?;
    // SAFETY: a file descriptor that the kernel just made, and that nothing else owns.
    let fd = unsafe { OwnedFd::from_raw_fd(fd) };
    let mut info = Info { before: [0; 64], name: [0; 16] };
    let mut attr = InfoAttr {
        fd: u32::try_from(fd.as_raw_fd()).ok()?,
        length: u32::try_from(size_of::<Info>()).ok()?,
        info: (&raw mut info) as u64,
    };
    bpf(BPF_OBJ_GET_INFO_BY_FD, &mut attr).ok()?;
    let name = CStr::from_bytes_until_nul(&info.name).ok()?.to_string_lossy().into_owned();
    Some(name).filter(|name| !name.is_empty())
}

/// Takes a link's program away from its hook, at once: who only closes a link waits for the kernel to
/// do so some time later.
pub(super) fn detach(link: impl AsFd) -> io::Result<()> {
    let fd = u32::try_from(link.as_fd().as_raw_fd()).map_err(io::Error::other)?;
    bpf(BPF_LINK_DETACH, &mut [fd, 0]).map(drop)
}

/// The system call; what the attribute points to has to outlive it.
fn bpf<T>(command: libc::c_int, attr: &mut T) -> io::Result<libc::c_int> {
    // SAFETY: the attribute has the size that is said, and its pointers outlive the call.
    let outcome =
        unsafe { libc::syscall(libc::SYS_bpf, command, std::ptr::from_mut(attr), size_of::<T>()) };
    if outcome < 0 {
        return Err(io::Error::last_os_error());
    }
    libc::c_int::try_from(outcome).map_err(io::Error::other)
}
