//! nfcapd, which is given rows as an exporter gives them, and the files that it makes.

use std::{
    fs,
    net::{Ipv4Addr, UdpSocket},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail, ensure};

use super::{ipfix, rows::Row};

/// How nfdump compresses.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    None,
    Lzo,
    Lz4,
    Bz2,
}

impl Compression {
    pub const ALL: [Self; 4] = [Self::None, Self::Lzo, Self::Lz4, Self::Bz2];

    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Lzo => "lzo",
            Self::Bz2 => "bz2",
            Self::Lz4 => "lz4",
        }
    }

    const fn option(self) -> Option<&'static str> {
        match self {
            Self::None => None,
            Self::Lzo => Some("-z"),
            Self::Bz2 => Some("-j"),
            Self::Lz4 => Some("-y"),
        }
    }
}

/// Has nfcapd write these rows as one file.
pub fn capture(rows: &[Row], file: &Path, compression: Compression) -> anyhow::Result<()> {
    let folder = tempfile::tempdir_in(file.parent().context("a file without a folder")?)?;
    let collector = Collector::start(folder.path(), compression)?;
    let exporter = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
    exporter.connect((Ipv4Addr::LOCALHOST, collector.port))?;
    exporter.send(&ipfix::templates())?;
    let mut sequence = 0_u32;
    for rows in rows.chunks(ipfix::ROWS) {
        collector.wait_for_room()?;
        exporter.send(&ipfix::data(sequence, rows))?;
        sequence = sequence.wrapping_add(u32::try_from(rows.len())?);
    }
    let written = collector.stop()?;
    fs::rename(&written, file).with_context(|| written.display().to_string())
}

/// A running nfcapd.
struct Collector {
    process: Child,
    port: u16,
    folder: PathBuf,
}

/// What may wait in the socket: some of the least that Linux gives one.
const MOST_WAITING_BYTES: u64 = 100_000;
const PATIENCE: Duration = Duration::from_mins(1);

impl Collector {
    fn start(folder: &Path, compression: Compression) -> anyhow::Result<Self> {
        // Free a moment ago.
        let port = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port();
        let process = Command::new("nfcapd")
            // A day: it ends a file earlier when it is told to end.
            .args(["-4", "-b", "127.0.0.1", "-t", "86400", "-p", &port.to_string()])
            .args(compression.option())
            .arg("-w")
            .arg(folder)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .context("cannot start nfcapd")?;
        let mut collector = Self { process, port, folder: folder.to_owned() };
        let began = Instant::now();
        while collector.waiting()?.is_none() {
            ensure!(began.elapsed() < PATIENCE, "nfcapd does not listen");
            if let Some(status) = collector.process.try_wait()? {
                bail!("nfcapd ended at once: {status}");
            }
            thread::sleep(Duration::from_millis(1));
        }
        Ok(collector)
    }

    /// Waits until its socket takes another message, since one that it cannot take is lost.
    fn wait_for_room(&self) -> anyhow::Result<()> {
        self.wait_until_waiting_is_at_most(MOST_WAITING_BYTES)
    }

    fn wait_until_waiting_is_at_most(&self, bytes: u64) -> anyhow::Result<()> {
        let mut began = None;
        while self.waiting()?.context("nfcapd ended early")? > bytes {
            ensure!(began.get_or_insert_with(Instant::now).elapsed() < PATIENCE, "nfcapd is stuck");
            thread::sleep(Duration::from_micros(50));
        }
        Ok(())
    }

    /// Bytes in its socket, or nothing where there is no socket.
    fn waiting(&self) -> anyhow::Result<Option<u64>> {
        let sockets = fs::read_to_string("/proc/net/udp")?;
        let local = format!("0100007F:{:04X}", self.port);
        let mut sockets = sockets.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
        let Some(fields) = sockets.find(|fields| fields.get(1) == Some(&local.as_str())) else {
            return Ok(None);
        };
        let queued = fields.get(4).and_then(|queues| queues.split_once(':')).context("queues")?;
        ensure!(fields.last() == Some(&"0"), "nfcapd's socket lost a message");
        Ok(Some(u64::from_str_radix(queued.1, 16)?))
    }

    /// Ends it when it has read everything, and returns the file that it wrote.
    fn stop(mut self) -> anyhow::Result<PathBuf> {
        self.wait_until_waiting_is_at_most(0)?;
        // It forgets a message that it has taken and not yet looked at when it is told to end.
        thread::sleep(Duration::from_millis(50));
        let pid = i32::try_from(self.process.id())?;
        // SAFETY: a signal to a child that has not been waited for.
        ensure!(unsafe { libc::kill(pid, libc::SIGTERM) } == 0, "cannot end nfcapd");
        let status = self.process.wait()?;
        ensure!(status.success(), "nfcapd ended by {status}");
        let files = fs::read_dir(&self.folder)?.collect::<Result<Vec<_>, _>>()?;
        let [file] = files.as_slice() else { bail!("nfcapd made {} files", files.len()) };
        Ok(file.path())
    }
}

impl Drop for Collector {
    /// Only where it was not stopped; it has gone by then in all other cases.
    fn drop(&mut self) {
        if matches!(self.process.try_wait(), Ok(None)) && self.process.kill().is_ok() {
            self.process.wait().ok();
        }
    }
}
