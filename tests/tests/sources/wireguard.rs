//! WireGuard, in user space here, and the kernel's where `FLOWLOG_TEST_WIREGUARD=kernel` asks for it.

use std::{
    io::Write as _,
    os::unix::net::UnixListener,
    path::{Path, PathBuf},
    process::Command,
};

use flowlog::{
    config::SourceOrigin,
    demo::{GATEWAY, Netns},
    record::session::{Content, Report, Source, State},
};
use flowlog_tests::{WireGuard, wg};

use super::{
    memory,
    reports::{Reports, entry, outer, prefixes},
};

fn origin(pattern: &str) -> SourceOrigin {
    SourceOrigin::Wireguard { interfaces: pattern.parse().unwrap() }
}

/// A socket of an interface that has none yet.
fn socket(interface: &str) -> PathBuf {
    let socket = PathBuf::from(format!("/var/run/wireguard/{interface}.sock"));
    std::fs::remove_file(&socket).unwrap_or_default();
    socket
}

/// Sends a packet through the tunnel, and waits until it was sent.
fn knock(member: &Netns) {
    let send = || std::net::UdpSocket::bind("0.0.0.0:0")?.send_to(b"x", (GATEWAY[0], 9));
    member.run(send).unwrap();
    std::thread::sleep(std::time::Duration::from_secs(1));
}

#[test]
fn a_peer_shows_its_addresses_its_handshake_and_where_it_comes_from() {
    let directory = tempfile::tempdir().unwrap();
    let tunnel = WireGuard::new(directory.path());
    let (gateway, interface) = (&tunnel.vpn.gateway, tunnel.interface());
    let member = wg(gateway, &["show", interface, "peers"]);
    let reports = Reports::of(gateway, origin(&format!("{interface}*")));
    let before = reports.listing("the peer", |entries| !entries.is_empty());
    let assigned = entry(&before, Source::Wireguard, &member);
    assert_eq!((assigned.state, assigned.since), (State::Assigned, None));
    assert_eq!(prefixes(assigned).len(), 2);

    // Any packet makes a handshake.
    knock(&tunnel.vpn.member);
    let shown = wg(gateway, &["show", interface, "latest-handshakes"]);
    let handshake: i64 = shown.split_whitespace().nth(1).unwrap().parse().unwrap();
    let up = reports
        .listing("the tunnel", |entries| entries.iter().any(|entry| entry.state == State::Tunnel));
    let up = entry(&up, Source::Wireguard, &member);
    let since = up.since.unwrap();
    assert_eq!((since.earliest, since.certain.ms() / 1_000), (None, handshake));
    assert_eq!(outer(up), "192.168.77.2 51821");
    assert!(up.bytes.unwrap().iter().all(|bytes| *bytes > 0), "{up:?}");

    // A member who roams is seen by its next packet.
    let (there, port) = (&tunnel.vpn.member, "51999");
    wg(there, &["set", tunnel.member_interface(), "listen-port", port]);
    knock(there);
    reports.listing("the new endpoint", |entries| {
        entries.iter().any(|entry| outer(entry) == "192.168.77.2 51999")
    });

    wg(gateway, &["set", interface, "peer", &member, "remove"]);
    reports.listing("no peer", <[_]>::is_empty);
    gateway.ip(&["link", "delete", interface]).unwrap();
    reports.wait("the end", |report| report.content == Content::Gone);
}

#[test]
fn the_time_of_a_slow_answer_is_known() {
    let directory = tempfile::tempdir().unwrap();
    let tunnel = WireGuard::new(directory.path());
    if tunnel.is_of_the_kernel() {
        return;
    }
    let (gateway, name) = (&tunnel.vpn.gateway, format!("{}s", tunnel.interface()));
    let _tun = gateway.tun(&name).unwrap();
    let socket = socket(&name);
    let slow = UnixListener::bind(&socket).unwrap();
    let pause = std::time::Duration::from_millis(300);
    std::thread::spawn(move || {
        while let Ok((mut asked, _)) = slow.accept() {
            std::thread::sleep(pause);
            asked.write_all(b"errno=0\n\n").unwrap_or_default();
        }
    });
    let reports = Reports::of(gateway, origin(&name));
    let is_listing = |report: &Report| matches!(report.content, Content::Listing(_));
    let report = reports.wait("an answer", is_listing);
    std::fs::remove_file(&socket).unwrap();
    assert!(report.answered >= report.at.plus(pause), "{report:?}");
}

