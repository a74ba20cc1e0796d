//! WireGuard in user space, asked by its socket (<https://www.wireguard.com/xplatform/>).

use std::{
    ffi::OsStr,
    os::unix::ffi::OsStrExt as _,
    path::{Path, PathBuf},
    time::Duration,
};

use ipnet::IpNet;
use zeroize::{Zeroize as _, Zeroizing};

use super::peer::Peers;
use crate::{
    record::{
        clock::Utc,
        redacted::Prefix,
        session::{Entry, Outer, PeerKey},
    },
    source::{Error, socket},
};

/// One folder for the interfaces of all network namespaces.
const FOLDER: &str = "/var/run/wireguard";
const QUESTION: &[u8] = b"get=1\n\n";
/// An answer of 200,000 peers is not longer.
const MOST_BYTES: usize = 64 << 20;
/// No line that means something is longer.
const LONGEST_LINE: usize = 1 << 10;

/// The socket of an interface.
pub(super) fn socket(interface: &[u8]) -> PathBuf {
    let name = [interface, b".sock"].concat();
    Path::new(FOLDER).join(OsStr::from_bytes(&name))
}

/// The peers of an interface that have addresses.
pub(super) async fn entries(
    socket: &Path,
    key: &PeerKey,
    at: Utc,
    limit: Duration,
) -> Result<Vec<Entry>, Error> {
    let mut parser = Parser::new(key, at);
    socket::ask(socket, QUESTION, limit, |chunk| parser.take(chunk)).await?;
    parser.finish()
}

/// Reads an answer as it comes.
pub struct Parser<'a> {
    peers: Peers<'a>,
    /// The beginning of a line whose end has not come; it may be a key, and does not grow.
    line: Zeroizing<Vec<u8>>,
    lines: usize,
    bytes: usize,
    /// Its parts, of which each comes in a line of its own.
    handshake: [i64; 2],
    is_whole: bool,
}

impl<'a> Parser<'a> {
    /// Reads the answer to a question that was sent at this instant.
    #[must_use]
    pub fn new(key: &'a PeerKey, at: Utc) -> Self {
        let line = Zeroizing::new(Vec::with_capacity(LONGEST_LINE));
        let peers = Peers::new(key, at);
        Self { peers, line, lines: 0, bytes: 0, handshake: [0; 2], is_whole: false }
    }

    /// Reads on; reports whether the answer is whole.
    pub fn take(&mut self, mut chunk: &[u8]) -> Result<bool, Error> {
        self.bytes = self.bytes.saturating_add(chunk.len());
        if self.bytes > MOST_BYTES {
            return Err(Error::TooLong { limit: MOST_BYTES });
        }
        while let Some(end) = chunk.iter().position(|byte| *byte == b'\n') {
            let (line, rest) = chunk.split_at(end);
            chunk = rest.get(1..).unwrap_or_default();
            if self.line.is_empty() {
                self.read_line(line)?;
            } else {
                self.keep(line)?;
                let mut line = std::mem::replace(&mut self.line, Zeroizing::new(vec![]));
                self.read_line(&line)?;
                line.as_mut_slice().zeroize();
                line.clear();
                self.line = line;
            }
            if self.is_whole {
                return Ok(true);
            }
        }
        self.keep(chunk)?;
        Ok(false)
    }

    /// The entries of a whole answer.
    pub fn finish(self) -> Result<Vec<Entry>, Error> {
        if self.is_whole { self.peers.finish() } else { Err(Error::Truncated) }
    }

    fn keep(&mut self, part: &[u8]) -> Result<(), Error> {
        if self.line.len() + part.len() > LONGEST_LINE {
            return Err(self.malformed());
        }
        self.line.extend_from_slice(part);
        Ok(())
    }

    const fn malformed(&self) -> Error {
        Error::Malformed { line: self.lines + 1 }
    }

    fn read_line(&mut self, line: &[u8]) -> Result<(), Error> {
        if line.is_empty() {
            // The end comes behind `errno=`.
            return Err(self.malformed());
        }
        let (name, value) = split(line).ok_or_else(|| self.malformed())?;
        // Never made a text of, not even to be refused.
        if matches!(name, b"private_key" | b"preshared_key") {
            self.lines += 1;
            return Ok(());
        }
        let value = std::str::from_utf8(value).map_err(|_| self.malformed())?;
        self.read_field(name, value)?;
        self.lines += 1;
        Ok(())
    }

    fn read_field(&mut self, name: &[u8], value: &str) -> Result<(), Error> {
        let malformed = self.malformed();
        if name == b"errno" {
            let number: i64 = value.parse().map_err(|_| malformed)?;
            self.is_whole = true;
            return if number == 0 { Ok(()) } else { Err(Error::Refused { number }) };
        }
        if name == b"public_key" {
            self.handshake = [0; 2];
            let public_key = key_of(value).ok_or(malformed)?;
            return self.peers.begin(public_key);
        }
        // What comes before the first peer is the interface's.
        let Some(peer) = self.peers.last() else { return Ok(()) };
        let read = match name {
            b"endpoint" => endpoint(value).map(|outer| peer.outer = Some(outer)),
            b"allowed_ip" => value.parse::<IpNet>().ok().map(|prefix| {
                peer.prefixes.insert(Prefix::from(prefix.trunc()));
            }),
            b"rx_bytes" => value.parse().ok().map(|bytes| peer.bytes[0] = bytes),
            b"tx_bytes" => value.parse().ok().map(|bytes| peer.bytes[1] = bytes),
            b"last_handshake_time_sec" | b"last_handshake_time_nsec" => {
                value.parse().ok().map(|number| {
                    self.handshake[usize::from(name.ends_with(b"nsec"))] = number;
                    let [seconds, ns] = self.handshake;
                    let ns = seconds.saturating_mul(1_000_000_000).saturating_add(ns);
                    peer.last_handshake = Some(Utc::from_ns(ns));
                })
            }
            // Of a later version, or of no use here.
            _ => Some(()),
        };
        read.ok_or(malformed)
    }
}

fn split(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let at = line.iter().position(|byte| *byte == b'=')?;
    Some((line.get(..at)?, line.get(at + 1..)?))
}

/// A public key in hexadecimal digits.
fn key_of(value: &str) -> Option<[u8; 32]> {
    let mut key = [0; 32];
    if value.len() != 2 * key.len() {
        return None;
    }
    for (byte, digits) in key.iter_mut().zip(value.as_bytes().chunks_exact(2)) {
        let digit = |digit: u8| char::from(digit).to_digit(16).and_then(|d| u8::try_from(d).ok());
        *byte = digit(digits[0])? << 4 | digit(digits[1])?;
    }
    Some(key)
}

/// `192.0.2.7:51820` or `[2001:db8::7]:51820`; a link-local address has a zone behind it.
fn endpoint(value: &str) -> Option<Outer> {
    let (address, port) = value.rsplit_once(':')?;
    let address = address.strip_prefix('[').and_then(|a| a.strip_suffix(']')).unwrap_or(address);
    let address = address.split_once('%').map_or(address, |(address, _)| address);
    let address: std::net::IpAddr = address.parse().ok()?;
    Some(Outer { address: address.to_canonical().into(), port: Some(port.parse().ok()?) })
}

#[cfg(test)]
mod tests;
