//! What a running daemon survives, a starting one survives: counting begins first.

use std::{
    fs::Permissions,
    net::UdpSocket,
    os::unix::{
        fs::{PermissionsExt as _, chown, symlink},
        net::UnixDatagram,
    },
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use flowlog::demo::Netns;
use flowlog_tests::{
    Bpffs, Daemon, Ended, HungServer, SmallDisk, duckdb, files_under, flowlog, quiet_tun,
};

/// From the start of the process to the first packet that is counted.
const AT_MOST_MS: i64 = 1_000;

struct Rig {
    directory: tempfile::TempDir,
    bpffs: Bpffs,
}

impl Rig {
    fn new() -> Self {
        Self { directory: tempfile::tempdir().unwrap(), bpffs: Bpffs::mount() }
    }

    fn path(&self, name: &str) -> String {
        self.directory.path().join(name).display().to_string()
    }

    /// Starts a daemon, and tells how long it took until it counted.
    fn start(
        &self,
        netns: &Netns,
        interfaces: &str,
        more: &[&str],
        store: &str,
    ) -> (Daemon, Duration) {
        let manager = self.directory.path().join("notify");
        std::fs::remove_file(&manager).unwrap_or_default();
        let socket = UnixDatagram::bind(&manager).unwrap();
        socket.set_read_timeout(Some(Duration::from_mins(1))).unwrap();
        let (spool, pins) = (self.path("spool"), self.bpffs.base());
        let arguments = [
            &["--interface", interfaces, "--store", store, "--spool", &spool],
            &["--pins", pins.to_str().unwrap(), "--gateway", "gw1", "--window", "1s"],
            &["--drain-interval", "500ms"][..],
            more,
        ];
        let mut variables = HungServer::variables(store);
        variables.push(("NOTIFY_SOCKET".to_owned(), manager.display().to_string()));
        let began = Instant::now();
        let daemon = Daemon::start_with(netns, &variables, &arguments.concat());
        let mut message = [0; 64];
        let length = socket.recv(&mut message).expect("the daemon to count");
        assert_eq!(&message[..length], b"READY=1");
        (daemon, began.elapsed())
    }

    /// What is in the store after a daemon that finds nothing wrong.
    fn stored(&self, netns: &Netns, interfaces: &str) -> u64 {
        let store = self.path("store");
        let (daemon, _) = self.start(netns, interfaces, &[], &store);
        std::thread::sleep(Duration::from_secs(1));
        let ended = daemon.terminate();
        assert_eq!(ended.code, 0, "{}", ended.stderr);
        let sum = "SELECT coalesce(sum(packets_down), 0)::INT AS packets FROM flows WHERE member_port = 9";
        duckdb(store.as_ref(), sum)[0]["packets"].as_u64().unwrap()
    }
}

fn send(netns: &Netns, packets: u32) {
    netns
        .run(move || {
            let socket = UdpSocket::bind("0.0.0.0:0")?;
            (0..packets).try_for_each(|_| socket.send_to(&[0; 72], "10.9.0.2:9").map(|_| ()))
        })
        .unwrap();
}

/// A hundred and fifty cables: three hundred interfaces.
fn many_interfaces(netns: &Netns) {
    for cable in 0..150 {
        let (near, far) = (format!("x{}", 2 * cable), format!("x{}", 2 * cable + 1));
        netns.ip(&["link", "add", &near, "type", "veth", "peer", "name", &far]).unwrap();
    }
    let arguments = [
        "address add 10.9.0.1/24 dev x0",
        "link set x0 arp off up",
        "link set x1 arp off up",
        "neighbour replace 10.9.0.2 lladdr 02:00:00:00:00:02 dev x0",
    ];
    for line in arguments {
        netns.ip(&line.split(' ').collect::<Vec<_>>()).unwrap();
    }
}

/// Almost four gibibytes, as many as may be there, that have to be read and are nothing.
fn large_spool(spool: &Path) {
    std::fs::create_dir_all(spool.join("epochs")).unwrap();
    for number in 1..=4 {
        let run = std::fs::File::create(spool.join(format!("epochs/{number:020}.run"))).unwrap();
        run.set_len(1000 << 20).unwrap();
    }
}

/// Sends a packet every few milliseconds until it is told to stop, and tells how many.
fn send_until(netns: &Netns, stopped: &Arc<AtomicBool>) -> u64 {
    let stopped = Arc::clone(stopped);
    netns
        .run(move || {
            let socket = UdpSocket::bind("0.0.0.0:0")?;
            let mut sent = 0;
            while !stopped.load(Ordering::Relaxed) {
                socket.send_to(&[0; 72], "10.9.0.2:9")?;
                sent += 1;
                std::thread::sleep(Duration::from_millis(5));
            }
            Ok(sent)
        })
        .unwrap()
}

/// The kernel waits for all its processors with each interface, so that the last of hundreds follows
/// seconds later; the ledger has when.
#[test]
fn counting_begins_within_a_second_whatever_else_is_wrong() {
    let server = HungServer::start();
    let mut fastest = i64::MAX;
    for _ in 0..3 {
        let rig = Rig::new();
        let netns = Netns::new().expect("these tests need root");
        many_interfaces(&netns);
        large_spool(rig.path("spool").as_ref());
        let config = rig.path("flowlog.toml");
        std::fs::write(&config, "profile = \"flows\"\nshutdown_timeout = \"2s\"").unwrap();
        // The server is asked within its own namespace.
        let url = server.url(&netns);
        let stopped = Arc::new(AtomicBool::new(false));
        let (daemon, began, sent) = std::thread::scope(|scope| {
            let sending = scope.spawn(|| send_until(&netns, &stopped));
            let began = flowlog::record::clock::now().ms();
            let (daemon, _) = rig.start(&netns, "x*", &["--config", &config], &url);
            stopped.store(true, Ordering::Relaxed);
            (daemon, began, sending.join().unwrap())
        });
        let ended = daemon.terminate();
        assert_eq!(ended.stderr.matches("cannot be counted").count(), 44, "{}", ended.stderr);
        let stored = rig.stored(&netns, "x*");
        assert!(stored > 0 && stored <= sent, "{stored} of {sent}: {}", ended.stderr);
        let first = "SELECT epoch_ms(min(flow_start)) AS first FROM flows WHERE member_port = 9";
        let first = duckdb(rig.path("store").as_ref(), first)[0]["first"].as_i64().unwrap();
        fastest = fastest.min(first - began);
    }
    // The best of three: others use this machine too.
    assert!(fastest <= AT_MOST_MS, "{fastest} ms");
}

#[test]
fn a_spool_that_cannot_be_used_yet_does_not_keep_a_daemon_from_counting() {
    let rig = Rig::new();
    let (netns, _tun) = quiet_tun("fltun");
    netns.ip(&["address", "add", "10.9.0.1/24", "dev", "fltun"]).unwrap();
    let disk = SmallDisk::new("size=2m");
    std::os::unix::fs::symlink(disk.path(), rig.path("disk")).unwrap();
    // No directory can be made there.
    std::fs::write(rig.path("spool"), "").unwrap();
    let store = rig.path("store");
    let (mut daemon, _) = rig.start(&netns, "fltun", &[], &store);
    send(&netns, 7);
    daemon.wait_for("the kernel holds the counts");
    let spool = rig.path("spool");
    std::fs::remove_file(&spool).unwrap();
    std::fs::create_dir(&spool).unwrap();
    std::thread::sleep(Duration::from_secs(3));
    let ended = daemon.terminate();
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    let verified = flowlog(&["verify", "--store", &store]);
    assert!(verified.stdout.contains("7 packets"), "{verified:?}\n{}", ended.stderr);
}

#[test]
fn a_read_only_store_does_not_keep_a_daemon_with_a_spool_from_counting() {
    let rig = Rig::new();
    let (netns, _tun) = quiet_tun("fltun");
    netns.ip(&["address", "add", "10.9.0.1/24", "dev", "fltun"]).unwrap();
    let disk = SmallDisk::new("ro,size=2m");
    let store = disk.path().join("store").display().to_string();
    let config = rig.path("flowlog.toml");
    std::fs::write(&config, "profile = \"flows\"\nshutdown_timeout = \"1s\"").unwrap();
    let (mut daemon, _) = rig.start(&netns, "fltun", &["--config", &config], &store);
    send(&netns, 5);
    daemon.wait_for("Read-only");
    let Ended { code, stderr, .. } = daemon.terminate();
    assert_eq!(code, 3, "{stderr}");
    assert!(stderr.lines().last().unwrap().contains(&rig.path("spool")), "{stderr}");
    assert_eq!(rig.stored(&netns, "fltun"), 5);
}

#[test]
fn one_interface_that_cannot_be_counted_is_reported_and_the_others_are_counted() {
    let rig = Rig::new();
    let (netns, _tun) = quiet_tun("flodd0");
    netns.ip(&["address", "add", "10.9.0.1/24", "dev", "flodd0"]).unwrap();
    netns.ip(&["link", "add", "flodd1", "type", "vcan"]).unwrap_or_default();
    let (daemon, _) = rig.start(&netns, "flodd*", &[], &rig.path("store"));
    send(&netns, 3);
    let ended = daemon.terminate();
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    assert_eq!(rig.stored(&netns, "flodd*"), 3);
}

/// Another user may have put links in it that lead to files of ours.
#[test]
fn a_spool_of_another_user_is_refused_and_nothing_in_it_is_touched() {
    let rig = Rig::new();
    let (netns, _tun) = quiet_tun("fltun");
    let spool = PathBuf::from(rig.path("spool"));
    let ours = PathBuf::from(rig.path("ours"));
    std::fs::create_dir_all(spool.join("epochs")).unwrap();
    std::fs::create_dir(&ours).unwrap();
    std::fs::write(ours.join("file"), "precious").unwrap();
    symlink(ours.join("file"), spool.join("epochs/1.unfinished")).unwrap();
    symlink(&ours, spool.join("scratch")).unwrap();
    let (store, pins) = (rig.path("store"), rig.bpffs.base());
    let arguments = ["--interface", "fltun", "--store", &store, "--pins", pins.to_str().unwrap()];
    let arguments = [&arguments[..], &["--spool", spool.to_str().unwrap()]].concat();
    let before = files_under(&spool);
    for (owner, mode, reason) in [(65_534, 0o700, "another user"), (0, 0o777, "others may write")] {
        chown(&spool, Some(owner), None).unwrap();
        std::fs::set_permissions(&spool, Permissions::from_mode(mode)).unwrap();
        let refused = Daemon::start(&netns, &arguments).end();
        assert_eq!(refused.code, 3, "{refused:?}");
        assert!(refused.stderr.contains(reason), "{}", refused.stderr);
        assert_eq!(files_under(&spool), before);
        assert_eq!(std::fs::read_to_string(ours.join("file")).unwrap(), "precious");
    }
}
