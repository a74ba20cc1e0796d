//! The kernel's list of TCX programs, of which aya tells less, and only to who has `CAP_SYS_ADMIN`.

use std::{
    ffi::{CStr, CString, c_char},
    io, mem,
    os::{
        fd::{AsFd, AsRawFd as _, FromRawFd as _, OwnedFd},
        unix::ffi::OsStrExt as _,
    },
    path::Path,
};

use aya_obj::generated::{
    BPF_F_AFTER, BPF_F_BEFORE, bpf_attach_type, bpf_attr, bpf_cmd, bpf_insn, bpf_link_info,
    bpf_prog_info, bpf_prog_type,
};
use flowlog_common::flow::Direction;

use super::syscall::{attribute, bpf};
use crate::record::policy::Order;

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

/// The programs at a hook of an interface in this network namespace, in the order in which they run;
/// none where the kernel has no TCX.
pub(super) fn programs(kernel_index: u32, direction: Direction) -> io::Result<Vec<Attached>> {
    let mut programs = [0_u32; MAX_PROGRAMS];
    let mut links = [0_u32; MAX_PROGRAMS];
    let mut attr = attribute();
    attr.query.__bindgen_anon_1.target_ifindex = kernel_index;
    attr.query.attach_type = attach_type(direction);
    attr.query.prog_ids = (&raw mut programs) as u64;
    attr.query.link_ids = (&raw mut links) as u64;
    attr.query.__bindgen_anon_2.count = u32::try_from(MAX_PROGRAMS).map_err(io::Error::other)?;
    match bpf(bpf_cmd::BPF_PROG_QUERY, &mut attr) {
        Ok(_) => {}
        // The kernel says so of an attach type that it does not know.
        Err(error) if error.raw_os_error() == Some(libc::EINVAL) => return Ok(vec![]),
        Err(error) => return Err(error),
    }
    // SAFETY: what the attribute was used for, and an integer in any case.
    let count = unsafe { attr.query.__bindgen_anon_2.count };
    let count = usize::try_from(count).map_err(io::Error::other)?;
    let both = programs.into_iter().zip(links).take(count);
    Ok(both.map(|(program, link)| Attached { program, link }).collect())
}

const fn attach_type(direction: Direction) -> u32 {
    match direction {
        Direction::Up => bpf_attach_type::BPF_TCX_INGRESS as u32,
        Direction::Down => bpf_attach_type::BPF_TCX_EGRESS as u32,
    }
}

/// Whether the kernel has TCX.
pub(super) fn is_known() -> bool {
    let mut attr = attribute();
    attr.query.attach_type = attach_type(Direction::Up);
    // It looks for the interface, of which there is none with the number zero, after the attach type.
    let answer = bpf(bpf_cmd::BPF_PROG_QUERY, &mut attr);
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
    let mut attr = attribute();
    attr.link_create.__bindgen_anon_1.prog_fd = number(program)?;
    attr.link_create.__bindgen_anon_2.target_ifindex = kernel_index;
    attr.link_create.attach_type = attach_type(direction);
    attr.link_create.flags = order;
    bpf(bpf_cmd::BPF_LINK_CREATE, &mut attr).map(owned)
}

/// Puts another program in the place of a link's. The kernel does so in one step.
pub(super) fn update(link: impl AsFd, program: impl AsFd) -> io::Result<()> {
    let mut attr = attribute();
    attr.link_update.link_fd = number(link)?;
    attr.link_update.__bindgen_anon_1.new_prog_fd = number(program)?;
    bpf(bpf_cmd::BPF_LINK_UPDATE, &mut attr).map(drop)
}

/// Takes a link's program away from its hook, at once: who only closes a link waits for the kernel to
/// do so some time later.
pub(super) fn detach(link: impl AsFd) -> io::Result<()> {
    let mut attr = attribute();
    attr.link_detach.link_fd = number(link)?;
    bpf(bpf_cmd::BPF_LINK_DETACH, &mut attr).map(drop)
}

