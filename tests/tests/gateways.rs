//! Several gateways, one store.

use std::net::UdpSocket;

use flowlog::demo::{Netns, Tun};
use flowlog_tests::{Bpffs, Daemon, duckdb, flowlog, quiet_tun, wait_for};

const INTERFACE: &str = "flgw0";

/// A gateway that records.
struct Gateway {
    name: String,
    netns: Netns,
    _tun: Tun,
    _bpffs: Bpffs,
    daemon: Daemon,
}

impl Gateway {
    fn start(number: usize, directory: &std::path::Path) -> Self {
        let name = format!("gw-{number}");
        let (netns, tun) = quiet_tun(INTERFACE);
        netns.ip(&["address", "add", "10.9.0.1/24", "dev", INTERFACE]).unwrap();
        let bpffs = Bpffs::mount();
        let [store, spool] = ["store", &name].map(|name| directory.join(name));
        let pins = bpffs.base();
        let [store, spool, pins] = [&store, &spool, &pins].map(|path| path.to_str().unwrap());
        let arguments = ["--store", store, "--spool", spool, "--pins", pins, "--gateway", &name];
        let times = ["--window", "500ms", "--drain-interval", "100ms"];
        let daemon = Daemon::attached(&netns, INTERFACE, &[&arguments[..], &times].concat());
        Self { name, netns, _tun: tun, _bpffs: bpffs, daemon }
    }

    fn send(&self, packets: u32) {
        self.netns
            .run(move || {
                let socket = UdpSocket::bind("0.0.0.0:0")?;
                for _ in 0..packets {
                    socket.send_to(&[0; 72], "10.9.0.2:9")?;
                }
                Ok(())
            })
            .unwrap();
    }
}

#[test]
fn four_gateways_at_once_share_a_store_and_none_knows_of_the_others() {
    let directory = tempfile::tempdir().unwrap();
    let store = directory.path().join("store");
    let gateways: Vec<_> = (1..=4).map(|number| Gateway::start(number, directory.path())).collect();
    let sent = |number: usize| u32::try_from(number).unwrap() * 100;
    for _ in 0..5 {
        for (number, gateway) in (1..).zip(&gateways) {
            gateway.send(sent(number));
        }
        std::thread::sleep(std::time::Duration::from_millis(400));
    }
    wait_for("files of each", || {
        gateways
            .iter()
            .all(|gateway| store.join(format!("flows/gateway={}", gateway.name)).is_dir())
    });
    for gateway in gateways {
        let ended = gateway.daemon.terminate();
        assert_eq!(ended.code, 0, "{}", ended.stderr);
    }
    let verified = flowlog(&["verify", "--store", store.to_str().unwrap()]);
    assert_eq!(verified.code, 0, "{}", verified.stdout);
    let stored = duckdb(
        &store,
        "SELECT gateway, sum(packets_down)::INT AS packets FROM flows GROUP BY gateway ORDER BY gateway",
    );
    let stored: Vec<_> = stored.iter().map(|row| (&row["gateway"], &row["packets"])).collect();
    for (number, (gateway, packets)) in (1..).zip(&stored) {
        assert_eq!(
            (*gateway, *packets),
            (&format!("gw-{number}").into(), &(5 * sent(number)).into())
        );
    }
    assert_eq!(stored.len(), 4);
}
