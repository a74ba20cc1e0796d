//! In nobody's way: packets and other people's programs, while flowlog starts, runs, hangs, stops
//! and is killed.

use std::{
    io,
    net::UdpSocket,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::Duration,
};

use aya::programs::{SchedClassifier, TcAttachType};
use flowlog::demo::Netns;
use flowlog_tests::{Counter, Daemon, Ended, Place, Side, Verdict, flowlog, veth_pair, wait_for};
use nix::sys::signal::Signal;

const NEAR: &str = "flnear";
const FAR: &str = "flfar";
const GATEWAY: &str = "10.8.0.1";
const PEER: &str = "10.8.0.2";
const PORT: u16 = 9;

/// Payload of every datagram; a frame has the headers of Ethernet, IPv4 and UDP before it.
const PAYLOAD: usize = 100;
const FRAME: u64 = PAYLOAD as u64 + 14 + 20 + 8;

/// Two namespaces and a cable, on which nothing is sent but what the tests send.
fn cable() -> (Netns, Netns) {
    let (gateway, peer) = veth_pair(NEAR, FAR);
    let ends = [(&gateway, NEAR, 1, GATEWAY, PEER), (&peer, FAR, 2, PEER, GATEWAY)];
    for (netns, name, host, own, other) in ends {
        let [own_link, other_link] = [host, 3 - host].map(|host| format!("02:00:00:00:00:0{host}"));
        netns.ip(&["link", "set", "lo", "up"]).unwrap();
        netns.ip(&["link", "set", name, "address", &own_link, "arp", "on"]).unwrap();
        netns.ip(&["address", "add", &format!("{own}/24"), "dev", name]).unwrap();
        let neighbour = ["neighbour", "add", other, "lladdr", &other_link];
        netns.ip(&[&neighbour[..], &["dev", name, "nud", "permanent"]].concat()).unwrap();
    }
    (gateway, peer)
}

/// Datagrams from the peer, each of which the gateway sends back, until it is told to stop.
struct Traffic {
    stop: Arc<AtomicBool>,
    asking: JoinHandle<io::Result<u64>>,
    answering: JoinHandle<io::Result<u64>>,
}

impl Traffic {
    fn start(gateway: &Netns, peer: &Netns) -> Self {
        let socket = |netns: &Netns, own: &'static str, other: &'static str| {
            let open = move || {
                let socket = UdpSocket::bind((own, PORT))?;
                socket.connect((other, PORT))?;
                // What is lost does not come, however long one waits.
                socket.set_read_timeout(Some(Duration::from_secs(10)))?;
                Ok(socket)
            };
            netns.run(open).unwrap()
        };
        let (asks, answers) = (socket(peer, PEER, GATEWAY), socket(gateway, GATEWAY, PEER));
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let asking = std::thread::spawn(move || ask(&asks, &stopped));
        let answering = std::thread::spawn(move || answer(&answers));
        Self { stop, asking, answering }
    }

    /// Ends it, and returns how many datagrams went each way; all that were sent have arrived,
    /// unchanged and in their order.
    fn stop(self) -> u64 {
        self.stop.store(true, Ordering::Relaxed);
        let asked = self.asking.join().unwrap().expect("an answer did not arrive");
        assert_eq!(self.answering.join().unwrap().expect("a question did not arrive"), asked);
        asked
    }
}

/// In bursts that no buffer is too small for.
fn ask(socket: &UdpSocket, stopped: &AtomicBool) -> io::Result<u64> {
    const BURST: u64 = 32;
    let mut asked = 0;
    loop {
        let is_last = stopped.load(Ordering::Relaxed);
        for number in asked..asked + BURST {
            // The last one of all says so.
            socket.send(&payload(number, is_last && number == asked + BURST - 1))?;
        }
        for number in asked..asked + BURST {
            let mut buffer = [0; 2 * PAYLOAD];
            let length = socket.recv(&mut buffer)?;
            let is_end = is_last && number == asked + BURST - 1;
            assert_eq!(buffer[..length], payload(number, is_end), "datagram {number} was changed");
        }
        asked += BURST;
        if is_last {
            return Ok(asked);
        }
        // Other programs want to run, too.
        std::thread::sleep(Duration::from_millis(1));
    }
}

fn answer(socket: &UdpSocket) -> io::Result<u64> {
    let mut answered = 0;
    loop {
        let mut buffer = [0; 2 * PAYLOAD];
        let length = socket.recv(&mut buffer)?;
        socket.send(&buffer[..length])?;
        answered += 1;
        if buffer[0] != 0 {
            return Ok(answered);
        }
    }
}

