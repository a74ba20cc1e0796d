//! The kernel's list of TCX links, of which aya tells the programs only, and only to who has
//! `CAP_SYS_ADMIN`.

use std::io;

use flowlog_common::flow::Direction;

const BPF_PROG_QUERY: libc::c_int = 16;
const BPF_TCX_INGRESS: u32 = 46;
const BPF_TCX_EGRESS: u32 = 47;

/// As many programs as the kernel takes at a hook.
const MAX_PROGRAMS: usize = 64;

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

/// The kernel's numbers of the links at a hook of an interface, in this network namespace.
pub(super) fn links(kernel_index: u32, direction: Direction) -> io::Result<Vec<u32>> {
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
    // SAFETY: the arrays outlive the call, and have room for what it is told they have.
    let result = unsafe {
        libc::syscall(libc::SYS_bpf, BPF_PROG_QUERY, &raw mut attr, size_of::<QueryAttr>())
    };
    if result != 0 {
        return Err(io::Error::last_os_error());
    }
    let count = usize::try_from(attr.count).map_err(io::Error::other)?;
    // A program that was attached without a link has a zero there.
    Ok(links.into_iter().take(count).filter(|id| *id != 0).collect())
}
