//! The `flowlog` binary, as a user runs it.

use std::{
    io::{BufRead as _, BufReader},
    path::PathBuf,
    process::{Child, Command, ExitStatus, Stdio},
    sync::mpsc::{self, Receiver},
};

use flowlog::demo::Netns;

use super::rig::PATIENCE;

/// The binary that `cargo build` made.
pub fn flowlog_binary() -> PathBuf {
    let mut directory = std::env::current_exe().unwrap();
    directory.pop();
    if directory.ends_with("deps") {
        directory.pop();
    }
    let binary = directory.join("flowlog");
    assert!(binary.is_file(), "{} is missing; run `cargo xtask test`", binary.display());
    binary
}

/// How a command ended.
#[derive(Debug)]
pub struct Ended {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

/// Runs `flowlog` with these arguments.
pub fn flowlog(arguments: &[&str]) -> Ended {
    flowlog_with(&[], arguments)
}

/// Runs it with more variables in its environment.
pub fn flowlog_with(variables: &[(String, String)], arguments: &[&str]) -> Ended {
    let mut command = Command::new(flowlog_binary());
    let output = command.args(arguments).envs(variables.iter().cloned()).output().unwrap();
    Ended {
        code: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

/// A running `flowlog run`.
pub struct Daemon {
    child: Child,
    said: Receiver<String>,
    log: Vec<String>,
    /// Of its own, where its socket is unless the arguments name one: many run at a time.
    run: tempfile::TempDir,
}

impl Daemon {
    /// Starts it within a namespace; it says what it does, as with `-v`. It records full conversations
    /// unless the arguments say otherwise.
    pub fn start(netns: &Netns, arguments: &[&str]) -> Self {
        Self::start_with(netns, &[], arguments)
    }

    /// Starts it with more variables in its environment.
    pub fn start_with(netns: &Netns, variables: &[(String, String)], arguments: &[&str]) -> Self {
        let is_named = arguments.iter().any(|a| ["--profile", "--config"].contains(a));
        let profile: &[&str] = if is_named { &[] } else { &["--profile", "flows"] };
        let run = tempfile::tempdir().unwrap();
        let socket = socket_in(&run);
        let is_named = arguments.contains(&"--status-socket");
        let status: &[&str] = if is_named { &[] } else { &["--status-socket", &socket] };
        let mut child = netns
            .command(flowlog_binary())
            .unwrap()
            .args(["run", "-v"])
            .args(profile)
            .args(status)
            .args(arguments)
            .envs(variables.iter().cloned())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let (say, said) = mpsc::channel();
        std::thread::spawn(move || {
            for line in stderr.lines().map_while(Result::ok) {
                if say.send(line).is_err() {
                    return;
                }
            }
        });
        Self { child, said, log: vec![], run }
    }

    /// Waits until it says something.
    pub fn wait_for(&mut self, words: &str) {
        loop {
            match self.said.recv_timeout(PATIENCE) {
                Ok(line) => {
                    let is_it = line.contains(words);
                    self.log.push(line);
                    if is_it {
                        return;
                    }
                }
                Err(_) => panic!("waited in vain for {words:?}; it said {:#?}", self.log),
            }
        }
    }

    /// Starts it and waits until it counts the interface.
    pub fn attached(netns: &Netns, interface: &str, arguments: &[&str]) -> Self {
        let mut all = vec!["--interface", interface];
        all.extend(arguments);
        let mut daemon = Self::start(netns, &all);
        daemon.wait_for("attached");
        daemon
    }

    /// How it is, as `flowlog status` reports it to programs, and the exit code of that.
    pub fn status(&self) -> (i32, serde_json::Value) {
        let socket = self.socket();
        let asked = flowlog(&["status", "--socket", &socket, "--format", "json"]);
        let answer = serde_json::from_str(&asked.stdout);
        (asked.code, answer.unwrap_or_else(|_| panic!("{asked:?}; it said {:#?}", self.log)))
    }

    /// Where it answers `flowlog status`, unless its arguments name another socket.
    pub fn socket(&self) -> String {
        socket_in(&self.run)
    }

    /// Its process number.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends SIGTERM and waits for the end.
    pub fn terminate(self) -> Ended {
        self.signal(nix::sys::signal::Signal::SIGTERM);
        self.end()
    }

    /// Sends a signal.
    pub fn signal(&self, signal: nix::sys::signal::Signal) {
        let id = nix::unistd::Pid::from_raw(i32::try_from(self.child.id()).unwrap());
        nix::sys::signal::kill(id, signal).unwrap();
    }

    /// Waits for the end.
    pub fn end(mut self) -> Ended {
        let stdout = std::io::read_to_string(self.child.stdout.take().unwrap()).unwrap();
        let status: ExitStatus = self.child.wait().unwrap();
        self.log.extend(self.said.iter());
        Ended {
            code: status.code().unwrap_or(-1),
            stdout,
            stderr: std::mem::take(&mut self.log).join("\n"),
        }
    }
}

fn socket_in(directory: &tempfile::TempDir) -> String {
    directory.path().join("flowlog.sock").to_str().unwrap().to_owned()
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // After a failed assertion; a daemon that has ended is not there to be killed any more.
        self.child.kill().unwrap_or_default();
        self.child.wait().map(|_| ()).unwrap_or_default();
    }
}
