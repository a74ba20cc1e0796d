//! Somebody else's kernel program: it counts what passes, and says what is to become of it.
//!
//! Made of raw instructions, so that it shares nothing with the program under test.

use std::{
    ffi::CString,
    io,
    os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd, RawFd},
    path::Path,
};

use flowlog::demo::Netns;

/// Which hook of an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Side {
    Ingress = 46,
    Egress = 47,
}

/// Where among the programs that are attached already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Place {
    First = 1 << 3,
    Last = 1 << 4,
}

/// What becomes of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub enum Verdict {
    /// The next program decides.
    Next = -1,
    /// It goes on its way, and no other program sees it.
    Pass = 0,
    Drop = 2,
    /// It leaves by the loopback interface instead.
    Redirect = 7,
    /// It gets another Ethernet address as its source, and the next program decides.
    Rewrite = -2,
}

/// What passed: socket buffers, each of which may stand for many packets on the wire.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Passed {
    pub buffers: u64,
    /// From the link-layer header on.
    pub bytes: u64,
    /// How many of them stand for many packets.
    pub super_packets: u64,
    /// How many of those do not say how many.
    pub unnumbered: u64,
    /// How many of them an IP header has no room to tell the length of: BIG TCP.
    pub giants: u64,
}

/// A program at a TCX hook; it goes when this is dropped.
pub struct Counter {
    map: OwnedFd,
    _link: Option<OwnedFd>,
}

impl Counter {
    /// Attaches it to an interface.
    pub fn attach(
        netns: &Netns,
        interface: &str,
        side: Side,
        place: Place,
        verdict: Verdict,
    ) -> Self {
        let interface = interface.to_owned();
        netns
            .run(move || {
                let map = array_of_one()?;
                let program = load(&instructions(map.as_raw_fd(), verdict))?;
                let index = nix::net::if_::if_nametoindex(interface.as_str())?;
                let link = link(&program, index, side, place)?;
                Ok(Self { map, _link: Some(link) })
            })
            .expect("cannot attach a TCX program")
    }

    /// Hangs it from a clsact that is there, with this preference; it goes with the filter. `directory`
    /// is of a BPF file system.
    pub fn hang(
        netns: &Netns,
        interface: &str,
        (hook, preference): (&str, u16),
        verdict: Verdict,
        directory: &Path,
    ) -> Self {
        let pin = directory.join(format!("neighbour-{hook}"));
        let map = array_of_one().unwrap();
        let program = load(&instructions(map.as_raw_fd(), verdict)).unwrap();
        let path = CString::new(pin.to_str().unwrap()).unwrap();
        let pinned = [address(path.as_ptr()), u64::from(program.as_raw_fd().cast_unsigned())];
        bpf(BPF_OBJ_PIN, &pinned).unwrap();
        let filter =
            format!("filter add dev {interface} {hook} pref {preference} protocol all bpf");
        let mut tc = netns.command("tc").unwrap();
        let status = tc
            .args(filter.split(' '))
            .args(["direct-action", "object-pinned"])
            .arg(&pin)
            .status()
            .unwrap();
        assert!(status.success(), "cannot hang a filter");
        std::fs::remove_file(pin).unwrap();
        Self { map, _link: None }
    }

    /// What has passed so far.
    pub fn passed(&self) -> Passed {
        #[repr(C)]
        struct Lookup {
            map: RawFd,
            padding: u32,
            key: u64,
            value: u64,
            flags: u64,
        }
        let (key, mut passed) = (0_u32, Passed::default());
        let lookup = Lookup {
            map: self.map.as_raw_fd(),
            padding: 0,
            key: address(&raw const key),
            value: address(&raw mut passed),
            flags: 0,
        };
        bpf(BPF_MAP_LOOKUP_ELEM, &lookup).unwrap();
        passed
    }
}

const BPF_MAP_CREATE: libc::c_int = 0;
const BPF_MAP_LOOKUP_ELEM: libc::c_int = 1;
const BPF_PROG_LOAD: libc::c_int = 5;
const BPF_OBJ_PIN: libc::c_int = 6;
const BPF_LINK_CREATE: libc::c_int = 28;

const BPF_MAP_TYPE_ARRAY: u32 = 2;
const BPF_PROG_TYPE_SCHED_CLS: u32 = 3;

fn array_of_one() -> io::Result<OwnedFd> {
    let value_size = u32::try_from(size_of::<Passed>()).map_err(io::Error::other)?;
    Ok(owned(bpf(BPF_MAP_CREATE, &[BPF_MAP_TYPE_ARRAY, 4, value_size, 1, 0])?))
}

fn load(instructions: &[u64]) -> io::Result<OwnedFd> {
    #[repr(C)]
    struct Load {
        kind: u32,
        count: u32,
        instructions: u64,
        license: u64,
    }
    let load = Load {
        kind: BPF_PROG_TYPE_SCHED_CLS,
        count: u32::try_from(instructions.len()).map_err(io::Error::other)?,
        instructions: address(instructions.as_ptr()),
        license: address(c"MIT".as_ptr()),
    };
    Ok(owned(bpf(BPF_PROG_LOAD, &load)?))
}

