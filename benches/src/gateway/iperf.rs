//! iperf3: one TCP connection for as long as something is measured.

use std::{
    io::{BufRead as _, BufReader, Lines},
    net::IpAddr,
    process::{Child, ChildStdout, Stdio},
};

use anyhow::{Context as _, ensure};
use flowlog::demo::Netns;

/// Linux's own default, whatever this machine's is: it sends until something is full, where others
/// estimate how much they should send.
const CONGESTION: &str = "cubic";
/// In seconds: it is ended when everything is measured.
const LONG_ENOUGH: &str = "3600";

/// An iperf3 that waits at the gateway.
pub struct Server {
    _running: Running,
    /// Kept: it would end when nobody could read what it says.
    _says: Lines<BufReader<ChildStdout>>,
}

impl Server {
    pub fn start(netns: &Netns, address: IpAddr) -> anyhow::Result<Self> {
        let mut child = netns
            .command("iperf3")?
            .args(["--server", "--one-off", "--forceflush", "--bind", &address.to_string()])
            .stdout(Stdio::piped())
            .spawn()
            .context("iperf3; run `cargo xtask bench`, which installs it")?;
        let stdout = child.stdout.take();
        let running = Running(child);
        let mut says = BufReader::new(stdout.context("iperf3 has no standard output")?).lines();
        let mut lines = says.by_ref().map_while(Result::ok);
        ensure!(lines.any(|line| line.contains("Server listening")), "iperf3 does not listen");
        Ok(Self { _running: running, _says: says })
    }
}

/// An iperf3 that sends to it, or has it send.
pub struct Client(Running);

impl Client {
    pub fn start(netns: &Netns, server: IpAddr, options: &[&str]) -> anyhow::Result<Self> {
        let child = netns
            .command("iperf3")?
            .args(["--time", LONG_ENOUGH, "--congestion", CONGESTION])
            .args(["--client", &server.to_string()])
            .args(options)
            .stdout(Stdio::null())
            .spawn()?;
        Ok(Self(Running(child)))
    }

    pub fn is_running(&mut self) -> anyhow::Result<bool> {
        Ok(self.0.0.try_wait()?.is_none())
    }
}

/// Ends with whoever started it.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // One that has ended is not there to be killed any more.
        self.0.kill().unwrap_or_default();
        self.0.wait().map(|_| ()).unwrap_or_default();
    }
}