#[test]
fn no_key_stays_in_memory() {
    let directory = tempfile::tempdir().unwrap();
    let tunnel = WireGuard::new(directory.path());
    let (gateway, interface) = (&tunnel.vpn.gateway, tunnel.interface());
    let member = wg(gateway, &["show", interface, "peers"]);
    let psk = directory.path().join("psk");
    let made = format!("umask 077; wg genpsk > {}", psk.display());
    assert!(Command::new("sh").args(["-c", &made]).status().unwrap().success());
    wg(gateway, &["set", interface, "peer", &member, "preshared-key", psk.to_str().unwrap()]);

    let reports = Reports::of(gateway, origin(interface));
    for _ in 0..5 {
        reports.listing("the peer", |entries| !entries.is_empty());
    }
    // The public key comes with them, and shows that the search finds something where it is kept: here.
    let public = directory.path().join("public");
    std::fs::write(&public, format!("{member}\n")).unwrap();
    let mut masked = masked(&public);
    let kept: Vec<u8> = masked[0].iter().map(|byte| byte ^ memory::MASK).collect();
    let secrets = [psk, directory.path().join("gateway.key")];
    masked.extend(secrets.iter().flat_map(|file| self::masked(file)));
    let found = memory::occurrences(&masked);
    assert!(found[0] > 0, "the search finds nothing at all");
    assert_eq!(found[3..], [0; 6], "keys in memory: bytes, hexadecimal, base64 of each");
    drop(kept);
    reports.listing("the peer", |entries| !entries.is_empty());
}

/// A key as bytes, as hexadecimal digits and in base64, each masked by a process of its own.
fn masked(file: &Path) -> Vec<Vec<u8>> {
    let script = format!(
        "import base64, sys
key = base64.b64decode(open(sys.argv[1]).read())
for text in (key, key.hex().encode(), base64.b64encode(key)):
    print(bytes(byte ^ {} for byte in text).hex())",
        memory::MASK
    );
    let output = Command::new("python3").args(["-c", &script]).arg(file).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let lines = String::from_utf8(output.stdout).unwrap();
    let byte = |line: &str, at: usize| u8::from_str_radix(&line[at..at + 2], 16).unwrap();
    lines
        .lines()
        .map(|line| (0..line.len()).step_by(2).map(|at| byte(line, at)).collect())
        .collect()
}

#[test]
fn an_interface_whose_socket_is_mute_fails_and_delays_no_other() {
    let directory = tempfile::tempdir().unwrap();
    let tunnel = WireGuard::new(directory.path());
    if tunnel.is_of_the_kernel() {
        return;
    }
    let gateway = &tunnel.vpn.gateway;
    let prefix = tunnel.interface();
    // An interface beside it, with a socket at which nobody answers.
    let name = format!("{prefix}m");
    let _tun = gateway.tun(&name).unwrap();
    let socket = socket(&name);
    let mute = UnixListener::bind(&socket).unwrap();
    let reports = Reports::of(gateway, origin(&format!("{prefix}*")));
    let mut listings = 0;
    reports.wait("a failure", |report| {
        listings += usize::from(matches!(report.content, Content::Listing(_)));
        report.instance.name == name && report.content == Content::Failed { is_answered: false }
    });
    assert!(listings > 5, "{listings}");
    drop(mute);
    std::fs::remove_file(&socket).unwrap();
    reports
        .wait("its end", |report| report.instance.name == name && report.content == Content::Gone);
}
