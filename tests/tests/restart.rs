//! What outlives the daemon: it is killed, stopped, upgraded and given other sizes, and every packet
//! that passed meanwhile is counted, once.

use std::{
    fs, io,
    io::{BufRead as _, BufReader},
    net::UdpSocket,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use aya::{
    maps::{MapData, PerCpuArray},
    programs::{SchedClassifier, TcAttachType},
};
use flowlog::{
    capture::{
        AttachMode, Capture, Contents, Error, Found, Loaded, MapSizes, Maps, Pins, Program,
        presence::Presence,
    },
    config::Policy,
    demo::Netns,
    drain,
};
use flowlog_common::{
    flow::{Direction, FlowCounters, FlowKeyV4},
    total::{self, Totals},
};
use flowlog_tests::{
    Bpffs, Counter, Ended, Place, SMALL, Side, Verdict, flowlog_binary, has_tcx, veth_pair,
    wait_for,
};

const NEAR: &str = "flnear";
const FAR: &str = "flfar";
const GATEWAY: &str = "10.8.0.1";
const PEER: &str = "10.8.0.2";

/// A cable on which nothing is sent but what the tests send, and where things are pinned.
struct Rig {
    gateway: Netns,
    peer: Netns,
    bpffs: Bpffs,
}

impl Rig {
    fn new() -> Self {
        let (gateway, peer) = veth_pair(NEAR, FAR);
        let ends = [(&gateway, NEAR, 1, GATEWAY, PEER), (&peer, FAR, 2, PEER, GATEWAY)];
        for (netns, name, host, own, other) in ends {
            let links = [host, 3 - host].map(|host| format!("02:00:00:00:00:0{host}"));
            netns.ip(&["link", "set", name, "address", &links[0], "arp", "on"]).unwrap();
            netns.ip(&["address", "add", &format!("{own}/24"), "dev", name]).unwrap();
            let neighbour = ["neighbour", "add", other, "lladdr", &links[1]];
            netns.ip(&[&neighbour[..], &["dev", name, "nud", "permanent"]].concat()).unwrap();
        }
        Self { gateway, peer, bpffs: Bpffs::mount() }
    }

    fn pins(&self) -> Pins {
        Pins::new(self.bpffs.base(), "gw.example")
    }

    fn start(&self, sizes: MapSizes, mode: AttachMode) -> Counting {
        self.start_on(sizes, mode, NEAR).unwrap()
    }

    fn start_on(
        &self,
        sizes: MapSizes,
        mode: AttachMode,
        interfaces: &'static str,
    ) -> Result<Counting, Error> {
        let pins = self.pins();
        let start = move || Ok(Counting::start(&pins, sizes, mode, interfaces));
        self.gateway.run(start).unwrap()
    }

    /// A daemon in a process of its own.
    fn child(&self, mode: &str) -> Child {
        let mut command = self.gateway.command(env!("CARGO_BIN_EXE_counting")).unwrap();
        command.arg(self.bpffs.base()).args(["gw.example", NEAR, mode]);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line, "counting\n");
        child
    }

    /// Sends datagrams from the peer, all of which arrive.
    fn send(&self, datagrams: u64) {
        Sender::new(self).send(datagrams).unwrap();
    }

    fn flowlog(&self, arguments: &[&str]) -> Ended {
        self.flowlog_in(&self.gateway, arguments)
    }

    fn flowlog_in(&self, netns: &Netns, arguments: &[&str]) -> Ended {
        let base = self.bpffs.base();
        let mut command = netns.command(flowlog_binary()).unwrap();
        let output = command.args(arguments).arg("--pins").arg(base).output().unwrap();
        Ended {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// Waits until none of ours is attached any more: the kernel detaches a link a moment after
    /// its last pin and descriptor have gone.
    fn wait_for_no_programs(&self, mode: AttachMode) {
        wait_for("the programs to go", || {
            self.programs(mode).concat().iter().all(String::is_empty)
        });
    }

    /// The programs at both hooks of an interface: those of TCX, or those of filters.
    fn programs(&self, mode: AttachMode) -> [Vec<String>; 2] {
        if mode == AttachMode::Clsact {
            return ["ingress", "egress"].map(|hook| {
                let filters = self.tc(&["filter", "show", "dev", NEAR, hook]);
                let words: Vec<&str> = filters.split_whitespace().collect();
                // The name of the filter; that of its program, which is the same, comes later.
                let pairs = words.windows(2).filter(|pair| pair[1] == "direct-action");
                pairs.map(|pair| pair[0].to_owned()).collect()
            });
        }
        [TcAttachType::Ingress, TcAttachType::Egress].map(|hook| {
            let query = move || SchedClassifier::query_tcx(NEAR, hook).map_err(io::Error::other);
            let (_, programs) = self.gateway.run(query).unwrap();
            programs.iter().map(|program| program.name_as_str().unwrap().to_owned()).collect()
        })
    }

    fn tc(&self, arguments: &[&str]) -> String {
        let output = self.gateway.command("tc").unwrap().args(arguments).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// The directories of the gateway's layouts.
    fn layouts(&self) -> Vec<PathBuf> {
        let gateway = self.bpffs.base().join("gw%2Eexample");
        let entries = fs::read_dir(gateway).unwrap().map(|entry| entry.unwrap().path());
        entries
            .filter(|path| path.file_name().unwrap().to_str().unwrap().starts_with('v'))
            .collect()
    }
}

/// The two ends of a stream of datagrams.
struct Sender {
    from: UdpSocket,
    to: UdpSocket,
}

impl Sender {
    fn new(rig: &Rig) -> Self {
        let open = |netns: &Netns, own| netns.run(move || UdpSocket::bind((own, 0))).unwrap();
        let (from, to) = (open(&rig.peer, PEER), open(&rig.gateway, GATEWAY));
        // What is lost does not come, however long one waits.
        to.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        from.connect(to.local_addr().unwrap()).unwrap();
        Self { from, to }
    }

    fn send(&self, datagrams: u64) -> io::Result<()> {
        const BURST: u64 = 32;
        let mut left = datagrams;
        while left > 0 {
            let burst = left.min(BURST);
            (0..burst).try_for_each(|_| self.from.send(&[0; 72]).map(drop))?;
            (0..burst).try_for_each(|_| self.to.recv(&mut [0; 128]).map(drop))?;
            left -= burst;
        }
        Ok(())
    }
}

/// A daemon that counts and drains nothing. Dropped, it leaves what a stop or a kill would.
struct Counting {
    capture: Capture,
    maps: Maps,
    presence: Arc<Presence>,
    found: Found,
    attached: Vec<String>,
}

impl Counting {
    fn start(
        pins: &Pins,
        sizes: MapSizes,
        mode: AttachMode,
        interfaces: &str,
    ) -> Result<Self, Error> {
        let Loaded { program, maps, found } = Program::load(sizes, &Policy::FLOWS, Some(pins))?;
        let presence = Arc::new(Presence::restore(sizes.interfaces, Arc::clone(&maps.control)));
        let mut capture = Capture::new(program, mode, Arc::clone(&presence));
        let attached = capture.scan(&[interfaces.parse().unwrap()])?.attached;
        Ok(Self { capture, maps, presence, found, attached })
    }

    /// Packets from members on the interface, as the totals have them and as the flows have them.
    fn counted(&self) -> [u64; 2] {
        let slot = self.presence.slot(NEAR).unwrap();
        counted(&self.maps.totals, &self.maps.flows_v4, slot)
    }

    /// How often the interface was not counted, since the beginning of time.
    fn interruptions(&self) -> u32 {
        let observed = self.presence.between(0, u64::MAX);
        let of_interface = observed.iter().find(|o| o.name == NEAR).unwrap();
        assert!(of_interface.was_counted);
        of_interface.interruptions
    }
}

fn counted(totals: &PerCpuArray<MapData, Totals>, flows: &[MapData; 2], slot: u16) -> [u64; 2] {
    let mut packets = [0; 2];
    for (epoch, flows) in (0..).zip(flows) {
        let of_cpus = totals.get(&total::index(slot, Direction::Up, epoch), 0).unwrap();
        packets[0] += of_cpus.iter().map(|totals| totals.seen.packets).sum::<u64>();
        let flows = drain::read::<FlowKeyV4, FlowCounters>(flows).unwrap();
        let of_slot = flows.iter().filter(|(key, _)| key.interface == slot);
        packets[1] += of_slot.map(|(_, counters)| counters.packets_up).sum::<u64>();
    }
    packets
}

fn modes() -> Vec<AttachMode> {
    if has_tcx() { vec![AttachMode::Auto, AttachMode::Clsact] } else { vec![AttachMode::Clsact] }
}

fn ours() -> [Vec<String>; 2] {
    [vec!["up_l2".to_owned()], vec!["down_l2".to_owned()]]
}

#[test]
fn what_passes_while_no_daemon_lives_is_there_for_the_next_one() {
    for mode in modes() {
        let rig = Rig::new();
        let first = rig.start(SMALL, mode);
        assert!(!first.found.is_continued && first.found.previous.is_empty());
        rig.send(100);
        assert_eq!(first.counted(), [100; 2]);
        drop(first);
        rig.send(50);
        assert_eq!(rig.programs(mode), ours(), "{mode:?}");

        let second = rig.start(SMALL, mode);
        rig.send(30);

        assert!(second.found.is_continued && second.found.previous.is_empty());
        assert_eq!(second.attached, [NEAR]);
        assert_eq!(second.counted(), [180; 2], "{mode:?}");
        assert_eq!(second.interruptions(), 0, "{mode:?}");
        assert_eq!(rig.programs(mode), ours(), "{mode:?}");
    }
}

#[test]
fn a_daemon_that_is_killed_loses_no_count() {
    for mode in modes() {
        let rig = Rig::new();
        let name = if mode == AttachMode::Clsact { "clsact" } else { "auto" };
        for _ in 0..3 {
            let mut child = rig.child(name);
            rig.send(100);
            // SIGKILL.
            child.kill().unwrap();
            child.wait().unwrap();
            rig.send(50);
        }
        let last = rig.start(SMALL, mode);
        rig.send(30);
        assert_eq!(last.counted(), [480; 2], "{mode:?}");
        assert_eq!(last.interruptions(), 0, "{mode:?}");
        assert_eq!(rig.programs(mode), ours(), "{mode:?}");
    }
}

#[test]
fn the_program_is_replaced_without_losing_a_packet() {
    for mode in modes() {
        let rig = Rig::new();
        let mut daemon = rig.start(SMALL, mode);
        let stop = Arc::new(AtomicBool::new(false));
        let (sender, stopped) = (Sender::new(&rig), Arc::clone(&stop));
        let sending = std::thread::spawn(move || {
            let mut sent = 0;
            while !stopped.load(Ordering::Relaxed) {
                sender.send(32).unwrap();
                sent += 32;
            }
            sent
        });
        for _ in 0..20 {
            drop(daemon);
            daemon = rig.start(SMALL, mode);
            assert!(daemon.found.is_continued);
        }
        stop.store(true, Ordering::Relaxed);
        let sent = sending.join().unwrap();
        assert!(sent > 0);
        assert_eq!(daemon.counted(), [sent; 2], "{mode:?}");
    }
}

#[test]
fn maps_of_other_sizes_are_handed_out_with_what_they_hold() {
    for mode in modes() {
        let rig = Rig::new();
        drop(rig.start(SMALL, mode));
        rig.send(100);
        let larger = MapSizes { flows_v4: 4096, ..SMALL };
        // Killed before it had drained the old ones: the next daemon finds them again.
        drop(rig.start(larger, mode));
        rig.send(20);

        let mut daemon = rig.start(larger, mode);
        rig.send(30);

        assert!(daemon.found.is_continued);
        assert_eq!(daemon.counted(), [50; 2], "{mode:?}");
        assert_eq!(daemon.interruptions(), 0);
        assert_eq!(rig.programs(mode), ours());
        assert_eq!(rig.layouts().len(), 2);
        let previous = daemon.found.previous.pop().unwrap();
        let Contents::Counts(counts) = &previous.contents else { panic!("their layout is known") };
        let slot = counts.presence.slot(NEAR).unwrap();
        assert_eq!(counted(&counts.totals, &counts.flows_v4, slot), [100; 2], "{mode:?}");
        previous.into_counts().1.remove().unwrap();
        assert_eq!(rig.layouts().len(), 1);
        rig.send(5);
        assert_eq!(daemon.counted(), [55; 2], "{mode:?}");
    }
}

#[test]
fn maps_of_an_unknown_layout_are_told_and_counting_goes_on() {
    for mode in modes() {
        let rig = Rig::new();
        drop(rig.start(SMALL, mode));
        rig.send(100);
        let [layout]: [PathBuf; 1] = rig.layouts().try_into().unwrap();
        fs::rename(&layout, layout.with_file_name("v4711-something-else")).unwrap();

        let mut daemon = rig.start(SMALL, mode);
        rig.send(30);

        assert!(!daemon.found.is_continued);
        assert_eq!(daemon.counted(), [30; 2], "{mode:?}");
        assert_eq!(rig.programs(mode), ours(), "{mode:?}");
        let previous = daemon.found.previous.pop().unwrap();
        assert!(matches!(previous.contents, Contents::Unreadable));
        previous.into_counts().1.remove().unwrap();
        assert_eq!(rig.layouts(), [layout]);
    }
}

#[test]
fn an_interface_that_went_or_is_not_wanted_any_more_keeps_its_counts_and_loses_its_program() {
    for mode in modes() {
        let rig = Rig::new();
        drop(rig.start(SMALL, mode));
        rig.send(100);
        let daemon = rig.start_on(SMALL, mode, "another").unwrap();
        rig.send(7);
        rig.wait_for_no_programs(mode);
        assert_eq!(daemon.counted(), [100; 2], "{mode:?}");
        let observed = daemon.presence.between(1, u64::MAX);
        let of_interface = observed.iter().find(|observed| observed.name == NEAR).unwrap();
        assert!(of_interface.was_counted && of_interface.from == 1 && of_interface.to < u64::MAX);
        assert!(daemon.maps.control.counted().is_empty());
        drop(daemon);

        drop(rig.start(SMALL, mode));
        rig.gateway.ip(&["link", "del", NEAR]).unwrap();
        let daemon = rig.start(SMALL, mode);
        assert_eq!(daemon.counted(), [100; 2], "{mode:?}");
        assert!(daemon.maps.control.counted().is_empty());
        let [layout]: [PathBuf; 1] = rig.layouts().try_into().unwrap();
        let links = fs::read_dir(layout).unwrap().filter(|entry| {
            entry.as_ref().unwrap().file_name().to_str().unwrap().starts_with("link-")
        });
        assert_eq!(links.count(), 0, "{mode:?}");
    }
}

#[test]
fn a_gateway_has_one_daemon_at_a_time() {
    let rig = Rig::new();
    let daemon = rig.start(SMALL, AttachMode::Auto);
    let refused = rig.start_on(SMALL, AttachMode::Auto, NEAR).err().unwrap();
    assert!(matches!(refused, Error::Running { .. }), "{refused}");
    let Counting { capture, maps, presence, .. } = daemon;
    // Its maps are still being drained.
    drop(capture);
    rig.send(1);
    let refused = rig.start_on(SMALL, AttachMode::Auto, NEAR).err();
    assert!(matches!(refused, Some(Error::Running { .. })));
    drop((maps, presence));
    drop(rig.start(SMALL, AttachMode::Auto));
}

#[test]
fn another_way_of_attaching_takes_the_place_of_the_one_before() {
    if !has_tcx() {
        return;
    }
    let rig = Rig::new();
    drop(rig.start(SMALL, AttachMode::Tcx));
    for (mode, other) in
        [(AttachMode::Clsact, AttachMode::Tcx), (AttachMode::Tcx, AttachMode::Clsact)]
    {
        let daemon = rig.start(SMALL, mode);
        assert_eq!(rig.programs(mode), ours());
        rig.wait_for_no_programs(other);
        assert_eq!(daemon.interruptions(), 1);
    }
    assert!(!rig.tc(&["qdisc", "show", "dev", NEAR]).contains("clsact"), "it was made for us");
}

#[test]
fn uninstalled_nothing_of_flowlog_is_left_and_all_of_others() {
    for mode in modes() {
        let rig = Rig::new();
        rig.tc(&["qdisc", "add", "dev", NEAR, "clsact"]);
        let theirs = "filter add dev flnear ingress protocol all u32 match u32 0 0 flowid 1:1";
        rig.tc(&theirs.split(' ').collect::<Vec<_>>());
        let others = has_tcx().then(|| {
            Counter::attach(&rig.gateway, NEAR, Side::Ingress, Place::First, Verdict::Next)
        });
        let daemon = rig.start(SMALL, mode);
        rig.send(10);

        let refused = rig.flowlog(&["uninstall"]);
        assert_eq!(refused.code, 3, "{}", refused.stdout);
        assert!(refused.stderr.contains("stop it first"), "{}", refused.stderr);
        drop(daemon);
        let planned = rig.flowlog(&["uninstall", "--dry-run"]);
        assert_eq!(planned.code, 0, "{}", planned.stderr);
        assert!(planned.stdout.contains("10 maps") && planned.stdout.contains("with 1 flows"));
        assert!(rig.programs(mode).concat().contains(&"up_l2".to_owned()));

        let removed = rig.flowlog(&["uninstall", "--format", "json"]);

        assert_eq!(removed.code, 0, "{}", removed.stderr);
        let answer: serde_json::Value = serde_json::from_str(&removed.stdout).unwrap();
        let gateway = &answer["found"]["gateways"][0];
        assert_eq!(gateway["gateway"], "gw.example", "{answer}");
        assert_eq!(gateway["attached"].as_array().unwrap().len(), 2, "{answer}");
        assert!(!rig.bpffs.base().exists());
        for mode in modes() {
            rig.wait_for_no_programs(mode);
        }
        let filters = rig.tc(&["filter", "show", "dev", NEAR, "ingress"]);
        assert!(filters.contains("u32"), "{filters}");
        if let Some(others) = others {
            rig.send(5);
            assert_eq!(others.passed().buffers, 15);
        }
        let again = rig.flowlog(&["uninstall"]);
        assert_eq!((again.code, again.stdout.lines().count()), (0, 1), "{}", again.stdout);
    }
}

#[test]
fn uninstalled_from_another_network_namespace_no_interface_is_called_by_the_name_of_another() {
    for mode in modes() {
        let rig = Rig::new();
        drop(rig.start(SMALL, mode));
        let index = |netns: &Netns, name| {
            netns.run(move || Ok(nix::net::if_::if_nametoindex(name)?)).unwrap()
        };
        let near = index(&rig.gateway, NEAR);
        // Both were the first to be made after the loopback interface.
        assert_eq!(index(&rig.peer, FAR), near);
        let tc_of_peer = |what: &str| {
            let mut command = rig.peer.command("tc").unwrap();
            let output = command
                .args(["qdisc", what, "dev", FAR])
                .args((what == "add").then_some("clsact"))
                .output()
                .unwrap();
            assert!(output.status.success());
            String::from_utf8(output.stdout).unwrap()
        };
        tc_of_peer("add");

        assert!(rig.flowlog(&["uninstall", "--dry-run"]).stdout.contains("flnear up ("));
        let elsewhere = rig.flowlog_in(&rig.peer, &["uninstall"]);

        assert_eq!(elsewhere.code, 0, "{}", elsewhere.stderr);
        let said = elsewhere.stdout;
        assert!(said.contains(&format!("interface number {near} ")), "{said}");
        assert!(!said.contains(FAR) && !said.contains(NEAR), "{said}");
        assert!(tc_of_peer("show").contains("clsact"), "it is not flowlog's");
        if mode == AttachMode::Clsact {
            assert!(said.contains("run this there too"), "{said}");
            let there = rig.flowlog(&["uninstall"]);
            assert!(there.stdout.contains("flnear up (clsact)"), "{}", there.stdout);
        }
        rig.wait_for_no_programs(mode);
    }
}

#[test]
fn filters_of_a_daemon_that_kept_nothing_and_was_killed_are_removed_too() {
    let rig = Rig::new();
    let store = tempfile::tempdir().unwrap();
    let store = store.path().to_str().unwrap();
    let arguments = ["--store", store, "--attach", "clsact"];
    let daemon = flowlog_tests::Daemon::attached(&rig.gateway, NEAR, &arguments);
    let refused = rig.flowlog(&["uninstall"]);
    assert_eq!(refused.code, 3, "{}", refused.stdout);
    assert!(refused.stderr.contains(&daemon.id().to_string()), "{}", refused.stderr);
    daemon.signal(nix::sys::signal::Signal::SIGKILL);
    daemon.end();
    assert_eq!(rig.programs(AttachMode::Clsact), ours());
    let removed = rig.flowlog(&["uninstall"]);
    assert_eq!(removed.code, 0, "{}", removed.stderr);
    assert_eq!(rig.programs(AttachMode::Clsact), [vec![], vec![]] as [Vec<String>; 2]);
}

#[test]
fn the_service_is_sound_and_its_configuration_is_read() {
    let packaging = Path::new(env!("CARGO_MANIFEST_DIR")).join("../packaging");
    let file = flowlog::config::File::read(&packaging.join("flowlog.toml")).unwrap();
    flowlog::config::Config::from_file(file, "gw1").unwrap();
    let directory = tempfile::tempdir().unwrap();
    // It names where the program is once it is installed.
    let unit = fs::read_to_string(packaging.join("flowlog.service")).unwrap();
    let unit = unit.replace("/usr/bin/flowlog", flowlog_binary().to_str().unwrap());
    let path = directory.path().join("flowlog.service");
    fs::write(&path, unit).unwrap();
    let verified = Command::new("systemd-analyze").arg("verify").arg(&path).output().unwrap();
    let said = String::from_utf8_lossy(&verified.stderr);
    assert!(verified.status.success() && !said.contains("flowlog.service"), "{said}");
}