fn payload(number: u64, is_end: bool) -> [u8; PAYLOAD] {
    let mut payload = [number.to_le_bytes()[0]; PAYLOAD];
    payload[0] = u8::from(is_end);
    payload[1..9].copy_from_slice(&number.to_le_bytes());
    payload
}

fn store(directory: &tempfile::TempDir) -> String {
    directory.path().join("store").to_str().unwrap().to_owned()
}

/// Somebody's programs at both hooks of the gateway.
fn counters(gateway: &Netns, places: [Place; 2]) -> [Counter; 2] {
    let [ingress, egress] = places;
    [(Side::Ingress, ingress), (Side::Egress, egress)]
        .map(|(side, place)| Counter::attach(gateway, NEAR, side, place, Verdict::Next))
}

/// Names of the TCX programs of the gateway's interface, in the order in which they run.
fn programs(gateway: &Netns) -> [Vec<String>; 2] {
    [TcAttachType::Ingress, TcAttachType::Egress].map(|hook| {
        let query = move || SchedClassifier::query_tcx(NEAR, hook).map_err(io::Error::other);
        // One that is replaced between its place in the list and its name makes the list void.
        let mut tries = (0..100).map(|_| gateway.run(query));
        let (_revision, programs) = tries.find_map(Result::ok).unwrap();
        programs.iter().map(|program| program.name_as_str().unwrap().to_owned()).collect()
    })
}

