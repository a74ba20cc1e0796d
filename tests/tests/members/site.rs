//! Gateways whose daemons write to one store, and questions to that store.

use std::{
    collections::BTreeSet,
    net::IpAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use flowlog::record::clock::{self, Utc};
use flowlog_tests::{Daemon, Ended, Members, SessionGateway, flowlog};
use nix::sys::signal::Signal;
use serde_json::Value;

/// How often a gateway is looked at.
pub const POLL: Duration = Duration::from_secs(1);

/// How a gateway is called, and the space of its addresses.
pub type Name = (&'static str, &'static str);

pub struct Site {
    directory: tempfile::TempDir,
    pub members: Members,
    gateways: &'static [Name],
    daemons: Vec<Option<Daemon>>,
}

/// An answer of `flowlog trace`.
#[derive(Debug)]
pub struct Answer {
    pub code: i32,
    pub outcome: String,
    pub reasons: Vec<String>,
    /// The members among the candidates.
    pub members: BTreeSet<usize>,
    pub whole: Value,
}

impl Site {
    pub fn new(gateways: &'static [Name], members: usize) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let members = Members::new(directory.path(), gateways.len(), members);
        let site = Self { directory, members, gateways, daemons: vec![] };
        for (place, (name, realm)) in gateways.iter().enumerate() {
            let (directory, interface) = (site.directory.path(), site.members.interface(place));
            let subscriber = |of| (site.members.public_key(of).to_owned(), subscriber(of));
            SessionGateway { directory, name, interface, realm }
                .configure((0..site.members.count()).map(subscriber));
        }
        site
    }

    /// Starts the daemon of each gateway, and waits until it has looked.
    pub fn run(&mut self) {
        self.run_with(&[]);
    }

    /// The same with more variables in their environment.
    pub fn run_with(&mut self, variables: &[(String, String)]) {
        let all = 0..self.gateways.len();
        self.daemons = all.map(|place| Some(self.start(place, variables))).collect();
        std::thread::sleep(3 * POLL);
    }

    fn start(&self, place: usize, variables: &[(String, String)]) -> Daemon {
        let config = self.config(place);
        let arguments = ["--config", config.to_str().unwrap()];
        let mut daemon = Daemon::start_with(&self.members.gateway, variables, &arguments);
        daemon.wait_for("sessions are recorded");
        daemon
    }

    /// A daemon is killed, and another one started so much later. Returns the time in which there was none, and
    /// when the other one looks.
    pub fn restart_after(&mut self, place: usize, pause: Duration) -> (Utc, Utc, Utc) {
        let daemon = self.daemons[place].take().unwrap();
        daemon.signal(Signal::SIGKILL);
        daemon.end();
        let from = clock::now();
        std::thread::sleep(pause);
        let to = clock::now();
        self.daemons[place] = Some(self.start(place, &[]));
        (from, to, clock::now())
    }

    /// Ends all daemons: the store has what they know.
    pub fn finish(&mut self) {
        for daemon in self.daemons.drain(..).flatten() {
            let ended = daemon.terminate();
            assert_eq!(ended.code, 0, "{ended:?}");
        }
        let verified = flowlog(&["verify", "--store", &self.path("store")]);
        assert_eq!(verified.code, 0, "{verified:?}");
    }

    pub fn path(&self, name: &str) -> String {
        self.directory.path().join(name).to_str().unwrap().to_owned()
    }

    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    fn config(&self, place: usize) -> PathBuf {
        self.directory.path().join(self.gateways[place].0).with_extension("toml")
    }

    /// Who had an address at an instant, without an error of whoever asks?
    pub fn ask(&self, address: IpAddr, at: Utc, more: &[&str]) -> Answer {
        self.ask_about(address, at, "0s", more)
    }

    /// The same with an error.
    pub fn ask_about(&self, address: IpAddr, at: Utc, error: &str, more: &[&str]) -> Answer {
        Answer::from(&self.path("store"), address, at, &[&["--error", error], more].concat())
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        self.daemons.clear();
        for place in 0..self.gateways.len() {
            let config = self.config(place);
            let Ended { .. } = flowlog(&["uninstall", "--config", config.to_str().unwrap()]);
        }
    }
}

impl Answer {
    /// Asks a store.
    pub fn from(store: &str, address: IpAddr, at: Utc, more: &[&str]) -> Self {
        let (address, at) = (address.to_string(), at.to_string());
        let question = ["trace", "--store", store, "--ip", &address, "--at", &at];
        Self::of(&flowlog(&[&question[..], &["--format", "json"], more].concat()))
    }

    fn of(ended: &Ended) -> Self {
        let whole: Value =
            serde_json::from_str(&ended.stdout).unwrap_or_else(|_| panic!("{ended:?}"));
        let list = |key: &str| whole[key].as_array().unwrap().clone();
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        Self {
            code: ended.code,
            outcome: text(&whole["outcome"]),
            reasons: list("reasons").iter().map(text).collect(),
            members: list("candidates").iter().map(|of| member(&text(&of["subscriber"]))).collect(),
            whole,
        }
    }

    /// The one that was identified.
    pub fn identified(&self) -> Option<usize> {
        (self.outcome == "identified").then(|| *self.members.first().unwrap())
    }

    pub fn has_reason(&self, reason: &str) -> bool {
        self.reasons.iter().any(|of| of == reason)
    }
}

fn subscriber(member: usize) -> String {
    format!("m-{member:04}")
}

fn member(subscriber: &str) -> usize {
    subscriber.strip_prefix("m-").unwrap().parse().unwrap()
}
