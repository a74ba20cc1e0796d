//! Capture files: taking them, and sending them.

use std::{
    io::{BufRead as _, BufReader},
    os::fd::{AsFd as _, AsRawFd as _, FromRawFd as _, OwnedFd},
    path::{Path, PathBuf},
    process::{Child, Stdio},
    thread::JoinHandle,
};

use flowlog::demo::{Netns, Tun};

/// How many packets of a capture file were sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Replay {
    pub packets: u64,
}

/// Writes raw IP packets into a tun: the interface sees them arrive, exactly as they are.
pub fn replay_into_tun(tun: &Tun, capture: &Path) -> Replay {
    let mut packets = 0;
    for packet in packets_of(&std::fs::read(capture).unwrap()) {
        let written = nix::unistd::write(tun.as_fd(), packet).unwrap();
        assert_eq!(written, packet.len());
        packets += 1;
    }
    Replay { packets }
}

/// Sends Ethernet frames out of an interface.
pub fn replay_into_interface(netns: &Netns, interface: &str, capture: &Path) -> Replay {
    let bytes = std::fs::read(capture).unwrap();
    let interface = interface.to_owned();
    let packets = netns
        .run(move || {
            let socket = packet_socket(&interface)?;
            let mut packets = 0;
            for frame in packets_of(&bytes) {
                let sent = nix::unistd::write(socket.as_fd(), frame)?;
                assert_eq!(sent, frame.len());
                packets += 1;
            }
            Ok(packets)
        })
        .unwrap();
    Replay { packets }
}

/// A socket that sends frames as they are.
pub(crate) fn packet_socket(interface: &str) -> std::io::Result<OwnedFd> {
    // SAFETY: a system call without pointers; the result is checked and owned at once.
    let socket = unsafe {
        let socket = libc::socket(libc::AF_PACKET, libc::SOCK_RAW | libc::SOCK_CLOEXEC, 0);
        if socket < 0 {
            return Err(std::io::Error::last_os_error());
        }
        OwnedFd::from_raw_fd(socket)
    };
    // SAFETY: zeroes are a valid address.
    let mut address: libc::sockaddr_ll = unsafe { std::mem::zeroed() };
    address.sll_family = u16::try_from(libc::AF_PACKET).unwrap();
    address.sll_ifindex = i32::try_from(nix::net::if_::if_nametoindex(interface)?).unwrap();
    let size = u32::try_from(size_of_val(&address)).unwrap();
    // SAFETY: the address outlives the call.
    let bound = unsafe { libc::bind(socket.as_raw_fd(), (&raw const address).cast(), size) };
    if bound == 0 { Ok(socket) } else { Err(std::io::Error::last_os_error()) }
}

/// The packets of a pcap file as the oracle writes them.
fn packets_of(file: &[u8]) -> impl Iterator<Item = &[u8]> {
    records_of(file).map(|(_, packet)| packet)
}

/// The header of a pcap file as the oracle writes them: little-endian, nanoseconds.
const FILE_HEADER: usize = 24;
const MAGIC: [u8; 4] = [0x4d, 0x3c, 0xb2, 0xa1];

/// The packets of a pcap file as the oracle writes them, and their times as the file has them.
pub(crate) fn records_of(file: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    assert_eq!(file[..4], MAGIC, "not a capture file of the oracle");
    let mut rest = &file[FILE_HEADER..];
    std::iter::from_fn(move || {
        let (header, after) = rest.split_at_checked(16)?;
        let length = u32::from_le_bytes(header[8..12].try_into().unwrap());
        let (packet, after) = after.split_at(length as usize);
        rest = after;
        Some((&header[..8], packet))
    })
}

const START_SECS: u32 = 1_790_000_000;

/// A capture file in the making.
pub(crate) struct Writer(Vec<u8>);

impl Writer {
    /// A file of raw IP packets, or of Ethernet frames.
    pub(crate) fn new(layer: Layer) -> Self {
        let link_type: u32 = if layer == Layer::L2 { 1 } else { 101 };
        let mut file = MAGIC.to_vec();
        file.extend([2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4, 0]);
        file.extend(link_type.to_le_bytes());
        Self(file)
    }

    /// Adds a packet, a microsecond after the `number` packets before it.
    pub(crate) fn put_next(&mut self, number: usize, packet: &[u8]) {
        let after = u32::try_from(number * 1_000).unwrap();
        self.put(&[START_SECS.to_le_bytes(), after.to_le_bytes()].concat(), packet);
    }

    /// Adds a packet, with a time as a file has it.
    pub(crate) fn put(&mut self, time: &[u8], packet: &[u8]) {
        let length = u32::try_from(packet.len()).unwrap().to_le_bytes();
        self.0.extend([time, &length, &length, packet].concat());
    }

    /// Writes the file.
    pub(crate) fn finish(self, file: &Path) {
        std::fs::write(file, self.0).unwrap();
    }
}

/// Where the packets of a capture file begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layer {
    /// At the Ethernet header.
    L2,
    /// At the IP header.
    L3,
}

/// A running tcpdump: what an independent program sees on an interface.
pub struct Capture {
    tcpdump: Child,
    /// What it says when it ends.
    says: Option<JoinHandle<Vec<String>>>,
    file: PathBuf,
}

impl Capture {
    /// Begins to capture, and returns when it does.
    pub fn start(netns: &Netns, interface: &str, file: &Path) -> Self {
        Self::of(netns, interface, file, "")
    }

    /// The same, of what a filter in tcpdump's language lets through.
    pub fn of(netns: &Netns, interface: &str, file: &Path, filter: &str) -> Self {
        // Headers only: of whole packets too few fit in the kernel's ring, and some are lost.
        let mut tcpdump = netns
            .command("tcpdump")
            .unwrap()
            .args([
                "-i",
                interface,
                "-U",
                "--immediate-mode",
                "-s",
                "512",
                "-B",
                "16384",
                "-Z",
                "root",
            ])
            .args(["--time-stamp-precision=nano", "-w"])
            .arg(file)
            .arg(filter)
            .stderr(Stdio::piped())
            .spawn()
            .expect("tcpdump; run `cargo xtask setup`");
        let mut said = BufReader::new(tcpdump.stderr.take().unwrap()).lines();
        let listens = said.any(|line| line.unwrap().contains("listening on"));
        assert!(listens, "tcpdump does not listen on {interface}");
        let says = std::thread::spawn(move || said.map_while(Result::ok).collect());
        Self { tcpdump, says: Some(says), file: file.to_owned() }
    }

    /// Ends the capture and returns the file.
    pub fn stop(mut self) -> PathBuf {
        let id = nix::unistd::Pid::from_raw(i32::try_from(self.tcpdump.id()).unwrap());
        nix::sys::signal::kill(id, nix::sys::signal::Signal::SIGINT).unwrap();
        assert!(self.tcpdump.wait().unwrap().success());
        let said = self.says.take().unwrap().join().unwrap();
        let all = said.iter().any(|line| line == "0 packets dropped by kernel");
        assert!(all, "the capture lacks packets: {said:?}");
        self.file.clone()
    }
}

impl Drop for Capture {
    fn drop(&mut self) {
        self.tcpdump.kill().unwrap_or_default();
        self.tcpdump.wait().map(|_| ()).unwrap_or_default();
    }
}
