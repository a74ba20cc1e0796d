//! Super-packets that user space hands to the kernel, with a header that says how to cut them.

use std::{
    fs::{File, OpenOptions},
    io,
    os::fd::{AsFd as _, AsRawFd as _},
    sync::Arc,
};

use flowlog::demo::Netns;

use super::capture::packet_socket;

/// How a super-packet is cut: `struct virtio_net_hdr`.
#[derive(Clone, Copy, Debug)]
pub struct Cut {
    pub kind: CutKind,
    /// Where the transport header begins, from the start of what is sent.
    pub transport: u16,
    /// Payload of each packet.
    pub payload: u16,
}

/// Which protocol cuts it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum CutKind {
    TcpV4 = 1,
    TcpV6 = 4,
    Udp = 5,
}

const HEADER_BYTES: usize = 10;

impl Cut {
    fn header(self) -> [u8; HEADER_BYTES] {
        const NEEDS_CHECKSUM: u8 = 1;
        let Self { kind, transport, payload } = self;
        let (length, checksum) = if kind == CutKind::Udp { (8, 6) } else { (20, 16) };
        let numbers = [transport + length, payload, transport, checksum].map(u16::to_le_bytes);
        let mut header = [NEEDS_CHECKSUM, kind as u8, 0, 0, 0, 0, 0, 0, 0, 0];
        header[2..].copy_from_slice(numbers.as_flattened());
        header
    }
}

/// Sends Ethernet frames out of an interface, each cut as is said of it.
pub fn send_frames(netns: &Netns, interface: &str, frames: Vec<(Option<Cut>, Vec<u8>)>) {
    let interface = interface.to_owned();
    let send = move || {
        let socket = packet_socket(&interface)?;
        let yes: libc::c_int = 1;
        // SAFETY: the option has the size that is said, and outlives the call.
        let outcome = unsafe {
            libc::setsockopt(
                socket.as_raw_fd(),
                libc::SOL_PACKET,
                libc::PACKET_VNET_HDR,
                (&raw const yes).cast(),
                4,
            )
        };
        if outcome != 0 {
            return Err(io::Error::last_os_error());
        }
        for (cut, frame) in frames {
            let header = cut.map_or([0; HEADER_BYTES], Cut::header);
            let sent = nix::unistd::write(socket.as_fd(), &[&header[..], &frame].concat())?;
            assert_eq!(sent, HEADER_BYTES + frame.len());
        }
        Ok(())
    };
    netns.run(send).unwrap();
}

/// A tunnel whose ends hand over super-packets as they are, as user-space VPNs do.
///
/// It lasts as long as the process.
pub fn tunnel_of_super_packets(ends: [(&Netns, &str); 2]) {
    let [one, other] = ends.map(|(netns, name)| {
        let name = name.to_owned();
        Arc::new(netns.run(move || tun(&name)).expect("cannot make a tun with offloads"))
    });
    carry(Arc::clone(&one), Arc::clone(&other));
    carry(other, one);
}

mod request {
    nix::ioctl_write_ptr_bad!(tunsetiff, libc::TUNSETIFF, libc::ifreq);
    nix::ioctl_write_int_bad!(tunsetoffload, libc::TUNSETOFFLOAD);
}

fn tun(name: &str) -> io::Result<File> {
    let file = OpenOptions::new().read(true).write(true).open("/dev/net/tun")?;
    // SAFETY: zeroes are a valid request.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(name.bytes().take(libc::IFNAMSIZ - 1)) {
        *to = libc::c_char::from_ne_bytes([from]);
    }
    let flags = libc::IFF_TUN | libc::IFF_NO_PI | libc::IFF_VNET_HDR;
    request.ifr_ifru.ifru_flags = libc::c_short::try_from(flags).map_err(io::Error::other)?;
    let offloads = libc::TUN_F_CSUM
        | libc::TUN_F_TSO4
        | libc::TUN_F_TSO6
        | libc::TUN_F_USO4
        | libc::TUN_F_USO6;
    let offloads = libc::c_int::try_from(offloads).map_err(io::Error::other)?;
    // SAFETY: the file and the request outlive the calls.
    unsafe {
        request::tunsetiff(file.as_raw_fd(), &raw const request)?;
        request::tunsetoffload(file.as_raw_fd(), offloads)?;
    }
    Ok(file)
}

fn carry(from: Arc<File>, to: Arc<File>) {
    std::thread::spawn(move || {
        let mut packet = vec![0; HEADER_BYTES + 65_536];
        while let Ok(length) = nix::unistd::read(from.as_fd(), &mut packet) {
            // What the other end does not take is lost, as on any network.
            nix::unistd::write(to.as_fd(), &packet[..length]).unwrap_or_default();
        }
    });
}
