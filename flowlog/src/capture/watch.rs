//! Waking up when network interfaces come and go.

use std::{
    io,
    os::fd::{AsRawFd as _, OwnedFd},
};

use nix::{
    errno::Errno,
    sys::socket::{
        AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, recv, socket,
    },
};
use tokio::io::unix::AsyncFd;

use super::Error;

const RTMGRP_LINK: u32 = 1;

/// Says when some interface was made, changed or removed.
///
/// It reads no more than that out of the kernel's messages: whoever is woken up lists the
/// interfaces anew, so that a lost message loses nothing.
pub struct LinkWatch(AsyncFd<OwnedFd>);

impl LinkWatch {
    /// Begins to listen, in the network namespace of this thread.
    pub fn new() -> Result<Self, Error> {
        let open = || -> io::Result<_> {
            let socket = socket(
                AddressFamily::Netlink,
                SockType::Raw,
                SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC,
                SockProtocol::NetlinkRoute,
            )?;
            bind(socket.as_raw_fd(), &NetlinkAddr::new(0, RTMGRP_LINK))?;
            // SAFETY: an open socket that the result owns, and closes after it is deregistered.
            Ok(unsafe { AsyncFd::register(socket) }?)
        };
        Ok(Self(open().map_err(|source| Error::Watch { source })?))
    }

    /// Returns after something changed.
    pub async fn changed(&self) -> Result<(), Error> {
        let watch = |source| Error::Watch { source };
        let mut ready = self.0.readable().await.map_err(watch)?;
        let mut message = [0; 4096];
        loop {
            match recv(self.0.as_raw_fd(), &mut message, MsgFlags::empty()) {
                // Messages were lost: something changed.
                Ok(_) | Err(Errno::ENOBUFS | Errno::EINTR) => {}
                Err(Errno::EAGAIN) => break,
                Err(error) => return Err(watch(error.into())),
            }
        }
        ready.clear_ready();
        Ok(())
    }
}
