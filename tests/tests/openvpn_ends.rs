//! OpenVPN from its clients to the store: what the daemon recorded is compared with the server's own log, by each kind of
//! evidence that a server gives.

#[path = "openvpn_ends/admission.rs"]
mod admission;
#[path = "openvpn_ends/stored.rs"]
mod stored;

use std::{
    path::Path,
    thread,
    time::{Duration, Instant},
};

use flowlog::record::clock;
use flowlog_tests::{
    Bpffs, Daemon, LoggedSession, OpenVpn, OpenVpnClient, flowlog, flowlog_binary, logged_sessions,
    wait_for,
};

use admission::admitting;
use stored::{Stored, gaps, stored};

/// How a server tells of its clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Evidence {
    Hooks,
    StatusFile,
    Management,
    /// The same, where a program at the socket admits clients.
    ManagementWithClientAuth,
}

/// A daemon asks so often; the server writes its file as often.
const POLL_MS: i64 = 1_000;
/// Two looks are no further apart, also on a busy machine.
const LOOKS_MS: i64 = 2 * POLL_MS + 3_000;
/// So long somebody else holds the management socket at most.
const HELD_MS: i64 = 12_000;
/// The server writes a line before or after what it writes about; a process begins meanwhile.
const BESIDE_MS: i64 = 1_000;
/// A server without clients wakes up so often.
const IDLE_MS: i64 = 10_000;
/// Without an answer for so long nothing is taken for granted any more.
const SILENCE_MS: i64 = 15_000;

impl Evidence {
    fn server(self, directory: &Path) -> String {
        let call = format!(
            "\"{} hook openvpn --dir {}/hook\"",
            flowlog_binary().display(),
            directory.display()
        );
        let own = match self {
            Self::Hooks => {
                format!("client-connect {call}\nclient-disconnect {call}\nlearn-address {call}\n")
            }
            Self::StatusFile => "status server.status 1\nstatus-version 2\n".to_owned(),
            Self::Management => "management server.sock unix\n".to_owned(),
            Self::ManagementWithClientAuth => {
                "management server.sock unix\nmanagement-client-auth\nauth-user-pass-optional\n"
                    .to_owned()
            }
        };
        format!("machine-readable-output\nverb 4\nkeepalive 1 5\nreneg-sec 6\n{own}")
    }

    fn source(self, path: impl Fn(&str) -> String) -> String {
        let own = match self {
            Self::Hooks => format!("hook = true\nhook_directory = \"{}\"", path("hook")),
            Self::StatusFile => format!("status = \"{}\"", path("server.status")),
            Self::Management | Self::ManagementWithClientAuth => {
                format!("management = \"unix:{}\"", path("server.sock"))
            }
        };
        format!("[[source]]\nkind = \"openvpn\"\npoll = \"1s\"\n{own}\n")
    }

    /// By how much a row may begin later than its session.
    const fn late_ms(self) -> i64 {
        match self {
            Self::Hooks => BESIDE_MS,
            Self::StatusFile | Self::Management => LOOKS_MS,
            Self::ManagementWithClientAuth => LOOKS_MS + HELD_MS,
        }
    }

    /// Whether a look shows where a client comes from; a hook is only called when it connects.
    fn shows_roaming(self) -> bool {
        self != Self::Hooks
    }
}

/// A server, a daemon that looks at it, and what the server wrote.
struct Rig {
    evidence: Evidence,
    directory: tempfile::TempDir,
    bpffs: Bpffs,
    vpn: OpenVpn,
}

/// What happened, by the clocks of the test and of the server.
struct Played {
    sessions: Vec<LoggedSession>,
    /// Between these instants there was no server.
    killed: i64,
    restarted: i64,
}

