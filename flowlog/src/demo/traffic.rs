//! What members do all day, in small: web pages, name lookups, pings.

use std::{
    io::{self, Read as _, Write as _},
    net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket},
    os::fd::AsRawFd as _,
    time::Duration,
};

use nix::sys::socket::{AddressFamily, MsgFlags, SockaddrStorage, sendto};

use super::{GATEWAY, Vpn};

const WEB_PORT: u16 = 8080;
const NAME_PORT: u16 = 5353;
const PAGES: usize = 3;
const PAGE_BYTES: usize = 200_000;
const LOOKUPS: u8 = 5;
const PINGS: u16 = 4;
const PATIENCE: Option<Duration> = Some(Duration::from_secs(10));

/// Sends TCP, UDP and ICMP through the tunnel, over IPv4 and IPv6, and returns when all of it was
/// answered.
pub fn generate(vpn: &Vpn) -> io::Result<()> {
    for address in GATEWAY {
        let web = vpn.gateway.run(move || TcpListener::bind((address, WEB_PORT)))?;
        let names = vpn.gateway.run(move || UdpSocket::bind((address, NAME_PORT)))?;
        let server = std::thread::spawn(move || serve(&web, &names));
        vpn.member.run(move || visit(address))?;
        server.join().map_err(|_| io::Error::other("the server panicked"))??;
    }
    Ok(())
}

fn serve(web: &TcpListener, names: &UdpSocket) -> io::Result<()> {
    names.set_read_timeout(PATIENCE)?;
    let mut buffer = [0; 512];
    for _ in 0..LOOKUPS {
        let (length, from) = names.recv_from(&mut buffer)?;
        names.send_to(&buffer[..length], from)?;
    }
    for _ in 0..PAGES {
        let (mut visitor, _) = web.accept()?;
        visitor.set_read_timeout(PATIENCE)?;
        let length = visitor.read(&mut buffer)?;
        visitor.write_all(&buffer[..length])?;
        visitor.write_all(&vec![b'.'; PAGE_BYTES])?;
    }
    Ok(())
}

fn visit(server: IpAddr) -> io::Result<()> {
    let names = UdpSocket::bind(SocketAddr::new(
        if server.is_ipv4() { [0; 4].into() } else { [0_u16; 8].into() },
        0,
    ))?;
    names.set_read_timeout(PATIENCE)?;
    names.connect((server, NAME_PORT))?;
    for lookup in 0..LOOKUPS {
        names.send(&[lookup; 40])?;
        names.recv(&mut [0; 64])?;
    }
    for _ in 0..PAGES {
        let mut page = TcpStream::connect((server, WEB_PORT))?;
        page.set_read_timeout(PATIENCE)?;
        page.write_all(b"GET / HTTP/1.0\r\n\r\n")?;
        page.read_to_end(&mut vec![])?;
    }
    (0..PINGS).try_for_each(|sequence| ping(server, sequence))
}

/// Sends an echo request; the kernel of the other side answers, and that of this side fills in
/// the checksum of ICMPv6.
fn ping(server: IpAddr, sequence: u16) -> io::Result<()> {
    let (family, protocol, echo_request) = match server {
        IpAddr::V4(_) => (AddressFamily::Inet, libc::IPPROTO_ICMP, 8),
        IpAddr::V6(_) => (AddressFamily::Inet6, libc::IPPROTO_ICMPV6, 128),
    };
    let mut message = vec![echo_request, 0, 0, 0, 0xf1, 0x06];
    message.extend(sequence.to_be_bytes());
    message.extend([0x2a; 48]);
    let checksum = internet_checksum(&message).to_be_bytes();
    message[2..4].copy_from_slice(&checksum);
    // SAFETY: a system call without pointers; the socket is checked and owned below.
    let raw = unsafe {
        libc::socket(family as libc::c_int, libc::SOCK_RAW | libc::SOCK_CLOEXEC, protocol)
    };
    if raw < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: a socket that was just made and that nothing else owns.
    let raw = unsafe { <std::os::fd::OwnedFd as std::os::fd::FromRawFd>::from_raw_fd(raw) };
    let to = SockaddrStorage::from(SocketAddr::new(server, 0));
    sendto(raw.as_raw_fd(), &message, &to, MsgFlags::empty())?;
    std::thread::sleep(Duration::from_millis(20));
    Ok(())
}

/// RFC 1071.
fn internet_checksum(message: &[u8]) -> u16 {
    let (words, _) = message.as_chunks::<2>();
    let mut sum: u32 = words.iter().map(|word| u32::from(u16::from_be_bytes(*word))).sum();
    while sum >> 16 != 0 {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    let [_, _, high, low] = (!sum).to_be_bytes();
    u16::from_be_bytes([high, low])
}
