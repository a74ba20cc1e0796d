//! Reports to the service manager (`sd_notify`): `systemd` waits until the daemon is ready, and starts it again
//! when it has not heard of it for too long.
//!
//! Messages and the manager's patience are those of the crate `sd-notify`. The socket is our own: the crate's
//! waits for a manager that does not read, and knows no abstract address.

use std::{
    ffi::OsStr,
    io,
    os::{
        linux::net::SocketAddrExt as _,
        unix::{
            ffi::OsStrExt as _,
            net::{SocketAddr, UnixDatagram},
        },
    },
    time::Duration,
};

use sd_notify::NotifyState;

/// The service manager, if there is one.
#[derive(Debug, Default)]
pub struct Notifier {
    manager: Option<(UnixDatagram, SocketAddr)>,
    timeout: Option<Duration>,
}

/// Why the service manager cannot be told anything.
#[derive(Debug, thiserror::Error)]
#[error("cannot notify the service manager at {address:?}, which NOTIFY_SOCKET names")]
pub struct Error {
    address: String,
    source: io::Error,
}

impl Notifier {
    /// The manager that the environment names.
    pub fn from_environment() -> Result<Self, Error> {
        let timeout = sd_notify::watchdog_enabled();
        match std::env::var_os("NOTIFY_SOCKET") {
            Some(address) if !address.is_empty() => Self::new(&address, timeout),
            _ => Ok(Self::default()),
        }
    }

    /// A manager that listens at an address, and gives the daemon up after it has been silent for this
    /// long. An address that begins with `@` is an abstract one.
    pub fn new(address: &OsStr, timeout: Option<Duration>) -> Result<Self, Error> {
        let open = || -> io::Result<_> {
            let parsed = match address.as_bytes().split_first() {
                Some((b'@', name)) => SocketAddr::from_abstract_name(name)?,
                _ => SocketAddr::from_pathname(address)?,
            };
            let socket = UnixDatagram::unbound()?;
            // A manager that does not read must not hold the daemon up.
            socket.set_nonblocking(true)?;
            Ok((socket, parsed))
        };
        let failed = |source| Error { address: address.to_string_lossy().into_owned(), source };
        Ok(Self { manager: Some(open().map_err(failed)?), timeout })
    }

    /// How often [`Self::alive`] is to be called: twice within the time that the manager waits.
    #[must_use]
    pub fn alive_interval(&self) -> Option<Duration> {
        self.timeout.map(|timeout| timeout / 2)
    }

    /// Packets are counted.
    pub fn ready(&self) {
        self.send(&NotifyState::Ready);
    }

    /// The daemon is doing what it is there for.
    pub fn alive(&self) {
        self.send(&NotifyState::Watchdog);
    }

    /// The daemon was told to end.
    pub fn stopping(&self) {
        self.send(&NotifyState::Stopping);
    }

    /// What `systemctl status` shows.
    pub fn status(&self, text: &str) {
        // A second line would be another assignment.
        self.send(&NotifyState::Status(&text.replace('\n', " ")));
    }

    fn send(&self, state: &NotifyState<'_>) {
        let Some((socket, address)) = &self.manager else { return };
        let assignment = state.to_string();
        if let Err(error) = socket.send_to_addr(assignment.as_bytes(), address) {
            tracing::warn!("cannot send {assignment:?} to the service manager: {error}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heard(manager: &UnixDatagram) -> String {
        manager.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        let mut buffer = [0; 256];
        let length = manager.recv(&mut buffer).unwrap();
        String::from_utf8(buffer[..length].to_vec()).unwrap()
    }

    fn tell_everything(notifier: &Notifier, manager: &UnixDatagram) {
        notifier.ready();
        notifier.alive();
        notifier.status("2 interfaces\nREADY=1");
        notifier.stopping();
        let expected = ["READY=1", "WATCHDOG=1", "STATUS=2 interfaces READY=1", "STOPPING=1"];
        assert_eq!([(); 4].map(|()| heard(manager)), expected);
    }

    #[test]
    fn a_manager_at_a_path_hears_one_message_for_each_change() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("notify");
        let manager = UnixDatagram::bind(&path).unwrap();
        let notifier = Notifier::new(path.as_os_str(), None).unwrap();
        tell_everything(&notifier, &manager);
        assert_eq!(notifier.alive_interval(), None);
    }

    #[test]
    fn a_manager_at_an_abstract_address_hears_them_too() {
        let name = format!("flowlog-notify-{}", std::process::id());
        let address = SocketAddr::from_abstract_name(&name).unwrap();
        let manager = UnixDatagram::bind_addr(&address).unwrap();
        let timeout = Some(Duration::from_secs(30));
        let notifier = Notifier::new(OsStr::new(&format!("@{name}")), timeout).unwrap();
        tell_everything(&notifier, &manager);
        assert_eq!(notifier.alive_interval(), Some(Duration::from_secs(15)));
    }

    #[test]
    fn a_manager_that_is_gone_or_does_not_read_holds_nothing_up() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("notify");
        let manager = UnixDatagram::bind(&path).unwrap();
        let notifier = Notifier::new(path.as_os_str(), None).unwrap();
        // More than any queue of datagrams takes.
        (0..10_000).for_each(|_| notifier.alive());
        drop(manager);
        notifier.stopping();
    }
}