/// The kernel's number of a link.
pub(super) fn link_id(link: impl AsFd) -> io::Result<u32> {
    // SAFETY: the kernel writes integers, of which zero is one.
    unsafe { information::<bpf_link_info>(link) }.map(|info| info.id)
}

/// Gives an object a name in the BPF file system.
pub(super) fn pin(object: impl AsFd, path: &Path) -> io::Result<()> {
    let path = CString::new(path.as_os_str().as_bytes())?;
    let mut attr = at(&path);
    attr.__bindgen_anon_4.bpf_fd = number(object)?;
    bpf(bpf_cmd::BPF_OBJ_PIN, &mut attr).map(drop)
}

/// Opens an object by its name in the BPF file system.
pub(super) fn open(path: &Path) -> io::Result<OwnedFd> {
    let path = CString::new(path.as_os_str().as_bytes())?;
    bpf(bpf_cmd::BPF_OBJ_GET, &mut at(&path)).map(owned)
}

/// A name in the BPF file system.
fn at(path: &CStr) -> bpf_attr {
    let mut attr = attribute();
    attr.__bindgen_anon_4.pathname = path.as_ptr() as u64;
    attr
}

/// A program that does nothing, and passes the packet on to the next one.
pub(super) fn nothing() -> io::Result<OwnedFd> {
    let instruction = |code: u8, imm: i32| bpf_insn {
        code,
        _bitfield_align_1: [],
        _bitfield_1: bpf_insn::new_bitfield_1(0, 0),
        off: 0,
        imm,
    };
    // r0 = -1; exit.
    let instructions = [instruction(0xb7, -1), instruction(0x95, 0)];
    let mut attr = attribute();
    attr.__bindgen_anon_3.prog_type = bpf_prog_type::BPF_PROG_TYPE_SCHED_CLS as u32;
    attr.__bindgen_anon_3.insn_cnt = 2;
    attr.__bindgen_anon_3.insns = instructions.as_ptr() as u64;
    attr.__bindgen_anon_3.license = c"MIT".as_ptr() as u64;
    bpf(bpf_cmd::BPF_PROG_LOAD, &mut attr).map(owned)
}

/// The kernel's number of a program.
pub(super) fn program_id(program: impl AsFd) -> io::Result<u32> {
    // SAFETY: the kernel writes integers, of which zero is one.
    unsafe { information::<bpf_prog_info>(program) }.map(|info| info.id)
}

/// The name that a program was given; `None` where it has none or the process may not ask.
pub(super) fn program_name(program: u32) -> Option<String> {
    let mut attr = attribute();
    attr.__bindgen_anon_6.__bindgen_anon_1.prog_id = program;
    let program = owned(bpf(bpf_cmd::BPF_PROG_GET_FD_BY_ID, &mut attr).ok()?);
    // SAFETY: the kernel writes integers, of which zero is one.
    let info = unsafe { information::<bpf_prog_info>(program) }.ok()?;
    let name = info.name.map(c_char::cast_unsigned);
    let name = CStr::from_bytes_until_nul(&name).ok()?.to_string_lossy().into_owned();
    Some(name).filter(|name| !name.is_empty())
}

/// What the kernel tells of an object.
///
/// # Safety
///
/// It has to be the kernel's own type for the kind of object, of integers alone.
unsafe fn information<T>(object: impl AsFd) -> io::Result<T> {
    // SAFETY: of integers alone.
    let mut info: T = unsafe { mem::zeroed() };
    let mut attr = attribute();
    attr.info.bpf_fd = number(object)?;
    attr.info.info_len = u32::try_from(size_of::<T>()).map_err(io::Error::other)?;
    attr.info.info = std::ptr::from_mut(&mut info) as u64;
    bpf(bpf_cmd::BPF_OBJ_GET_INFO_BY_FD, &mut attr)?;
    Ok(info)
}

fn number(object: impl AsFd) -> io::Result<u32> {
    u32::try_from(object.as_fd().as_raw_fd()).map_err(io::Error::other)
}

fn owned(fd: libc::c_int) -> OwnedFd {
    // SAFETY: a file descriptor that the kernel just made, and that nothing else owns.
    unsafe { OwnedFd::from_raw_fd(fd) }
}
