//! Waking up when network interfaces come and go.

use std::io;

use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_ROUTE};
use tokio::io::unix::AsyncFd;

use crate::capture::Error;

/// The group to whose members the kernel reports changes of interfaces.
const RTMGRP_LINK: u32 = libc::RTMGRP_LINK as u32;

/// Says when some interface was made, changed or removed.
///
/// It reads no more than that out of the kernel's messages: whoever is woken up lists the
/// interfaces anew, so that a lost message loses nothing.
pub struct LinkWatch(AsyncFd<Socket>);

impl LinkWatch {
    /// Begins to listen, in the network namespace of this thread.
    pub fn new() -> Result<Self, Error> {
        let open = || -> io::Result<_> {
            let mut socket = Socket::new(NETLINK_ROUTE)?;
            socket.set_non_blocking(true)?;
            socket.bind(&SocketAddr::new(0, RTMGRP_LINK))?;
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
            match self.0.get_ref().recv(&mut message.as_mut_slice(), 0) {
                Ok(_) => {}
                Err(error) => match error.raw_os_error() {
                    // Messages were lost: something changed.
                    Some(libc::ENOBUFS | libc::EINTR) => {}
                    Some(libc::EAGAIN) => break,
                    _ => return Err(watch(error)),
                },
            }
        }
        ready.clear_ready();
        Ok(())
    }
}
