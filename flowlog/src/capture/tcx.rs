//! The kernel's list of TCX programs, of which aya tells less, and only to who has `CAP_SYS_ADMIN`.

use std::{
    ffi::{CStr, CString},
    io,
    os::{
        fd::{AsFd, AsRawFd as _, FromRawFd as _, OwnedFd},
        unix::ffi::OsStrExt as _,
    },
    path::Path,
};

use crate::record::policy::Order;
use flowlog_common::flow::Direction;

use super::syscall::bpf;

const BPF_PROG_LOAD: libc::c_int = 5;
const BPF_OBJ_PIN: libc::c_int = 6;
const BPF_OBJ_GET: libc::c_int = 7;
const BPF_PROG_GET_FD_BY_ID: libc::c_int = 13;
const BPF_OBJ_GET_INFO_BY_FD: libc::c_int = 15;
const BPF_PROG_QUERY: libc::c_int = 16;
const BPF_LINK_CREATE: libc::c_int = 28;
const BPF_LINK_UPDATE: libc::c_int = 29;
const BPF_LINK_DETACH: libc::c_int = 34;
const BPF_PROG_TYPE_SCHED_CLS: u32 = 3;
const BPF_F_BEFORE: u32 = 1 << 3;
const BPF_F_AFTER: u32 = 1 << 4;
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
        attach_type: attach_type(direction),
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

const fn attach_type(direction: Direction) -> u32 {
    match direction {
        Direction::Up => BPF_TCX_INGRESS,
        Direction::Down => BPF_TCX_EGRESS,
    }
}

/// Whether the kernel has TCX.
pub(super) fn is_known() -> bool {
    let mut attr = QueryAttr { attach_type: BPF_TCX_INGRESS, ..QueryAttr::default() };
    // It looks for the interface, of which there is none with the number zero, after the attach type.
    let answer = bpf(BPF_PROG_QUERY, &mut attr);
    answer.err().and_then(|error| error.raw_os_error()) != Some(libc::EINVAL)
}

/// Attaches a program to a hook, before or behind all others.
pub(super) fn attach(
    program: impl AsFd,
    kernel_index: u32,
    direction: Direction,
    order: Order,
) -> io::Result<OwnedFd> {
    let order = match order {
        Order::First => BPF_F_BEFORE,
        Order::Last => BPF_F_AFTER,
    };
    // Relative to nobody: before the first, or behind the last.
    let mut attr = [number(program)?, kernel_index, attach_type(direction), order, 0, 0, 0, 0];
    bpf(BPF_LINK_CREATE, &mut attr).map(owned)
}

/// Puts another program in the place of a link's. The kernel does so in one step.
pub(super) fn update(link: impl AsFd, program: impl AsFd) -> io::Result<()> {
    bpf(BPF_LINK_UPDATE, &mut [number(link)?, number(program)?, 0, 0]).map(drop)
}

/// Takes a link's program away from its hook, at once: who only closes a link waits for the kernel to
/// do so some time later.
pub(super) fn detach(link: impl AsFd) -> io::Result<()> {
    bpf(BPF_LINK_DETACH, &mut [number(link)?, 0]).map(drop)
}

/// The kernel's number of a link.
pub(super) fn link_id(link: impl AsFd) -> io::Result<u32> {
    // Of `bpf_link_info`, the type and the number.
    let mut info = [0_u32; 2];
    information(link, &mut info)?;
    Ok(info[1])
}

/// Gives an object a name in the BPF file system.
pub(super) fn pin(object: impl AsFd, path: &Path) -> io::Result<()> {
    let path = CString::new(path.as_os_str().as_bytes())?;
    bpf(BPF_OBJ_PIN, &mut ObjectAttr { path: path.as_ptr() as u64, fd: number(object)?, flags: 0 })
        .map(drop)
}

/// Opens an object by its name in the BPF file system.
pub(super) fn open(path: &Path) -> io::Result<OwnedFd> {
    let path = CString::new(path.as_os_str().as_bytes())?;
    bpf(BPF_OBJ_GET, &mut ObjectAttr { path: path.as_ptr() as u64, fd: 0, flags: 0 }).map(owned)
}

/// The part of the kernel's `bpf_attr` that pins use.
#[repr(C)]
struct ObjectAttr {
    path: u64,
    fd: u32,
    flags: u32,
}

/// A program that does nothing, and passes the packet on to the next one.
pub(super) fn nothing() -> io::Result<OwnedFd> {
    #[repr(C)]
    struct Load {
        kind: u32,
        count: u32,
        instructions: u64,
        license: u64,
    }
    // r0 = -1; exit. The kernel takes instructions as the machine lays out words.
    let instruction = |code: u8, immediate: i32| {
        let [a, b, c, d] = immediate.to_ne_bytes();
        [code, 0, 0, 0, a, b, c, d]
    };
    let instructions = [instruction(0xb7, -1), instruction(0x95, 0)];
    let mut attr = Load {
        kind: BPF_PROG_TYPE_SCHED_CLS,
        count: 2,
        instructions: instructions.as_ptr() as u64,
        license: c"MIT".as_ptr() as u64,
    };
    bpf(BPF_PROG_LOAD, &mut attr).map(owned)
}

/// The kernel's number of a program.
pub(super) fn program_id(program: impl AsFd) -> io::Result<u32> {
    // Of `bpf_prog_info`, the type and the number.
    let mut info = [0_u32; 2];
    information(program, &mut info)?;
    Ok(info[1])
}

/// The name that a program was given; `None` where it has none or the process may not ask.
pub(super) fn program_name(program: u32) -> Option<String> {
    /// Up to its name, the kernel's `bpf_prog_info`.
    #[repr(C)]
    struct Info {
        before: [u32; 16],
        name: [u8; 16],
    }
    let program = owned(bpf(BPF_PROG_GET_FD_BY_ID, &mut [program, 0, 0]).ok()?);
    let mut info = Info { before: [0; 16], name: [0; 16] };
    information(program, &mut info).ok()?;
    let name = CStr::from_bytes_until_nul(&info.name).ok()?.to_string_lossy().into_owned();
    Some(name).filter(|name| !name.is_empty())
}

/// What the kernel tells of an object, as far as there is room.
fn information<T>(object: impl AsFd, room: &mut T) -> io::Result<()> {
    #[repr(C)]
    struct InfoAttr {
        fd: u32,
        length: u32,
        info: u64,
    }
    let length = u32::try_from(size_of::<T>()).map_err(io::Error::other)?;
    let info = std::ptr::from_mut(room) as u64;
    bpf(BPF_OBJ_GET_INFO_BY_FD, &mut InfoAttr { fd: number(object)?, length, info }).map(drop)
}

fn number(object: impl AsFd) -> io::Result<u32> {
    u32::try_from(object.as_fd().as_raw_fd()).map_err(io::Error::other)
}

fn owned(fd: libc::c_int) -> OwnedFd {
    // SAFETY: a file descriptor that the kernel just made, and that nothing else owns.
    unsafe { OwnedFd::from_raw_fd(fd) }
}
