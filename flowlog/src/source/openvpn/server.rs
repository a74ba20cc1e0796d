//! The process of a server, by which is known that it still lives.

use std::{
    ffi::CString,
    fs, io,
    io::Read as _,
    path::{Path, PathBuf},
};

use nix::{errno::Errno, fcntl::OFlag, sys::signal::kill, unistd::Pid};

use crate::{
    durable::{self, Opened},
    source::{Error, hook::Fields},
};

/// A process of a server, as its hooks tell of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Process {
    pid: i32,
    /// When OpenVPN began, in seconds since 1970; `None` before 2.3.
    began: Option<i64>,
}

impl Process {
    pub(super) fn of(fields: &Fields) -> Option<Self> {
        let pid = fields.parsed("daemon_pid").ok().filter(|pid| *pid > 0)?;
        Some(Self { pid, began: fields.parsed("daemon_start_time").ok() })
    }

    /// Whether there still is such a process.
    pub(super) fn lives(self) -> bool {
        // Who may not signal it has at least learnt that it is there. `/proc` may hide it.
        kill(Pid::from_raw(self.pid), None) != Err(Errno::ESRCH) && !self.is_dead()
    }

    /// Whether its parent has not noticed yet that it ended.
    fn is_dead(self) -> bool {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.pid)).unwrap_or_default();
        stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with(['Z', 'X']))
    }
}

/// Remembers the process of a server for the next daemon: in the directory of the notes, which is empty after a boot.
#[derive(Clone, Debug)]
pub(in crate::source) struct Memory {
    directory: PathBuf,
    name: CString,
}

impl Memory {
    pub(in crate::source) fn new(directory: &Path, server: &str) -> Option<Self> {
        let name = CString::new(format!("{}{server}", crate::source::hook::SERVER)).ok()?;
        Some(Self { directory: directory.to_owned(), name })
    }

    pub(super) fn read(&self) -> Result<Option<Process>, Error> {
        let failed = |source| Error::Directory { source };
        let directory = durable::open_directory(&self.directory).map_err(failed)?;
        let opened = durable::open_file(&directory, self.name.as_c_str(), OFlag::O_RDONLY);
        match opened {
            Ok(Opened::File(file, status)) if status.st_uid == nix::unistd::geteuid().as_raw() => {
                let mut content = vec![];
                file.take(1 << 10).read_to_end(&mut content).map_err(failed)?;
                Ok(Fields::parse(&content).ok().as_ref().and_then(Process::of))
            }
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed(error)),
            _ => Ok(None),
        }
    }

    pub(super) fn write(&self, process: Process) -> Result<(), Error> {
        let failed = |source| Error::Directory { source };
        let directory = durable::open_directory(&self.directory).map_err(failed)?;
        let Process { pid, began } = process;
        let fields = Fields::default()
            .with("daemon_pid", Some(&pid.to_string()))
            .with("daemon_start_time", began.map(|began| began.to_string()).as_deref());
        durable::remove_file(&directory, self.name.as_c_str()).map_err(failed)?;
        durable::write_file(&directory, self.name.as_c_str(), fields.text().as_bytes())
            .map_err(failed)
    }
}