fn tc(netns: &Netns, arguments: &[&str]) -> String {
    let output = netns.command("tc").unwrap().args(arguments).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn assert_balanced(store: &str) {
    let verified = flowlog(&["verify", "--store", store]);
    assert_eq!(verified.code, 0, "{}", verified.stdout);
}

fn a_while() {
    std::thread::sleep(Duration::from_millis(300));
}

#[test]
fn programs_before_and_behind_see_every_packet_while_flowlog_comes_and_goes() {
    for order in ["first", "last"] {
        let directory = tempfile::tempdir().unwrap();
        let store = store(&directory);
        let (gateway, peer) = cable();
        let arguments = ["--store", store.as_str(), "--drain-interval", "500ms", "--order", order];
        let older = counters(&gateway, [Place::Last; 2]);
        let daemon = Daemon::attached(&gateway, NEAR, &arguments);
        // These are the first to see a packet that arrives, and the last to see one that leaves.
        let newer = counters(&gateway, [Place::First, Place::Last]);
        let expected = if order == "first" {
            [["up_l2", "", ""], ["down_l2", "", ""]]
        } else {
            [["", "", "up_l2"], ["", "down_l2", ""]]
        };
        wait_for("its place at the hooks", || programs(&gateway) == expected);

        let traffic = Traffic::start(&gateway, &peer);
        a_while();
        assert_eq!(daemon.terminate().code, 0);
        for _ in 0..3 {
            let daemon = Daemon::attached(&gateway, NEAR, &arguments);
            let expected = if order == "first" {
                [["up_l2", "", ""], ["down_l2", "", ""]]
            } else {
                [["", "", "up_l2"], ["", "", "down_l2"]]
            };
            assert_eq!(programs(&gateway), expected);
            a_while();
            assert_eq!(daemon.terminate().code, 0);
            assert_eq!(programs(&gateway), [["", ""], ["", ""]]);
        }
        let killed = Daemon::attached(&gateway, NEAR, &arguments);
        a_while();
        killed.signal(Signal::SIGKILL);
        assert_eq!(killed.end().code, -1);
        let sent = traffic.stop();

        for counter in older.iter().chain(&newer) {
            let passed = counter.passed();
            assert_eq!((passed.buffers, passed.bytes), (sent, sent * FRAME));
        }
        wait_for("the programs to go", || programs(&gateway) == [["", ""], ["", ""]]);
        assert_balanced(&store);
    }
}

#[test]
fn a_daemon_that_hangs_holds_no_packet_up_and_counts_them_all() {
    let directory = tempfile::tempdir().unwrap();
    let store = store(&directory);
    let (gateway, peer) = cable();
    let arguments = ["--store", store.as_str(), "--drain-interval", "500ms"];
    let daemon = Daemon::attached(&gateway, NEAR, &arguments);
    let traffic = Traffic::start(&gateway, &peer);
    a_while();
    daemon.signal(Signal::SIGSTOP);
    std::thread::sleep(Duration::from_secs(2));
    daemon.signal(Signal::SIGCONT);
    a_while();
    let sent = traffic.stop();
    let ended = daemon.terminate();
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    let counted = format!("{} packets, {} bytes", 2 * sent, 2 * sent * (FRAME - 14));
    assert!(ended.stdout.starts_with(&counted), "{}: {}", counted, ended.stdout);
    assert_balanced(&store);
}

/// What a filter of the gateway drops at both hooks: with `first` it has been counted, with `last` it
/// never reached the hook.
#[test]
fn what_others_drop_is_counted_before_them_and_not_behind_them() {
    for (order, counted) in [("first", 100), ("last", 0)] {
        let directory = tempfile::tempdir().unwrap();
        let store = store(&directory);
        let (gateway, peer) = cable();
        let drops = [Side::Ingress, Side::Egress]
            .map(|side| Counter::attach(&gateway, NEAR, side, Place::First, Verdict::Drop));
        let daemon = Daemon::attached(&gateway, NEAR, &["--store", &store, "--order", order]);
        for (netns, own, other) in [(&peer, PEER, GATEWAY), (&gateway, GATEWAY, PEER)] {
            let send = move || {
                let socket = UdpSocket::bind((own, PORT))?;
                // A packet that is dropped before it leaves is reported to its sender.
                (0..50).for_each(|_| drop(socket.send_to(&[0; PAYLOAD], (other, PORT))));
                Ok(())
            };
            netns.run(send).unwrap();
        }
        let ended = daemon.terminate();
        assert_eq!(drops.each_ref().map(|counter| counter.passed().buffers), [50, 50]);
        let flows = u64::from(counted > 0);
        let expected =
            format!("{counted} packets, {} bytes, {flows} flows", counted * (FRAME - 14));
        assert!(ended.stdout.starts_with(&expected), "{order}: {}", ended.stdout);
        assert_balanced(&store);
    }
}

#[test]
fn filters_of_clsact_count_every_packet_and_stay_as_they_were() {
    for attach in ["tcx", "clsact"] {
        let others = OtherFilters::new("10");
        let traffic = Traffic::start(&others.gateway, &others.peer);
        for _ in 0..2 {
            let (ended, warned) = others.run_flowlog(attach);
            assert!(!ended.stdout.starts_with("0 packets"), "{attach}: {ended:?}");
            assert!(!warned, "{attach}: {ended:?}");
        }
        others.assert_they_saw(traffic.stop());
    }
}

/// A filter that ends the walk over the filters hides packets from those behind it.
#[test]
fn who_cannot_be_the_first_filter_says_so_and_disturbs_nobody() {
    let others = OtherFilters::new("1");
    let traffic = Traffic::start(&others.gateway, &others.peer);
    let (ended, warned) = others.run_flowlog("clsact");
    assert!(warned && ended.stdout.starts_with("0 packets"), "{ended:?}");
    others.assert_they_saw(traffic.stop());
}

/// Filters at both hooks of the gateway that copy every packet to somebody who looks into it.
struct OtherFilters {
    gateway: Netns,
    peer: Netns,
    before: [String; 2],
}

impl OtherFilters {
    fn new(preference: &str) -> Self {
        let (gateway, peer) = cable();
        tc(&gateway, &["qdisc", "add", "dev", NEAR, "clsact"]);
        for hook in ["ingress", "egress"] {
            let rest = "protocol all u32 match u32 0 0 action mirred egress mirror dev lo";
            let filter = ["filter", "add", "dev", NEAR, hook, "pref", preference].into_iter();
            tc(&gateway, &filter.chain(rest.split(' ')).collect::<Vec<_>>());
        }
        let others = Self { gateway, peer, before: Default::default() };
        Self { before: others.filters(&[]), ..others }
    }

    fn filters(&self, options: &[&str]) -> [String; 2] {
        ["ingress", "egress"].map(|hook| {
            tc(&self.gateway, &[options, &["filter", "show", "dev", NEAR, hook]].concat())
        })
    }

    /// Starts it, and ends it; returns whether it warned of a filter that comes first, too.
    fn run_flowlog(&self, attach: &str) -> (Ended, bool) {
        let directory = tempfile::tempdir().unwrap();
        let store = store(&directory);
        let daemon =
            Daemon::attached(&self.gateway, NEAR, &["--store", &store, "--attach", attach]);
        let during = self.filters(&[]);
        let ours = ["up_l2", "down_l2"].map(|name| during.iter().any(|all| all.contains(name)));
        assert_eq!(ours, [attach == "clsact"; 2], "{during:?}");
        a_while();
        let ended = daemon.terminate();
        assert_eq!(ended.code, 0, "{}", ended.stderr);
        assert_eq!(self.filters(&[]), self.before, "{attach}");
        assert_balanced(&store);
        let warned = ended.stderr.contains("the packets that it takes are not counted");
        (ended, warned)
    }

    fn assert_they_saw(&self, packets: u64) {
        for statistics in self.filters(&["-s"]) {
            assert!(statistics.contains(&format!(" {packets} pkt")), "{packets}: {statistics}");
        }
    }
}
