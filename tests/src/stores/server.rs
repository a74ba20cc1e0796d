//! A server that ends with the test that started it.

use std::{
    fs::File,
    io::{Read as _, Write as _},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use crate::rig::{PATIENCE, root};

pub(super) struct Server {
    pub(super) address: SocketAddr,
    child: Child,
}

impl Server {
    /// Starts it, and waits until it answers a request for `health`.
    pub(super) fn start(
        name: &str,
        command: &mut Command,
        scratch: &Path,
        port: u16,
        health: &str,
    ) -> Self {
        let log = scratch.join("server.log");
        let output = File::create(&log).unwrap();
        // A test that is killed takes it along.
        let child = Command::new("setpriv")
            .args(["--pdeathsig", "KILL"])
            .arg(command.get_program())
            .args(command.get_args())
            .current_dir(scratch)
            .stdin(Stdio::null())
            .stdout(output.try_clone().unwrap())
            .stderr(output)
            .spawn()
            .unwrap();
        let mut server = Self { address: (Ipv4Addr::LOCALHOST, port).into(), child };
        let patience = Instant::now() + PATIENCE;
        while request(server.address, "GET", health).is_none() {
            let ended = server.child.try_wait().unwrap();
            assert!(
                ended.is_none() && Instant::now() < patience,
                "{name} does not answer; run `cargo xtask setup`.\n{}",
                std::fs::read_to_string(&log).unwrap_or_default()
            );
            std::thread::sleep(Duration::from_millis(20));
        }
        server
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

/// Ports that nobody listens on, all different.
pub(super) fn free_ports<const N: usize>() -> [u16; N] {
    let listeners = [(); N].map(|()| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap());
    listeners.map(|listener| listener.local_addr().unwrap().port())
}

/// A program of the tests' Python.
pub(super) fn venv(program: &str) -> Command {
    let path = root().join("target/venv/bin").join(program);
    assert!(path.is_file(), "{} is missing; run `cargo xtask setup`", path.display());
    Command::new(path)
}

/// A program that npm installed.
pub(super) fn node(script: &str) -> Command {
    let path = root().join("target/npm/node_modules").join(script);
    assert!(path.is_file(), "{} is missing; run `cargo xtask setup`", path.display());
    let mut command = Command::new("node");
    command.arg(path);
    command
}

/// The answer to a request, which must succeed.
pub(super) fn http(server: SocketAddr, method: &str, target: &str) -> String {
    let answer = request(server, method, target).expect("the server answers");
    assert!(answer.starts_with("HTTP/1.1 2"), "{method} {target}: {answer}");
    answer
}

fn request(server: SocketAddr, method: &str, target: &str) -> Option<String> {
    let mut connection = TcpStream::connect(server).ok()?;
    let head = format!(
        "{method} {target} HTTP/1.1\r\nHost: {server}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    );
    connection.write_all(head.as_bytes()).ok()?;
    let mut answer = vec![];
    connection.read_to_end(&mut answer).ok()?;
    (!answer.is_empty()).then(|| String::from_utf8_lossy(&answer).into_owned())
}
