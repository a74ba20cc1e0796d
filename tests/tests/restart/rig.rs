//! A cable, and daemons that count it.

use std::{
    fs, io,
    io::{BufRead as _, BufReader},
    net::UdpSocket,
    path::PathBuf,
    process::{Child, Stdio},
    sync::Arc,
    time::Duration,
};

use aya::{
    maps::{MapData, PerCpuArray},
    programs::{SchedClassifier, TcAttachType},
};
use flowlog::{
    capture::{
        Capture, Error, Loaded, MapSizes, Maps, Pins, PreviousState, Program, drain,
        presence::Presence,
    },
    demo::Netns,
    record::{
        clock::MonotonicNs,
        epoch::Slot,
        policy::{AttachMode, Order, Policy},
    },
};
use flowlog_common::{
    flow::{Direction, FlowCounters, FlowKeyV4},
    total::{self, Totals},
};
use flowlog_tests::{Bpffs, Ended, flowlog_binary, has_tcx, veth_pair, wait_for};

pub const NEAR: &str = "flnear";
pub const FAR: &str = "flfar";
const GATEWAY: &str = "10.8.0.1";
const PEER: &str = "10.8.0.2";

/// A cable on which nothing is sent but what the tests send, and where things are pinned.
pub struct Rig {
    pub gateway: Netns,
    pub peer: Netns,
    pub bpffs: Bpffs,
}

impl Rig {
    pub fn new() -> Self {
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

    pub fn pins(&self) -> Pins {
        Pins::new(self.bpffs.base(), "gw.example")
    }

    pub fn start(&self, sizes: MapSizes, mode: AttachMode) -> Counting {
        self.start_on(sizes, mode, NEAR).unwrap()
    }

    pub fn start_on(
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
    pub fn child(&self, mode: &str) -> Child {
        let mut command = self.gateway.command(env!("CARGO_BIN_EXE_counting")).unwrap();
        command.arg(self.bpffs.base()).args(["gw.example", NEAR, mode]);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line, "counting\n");
        child
    }

    /// Sends datagrams from the peer, all of which arrive.
    pub fn send(&self, datagrams: u64) {
        Sender::new(self).send(datagrams).unwrap();
    }

    pub fn flowlog(&self, arguments: &[&str]) -> Ended {
        self.flowlog_in(&self.gateway, arguments)
    }

    pub fn flowlog_in(&self, netns: &Netns, arguments: &[&str]) -> Ended {
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
    pub fn wait_for_no_programs(&self, mode: AttachMode) {
        wait_for("the programs to go", || {
            self.programs(mode).concat().iter().all(String::is_empty)
        });
    }

    /// The programs at both hooks of an interface: those of TCX, or those of filters.
    pub fn programs(&self, mode: AttachMode) -> [Vec<String>; 2] {
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

    pub fn tc(&self, arguments: &[&str]) -> String {
        let output = self.gateway.command("tc").unwrap().args(arguments).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// The directories of the gateway's layouts.
    pub fn layouts(&self) -> Vec<PathBuf> {
        let gateway = self.bpffs.base().join("gw%2Eexample");
        let entries = fs::read_dir(gateway).unwrap().map(|entry| entry.unwrap().path());
        entries
            .filter(|path| path.file_name().unwrap().to_str().unwrap().starts_with('v'))
            .collect()
    }
}

/// The two ends of a stream of datagrams.
pub struct Sender {
    from: UdpSocket,
    to: UdpSocket,
}

impl Sender {
    pub fn new(rig: &Rig) -> Self {
        let open = |netns: &Netns, own| netns.run(move || UdpSocket::bind((own, 0))).unwrap();
        let (from, to) = (open(&rig.peer, PEER), open(&rig.gateway, GATEWAY));
        // What is lost does not come, however long one waits.
        to.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        from.connect(to.local_addr().unwrap()).unwrap();
        Self { from, to }
    }

    pub fn send(&self, datagrams: u64) -> io::Result<()> {
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
pub struct Counting {
    pub capture: Capture,
    pub maps: Maps,
    pub presence: Arc<Presence>,
    pub previous: PreviousState,
    pub attached: Vec<String>,
}

impl Counting {
    pub fn start(
        pins: &Pins,
        sizes: MapSizes,
        mode: AttachMode,
        interfaces: &str,
    ) -> Result<Self, Error> {
        let Loaded { program, maps, previous } = Program::load(sizes, &Policy::FLOWS, Some(pins))?;
        let presence = Arc::new(Presence::restore(sizes.interfaces, Arc::clone(&maps.control)));
        let mut capture = Capture::new(program, mode, Order::First, Arc::clone(&presence));
        let attached = capture.scan(&[interfaces.parse().unwrap()])?.attached;
        Ok(Self { capture, maps, presence, previous, attached })
    }

    /// Packets from members on the interface, as the totals have them and as the flows have them.
    pub fn counted(&self) -> [u64; 2] {
        let slot = self.presence.slot(NEAR).unwrap();
        counted(&self.maps.totals, &self.maps.flows_v4, slot)
    }

    /// How often the interface was not counted, since the beginning of time.
    pub fn interruptions(&self) -> u32 {
        let observed = self.presence.between(MonotonicNs::default(), MonotonicNs::MAX);
        let of_interface = observed.iter().find(|o| o.name == NEAR).unwrap();
        assert!(of_interface.was_counted);
        of_interface.interruptions
    }
}

pub fn counted(
    totals: &PerCpuArray<MapData, Totals>,
    flows: &[MapData; 2],
    slot: Slot,
) -> [u64; 2] {
    let mut packets = [0; 2];
    for (epoch, flows) in (0..).zip(flows) {
        let of_cpus = totals.get(&total::index(slot.number(), Direction::Up, epoch), 0).unwrap();
        packets[0] += of_cpus.iter().map(|totals| totals.seen.packets).sum::<u64>();
        let flows = drain::read::<FlowKeyV4, FlowCounters>(flows).unwrap();
        let of_slot = flows.iter().filter(|(key, _)| key.interface == slot.number());
        packets[1] += of_slot.map(|(_, counters)| counters.packets_up).sum::<u64>();
    }
    packets
}

pub fn modes() -> Vec<AttachMode> {
    if has_tcx() { vec![AttachMode::Auto, AttachMode::Clsact] } else { vec![AttachMode::Clsact] }
}

pub fn ours() -> [Vec<String>; 2] {
    [vec!["up_l2".to_owned()], vec!["down_l2".to_owned()]]
}