impl Rig {
    fn new(evidence: Evidence) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let vpn = OpenVpn::new(directory.path(), &evidence.server(directory.path()));
        let rig = Self { evidence, directory, bpffs: Bpffs::mount(), vpn };
        let path = |name: &str| rig.path(name);
        std::fs::write(path("peer.key"), [7; 32]).unwrap();
        let subscribers = "peer,subscriber,from,to\nopenvpn:ada,m-ada,,\nopenvpn:bob,m-bob,,\n";
        std::fs::write(path("subscribers.csv"), subscribers).unwrap();
        let config = format!(
            "profile = \"flows\"\ninterfaces = [\"tun*\"]\ngateway = \"gw1\"\nstore = \"{}\"\nspool = \"{}\"\npins = \"{}\"\n\
             window = \"2s\"\ndrain_interval = \"1s\"\n{}\
             [subscribers]\npeer_key_file = \"{}\"\nfile = \"{}\"\n",
            path("store"),
            path("spool"),
            rig.bpffs.base().display(),
            evidence.source(path),
            path("peer.key"),
            path("subscribers.csv")
        );
        std::fs::write(path("flowlog.toml"), config).unwrap();
        rig
    }

    fn path(&self, name: &str) -> String {
        self.directory.path().join(name).to_str().unwrap().to_owned()
    }

    /// Connects a member; where somebody has to admit it, somebody does.
    fn connect(&self, name: &str) -> OpenVpnClient {
        self.admitting(|| {
            let client = self.vpn.connect(name);
            self.vpn.wait_for(name);
            client
        })
    }

    fn admitting<T>(&self, work: impl FnOnce() -> T) -> T {
        match self.evidence {
            Evidence::ManagementWithClientAuth => admitting(&self.vpn.path("server.sock"), work),
            _ => work(),
        }
    }

    fn wait_for_log(&self, words: &str, times: usize) {
        wait_for(words, || self.vpn.log().matches(words).count() >= times);
    }

    /// All that may become of a session.
    fn play(&mut self, daemon: &Daemon) -> Played {
        let ada = self.connect("ada");
        self.admitting(|| self.wait_for_log("TLS: soft reset", 1));
        looks();
        self.vpn.translate();
        self.wait_for_log(" floated from ", 1);
        looks();
        // She is gone without a word.
        drop(ada);
        self.wait_for_log("client-instance", 1);
        // Again, with the same address, until she takes her leave.
        let ada = self.connect("ada");
        looks();
        ada.disconnect();
        self.wait_for_log("client-instance", 2);
        // With another address, beside somebody who has hers.
        let other =
            "ifconfig-push 10.8.0.77 255.255.255.0\nifconfig-ipv6-push fd00:8::77/64 fd00:8::1\n";
        self.vpn.configure("ada", other);
        let clients = [self.connect("ada"), self.connect("bob")];
        looks();
        let killed = clock::now().ms();
        self.vpn.kill();
        let mut sessions = logged_sessions(&self.vpn.log());
        for session in &mut sessions {
            session.ended.get_or_insert(killed);
        }
        drop(clients);
        self.assert_silence_is_noticed(daemon);
        let restarted = clock::now().ms();
        self.vpn.start();
        let bob = self.connect("bob");
        looks();
        bob.disconnect();
        self.wait_for_log("client-instance", 1);
        wait_until_none_is_open(daemon);
        sessions.extend(logged_sessions(&self.vpn.log()));
        Played { sessions, killed, restarted }
    }

    /// Whoever asks for the status learns that the source is silent, and why, and no name of a member.
    fn assert_silence_is_noticed(&self, daemon: &Daemon) {
        let since = Instant::now();
        let mut last = serde_json::Value::Null;
        wait_for("the silence", || {
            last = daemon.status().1["sources"][0].clone();
            last["is_heard"] == false
        });
        let took = since.elapsed();
        let context = format!("{:?} after {took:?}: {last}", self.evidence);
        assert!(last["error"]["text"].is_string() && last["remedy"].is_string(), "{context}");
        assert!(took.as_millis() >= 10_000, "{context}");
        // Its rows end when the silence is too long.
        wait_until_none_is_open(daemon);
    }
}

fn wait_until_none_is_open(daemon: &Daemon) {
    wait_for("the end of all sessions", || daemon.status().1["sources"][0]["open_sessions"] == 0);
}

/// So long that each look comes at least once.
fn looks() {
    thread::sleep(Duration::from_millis(2_500));
}

/// Records what happens to a server by one kind of evidence, and compares.
fn record(evidence: Evidence) {
    let mut rig = Rig::new(evidence);
    rig.vpn.start();
    let mut daemon = Daemon::start(&rig.vpn.gateway, &["--config", &rig.path("flowlog.toml")]);
    daemon.wait_for("attached");
    daemon.wait_for("sessions are recorded");
    looks();
    let played = rig.play(&daemon);
    let ended = daemon.terminate();
    assert_eq!(ended.code, 0, "{evidence:?}: {ended:?}");
    let store = rig.path("store");
    let verified = flowlog(&["verify", "--store", &store]);
    assert_eq!(verified.code, 0, "{evidence:?}: {verified:?}");
    let rows = stored(Path::new(&store));
    println!("{evidence:?}: {:#?}\n{rows:#?}", played.sessions);
    assert_the_log_had_all(&played);
    assert_equal(evidence, &played, &rows);
    assert_the_server_was_away(evidence, &played, &gaps(Path::new(&store)));
}