fn link(program: &OwnedFd, interface: u32, side: Side, place: Place) -> io::Result<OwnedFd> {
    let program = program.as_raw_fd().cast_unsigned();
    Ok(owned(bpf(BPF_LINK_CREATE, &[program, interface, side as u32, place as u32, 0, 0, 0, 0])?))
}

/// `passed` is a value of the map, to which each packet adds itself.
fn instructions(map: RawFd, verdict: Verdict) -> Vec<u64> {
    // Offsets in `__sk_buff`.
    const LEN: i16 = 0;
    const GSO_SEGS: i16 = 164;
    const GSO_SIZE: i16 = 176;
    const ADD: i32 = 0;
    /// The largest IPv6 packet, and its link-layer header.
    const LARGEST: i32 = 40 + 65_535 + 14;
    const LOOPBACK: i32 = 1;
    /// Where the source address of an Ethernet frame ends.
    const LAST_OF_SOURCE: i32 = 11;
    let decide = match verdict {
        Verdict::Redirect => vec![
            op(0xb7, 1, 0, 0, LOOPBACK), // r1 = where to redirect to
            op(0xb7, 2, 0, 0, 0),        // r2 = no flags
            op(0x85, 0, 0, 0, 23),       // r0 = bpf_redirect(r1, r2)
        ],
        Verdict::Rewrite => vec![
            op(0xbf, 1, 6, 0, 0),              // r1 = context
            op(0xb7, 2, 0, 0, LAST_OF_SOURCE), // r2 = where to write
            op(0xbf, 3, 10, 0, 0),             // r3 = frame pointer
            op(0x07, 3, 0, 0, -4),             // r3 = &key, a zero
            op(0xb7, 4, 0, 0, 1),              // r4 = how much
            op(0xb7, 5, 0, 0, 0),              // r5 = no flags
            op(0x85, 0, 0, 0, 9),              // bpf_skb_store_bytes(r1, r2, r3, r4, r5)
            op(0xb7, 0, 0, 0, Verdict::Next as i32),
        ],
        other => vec![op(0xb7, 0, 0, 0, other as i32)],
    };
    let counted = [
        op(0xbf, 6, 1, 0, 0),        // r6 = context
        op(0x62, 10, 0, -4, 0),      // key = 0, on the stack
        op(0xbf, 2, 10, 0, 0),       // r2 = frame pointer
        op(0x07, 2, 0, 0, -4),       // r2 = &key
        op(0x18, 1, 1, 0, map),      // r1 = map, in two instructions
        op(0x00, 0, 0, 0, 0),        //
        op(0x85, 0, 0, 0, 1),        // r0 = bpf_map_lookup_elem(map, &key)
        op(0x15, 0, 0, 12, 0),       // if there is none, go to the verdict
        op(0xb7, 1, 0, 0, 1),        // r1 = 1
        op(0xdb, 0, 1, 0, ADD),      // passed.buffers += r1
        op(0x61, 2, 6, LEN, 0),      // r2 = bytes
        op(0xdb, 0, 2, 8, ADD),      // passed.bytes += r2
        op(0xb5, 2, 0, 1, LARGEST),  // if it is no more than that, go on
        op(0xdb, 0, 1, 32, ADD),     // passed.giants += r1
        op(0x61, 2, 6, GSO_SIZE, 0), // r2 = gso_size
        op(0x15, 2, 0, 4, 0),        // if it is zero, go to the verdict
        op(0xdb, 0, 1, 16, ADD),     // passed.super_packets += r1
        op(0x61, 2, 6, GSO_SEGS, 0), // r2 = gso_segs
        op(0x55, 2, 0, 1, 0),        // if it is not zero, go to the verdict
        op(0xdb, 0, 1, 24, ADD),     // passed.unnumbered += r1
    ];
    // r0 = verdict; return
    [&counted[..], &decide, &[op(0x95, 0, 0, 0, 0)]].concat()
}

/// An instruction as it lies in memory on a little-endian machine.
fn op(code: u8, destination: u8, source: u8, offset: i16, immediate: i32) -> u64 {
    let [low, high] = offset.to_le_bytes();
    let [a, b, c, d] = immediate.to_le_bytes();
    u64::from_ne_bytes([code, source << 4 | destination, low, high, a, b, c, d])
}

fn address<T>(pointer: *const T) -> u64 {
    pointer.expose_provenance() as u64
}

/// The system call; what `attribute` points to has to outlive it.
fn bpf<T>(command: libc::c_int, attribute: &T) -> io::Result<libc::c_int> {
    // SAFETY: the attribute has the size that is said, and its pointers outlive the call.
    let outcome = unsafe {
        libc::syscall(libc::SYS_bpf, command, std::ptr::from_ref(attribute), size_of::<T>())
    };
    if outcome < 0 {
        return Err(io::Error::last_os_error());
    }
    libc::c_int::try_from(outcome).map_err(io::Error::other)
}

fn owned(descriptor: libc::c_int) -> OwnedFd {
    // SAFETY: a file descriptor that the kernel just made, and that nothing else owns.
    unsafe { OwnedFd::from_raw_fd(descriptor) }
}
