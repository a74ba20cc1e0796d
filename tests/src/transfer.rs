//! Bulk transfers both ways at once, over TCP and UDP; what arrives is what was sent.

use std::{
    io::{self, Read as _, Write as _},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket},
    os::fd::AsRawFd as _,
    time::Duration,
};

use flowlog::demo::Netns;
use nix::sys::socket::{
    setsockopt,
    sockopt::{RcvBufForce, UdpGroSegment, UdpGsoSegment},
};

const PATIENCE: Option<Duration> = Some(Duration::from_secs(20));

/// Bytes of payload that TCP itself says it sent, what it sent twice included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TcpSent {
    pub by_client: u64,
    pub by_server: u64,
}

/// Sends `bytes` each way at once over one connection.
///
/// `receive_buffer` bounds what is under way: a veth drops what its ring of 256 packets cannot
/// hold, and what is dropped between two places that are compared makes them differ.
pub fn tcp_both_ways(
    client: &Netns,
    server: (&Netns, SocketAddr),
    bytes: usize,
    receive_buffer: usize,
) -> TcpSent {
    let (netns, address) = server;
    let listener = netns.run(move || TcpListener::bind(address)).unwrap();
    setsockopt(&listener, RcvBufForce, &receive_buffer).unwrap();
    let accepting = std::thread::spawn(move || exchange(listener.accept()?.0, bytes));
    let asking = client
        .run(move || {
            let stream = TcpStream::connect(address)?;
            setsockopt(&stream, RcvBufForce, &receive_buffer)?;
            exchange(stream, bytes)
        })
        .unwrap();
    let answering = accepting.join().unwrap().unwrap();
    // Asked when all has arrived: what was given to TCP is not yet sent.
    let sent = |stream| payload_sent(stream).unwrap();
    TcpSent { by_client: sent(&asking), by_server: sent(&answering) }
}

/// Sends, and receives as much.
fn exchange(mut stream: TcpStream, bytes: usize) -> io::Result<TcpStream> {
    stream.set_read_timeout(PATIENCE)?;
    stream.set_write_timeout(PATIENCE)?;
    let mut sending = stream.try_clone()?;
    let sender = std::thread::spawn(move || {
        sending.write_all(&pattern(bytes, 0))?;
        sending.shutdown(Shutdown::Write)
    });
    let mut received = vec![];
    stream.read_to_end(&mut received)?;
    sender.join().unwrap()?;
    assert!(received == pattern(bytes, 0), "what arrived is not what was sent");
    Ok(stream)
}

/// `tcpi_bytes_sent` of `TCP_INFO`.
fn payload_sent(stream: &TcpStream) -> io::Result<u64> {
    const BYTES_SENT: usize = 200;
    let mut information = [0_u8; 256];
    let mut length = libc::socklen_t::try_from(information.len()).map_err(io::Error::other)?;
    // SAFETY: the buffer has the length that is said, and both outlive the call.
    let outcome = unsafe {
        libc::getsockopt(
            stream.as_raw_fd(),
            libc::IPPROTO_TCP,
            libc::TCP_INFO,
            information.as_mut_ptr().cast(),
            &raw mut length,
        )
    };
    if outcome != 0 {
        return Err(io::Error::last_os_error());
    }
    assert!(length as usize >= BYTES_SENT + 8, "this kernel does not tell tcpi_bytes_sent");
    Ok(u64::from_ne_bytes(information[BYTES_SENT..BYTES_SENT + 8].try_into().unwrap()))
}

/// A conversation over UDP: bursts of datagrams, each answered by a burst of the same.
#[derive(Clone, Copy, Debug)]
pub struct Bursts {
    pub count: u64,
    /// Payload of a burst.
    pub bytes: usize,
    /// Payload of a datagram; the last one of a burst has the rest.
    pub segment: u16,
    /// Whether the kernel is given a burst at once, to be cut (`UDP_SEGMENT`).
    pub at_once: bool,
}

impl Bursts {
    /// Datagrams each way, all bursts together.
    pub fn datagrams(&self) -> u64 {
        self.count * self.bytes.div_ceil(usize::from(self.segment)) as u64
    }

    /// Payload each way, all bursts together.
    pub fn payload(&self) -> u64 {
        self.count * self.bytes as u64
    }

    fn send(&self, socket: &UdpSocket, burst: u64) -> io::Result<()> {
        let payload = pattern(self.bytes, burst);
        if self.at_once {
            assert_eq!(socket.send(&payload)?, payload.len());
            return Ok(());
        }
        payload
            .chunks(usize::from(self.segment))
            .try_for_each(|datagram| socket.send(datagram).map(|_| ()))
    }

    fn receive(&self, socket: &UdpSocket, burst: u64) -> io::Result<()> {
        let mut received: Vec<u8> = vec![];
        let mut buffer = vec![0; 65_536];
        while received.len() < self.bytes {
            let length = socket.recv(&mut buffer)?;
            received.extend(&buffer[..length]);
        }
        assert!(received == pattern(self.bytes, burst), "what arrived is not what was sent");
        Ok(())
    }

    fn socket(&self, address: SocketAddr) -> io::Result<UdpSocket> {
        let socket = UdpSocket::bind(address)?;
        socket.set_read_timeout(PATIENCE)?;
        // Where the socket wants them merged, the kernel merges them before the hook.
        setsockopt(&socket, UdpGroSegment, &self.at_once)?;
        if self.at_once {
            setsockopt(&socket, UdpGsoSegment, &libc::c_int::from(self.segment))?;
        }
        Ok(socket)
    }
}

/// Bursts go both ways; each waits for the one before, so that no buffer ever overflows.
pub fn udp_both_ways(client: (&Netns, SocketAddr), server: (&Netns, SocketAddr), bursts: Bursts) {
    let (from, to) = (client.1, server.1);
    let answering = server.0.run(move || bursts.socket(to)).unwrap();
    let asking = client.0.run(move || bursts.socket(from)).unwrap();
    answering.connect(from).unwrap();
    asking.connect(to).unwrap();
    let server = std::thread::spawn(move || {
        (0..bursts.count).try_for_each(|burst| {
            bursts.receive(&answering, burst)?;
            bursts.send(&answering, burst)
        })
    });
    for burst in 0..bursts.count {
        bursts.send(&asking, burst).unwrap();
        bursts.receive(&asking, burst).unwrap();
    }
    server.join().unwrap().unwrap();
}

/// Bytes among which none can be lost or swapped without it being seen.
fn pattern(bytes: usize, seed: u64) -> Vec<u8> {
    let words = (0..bytes.div_ceil(8) as u64).map(|word| word.wrapping_mul(0x9e37_79b9) ^ seed);
    let mut pattern: Vec<u8> = words.flat_map(u64::to_le_bytes).collect();
    pattern.truncate(bytes);
    pattern
}