/// Otherwise the test shows nothing.
fn assert_the_log_had_all(played: &Played) {
    let shown: Vec<(&str, &str)> = played
        .sessions
        .iter()
        .map(|session| (session.name.as_str(), session.address.as_str()))
        .collect();
    assert!(shown.len() >= 5, "{shown:?}");
    assert!(shown.contains(&("ada", "10.8.0.77")), "{shown:?}");
    let first = &played.sessions[0];
    assert!(first.renegotiations > 0 && first.endpoints.len() == 2, "{first:?}");
    assert_eq!(shown[0], shown[1], "the same address again");
}

/// Each session of the log is there once, as long as it was, and no other one is.
fn assert_equal(evidence: Evidence, played: &Played, rows: &[Stored]) {
    assert_eq!(rows.len(), played.sessions.len(), "{evidence:?}: {rows:#?}");
    let mut logged: Vec<&LoggedSession> = played.sessions.iter().collect();
    logged.sort_by_key(|session| (&session.address, session.began));
    // Of an address one after the other.
    for (logged, row) in logged.into_iter().zip(rows) {
        let ended = logged.ended.unwrap();
        let context = format!("{evidence:?}: {logged:?} is {row:?}");
        assert_eq!(row.address, logged.address, "{context}");
        assert_eq!(row.subscriber, format!("m-{}", logged.name), "{context}");
        // None longer than confirmed.
        assert!(logged.began <= row.from + BESIDE_MS, "{context}");
        assert!(row.to <= ended + BESIDE_MS, "{context}");
        // All of it possible.
        assert!(row.from - row.from_slack <= logged.began + BESIDE_MS, "{context}");
        assert!(ended <= row.possible_to() + BESIDE_MS, "{context}");
        // And certain as far as this evidence can show.
        assert!(row.from <= logged.began + evidence.late_ms(), "{context}");
        assert!(ended <= row.to + LOOKS_MS, "{context}");
        assert!(row.longest_pause <= LOOKS_MS, "{context}");
        let is_killed = ended == played.killed;
        match evidence {
            Evidence::Hooks => assert_eq!(row.from_slack, 0, "{context}"),
            _ => assert!(row.from_slack <= evidence.late_ms() + BESIDE_MS, "{context}"),
        }
        // A list that has the address again, of another session, shows that it was replaced.
        let (reasons, slack): (&[&str], _) = match (is_killed, evidence) {
            (true, _) => (&["unknown"], SILENCE_MS + LOOKS_MS),
            (false, Evidence::Hooks) => (&["disconnected"], 0),
            (false, Evidence::StatusFile) => (&["disconnected", "replaced"], LOOKS_MS + IDLE_MS),
            (false, _) => (&["disconnected", "replaced"], LOOKS_MS),
        };
        assert!(reasons.contains(&row.end_reason.as_str()), "{context}");
        assert!(row.to_slack <= slack, "{context}");
        let seen = if evidence.shows_roaming() { logged.endpoints.len() } else { 1 };
        assert_eq!(row.endpoints, logged.endpoints[..seen], "{context}");
    }
}

/// The coverage has one gap: while there was no server.
fn assert_the_server_was_away(evidence: Evidence, played: &Played, gaps: &[(i64, i64)]) {
    let [(from, to)] = gaps else { panic!("{evidence:?}: {gaps:?}") };
    let context = format!("{evidence:?}: {from} to {to}, killed {}", played.killed);
    assert!((played.killed - LOOKS_MS..=played.killed + POLL_MS).contains(from), "{context}");
    let next = played.sessions.last().unwrap().began;
    assert!((played.restarted..=next + LOOKS_MS).contains(to), "{context}");
}

#[test]
fn the_store_has_each_session_of_a_server_as_its_own_log_has_it() {
    let all = [
        Evidence::Hooks,
        Evidence::StatusFile,
        Evidence::Management,
        Evidence::ManagementWithClientAuth,
    ];
    // Most of the time each of them waits.
    thread::scope(|scope| {
        let started = all.map(|evidence| (evidence, scope.spawn(move || record(evidence))));
        let failed = started.map(|(evidence, ended)| ended.join().err().map(|_| evidence));
        let failed: Vec<Evidence> = failed.into_iter().flatten().collect();
        assert!(failed.is_empty(), "{failed:?}: see above");
    });
}
