//! OpenVPN, by its hooks, its status file and its management socket.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    os::unix::net::UnixStream,
    time::Duration,
};

use flowlog::{
    config::{Hook, SourceOrigin},
    record::session::{Content, EndReason, EntryKey, Source, State},
};
use flowlog_tests::{OpenVpn, flowlog_binary, wait_for};

use super::reports::{Reports, entry, outer, prefixes};

fn origin(vpn: &OpenVpn, hook: bool, status: bool, management: bool) -> SourceOrigin {
    SourceOrigin::Openvpn {
        hook: if hook { Hook::Only } else { Hook::None },
        status: status.then(|| vpn.path("server.status")),
        management: management.then(|| vpn.path("management")),
    }
}

/// A server that tells by all of its parts; a source that looks at each of them.
struct Rig {
    vpn: OpenVpn,
    hook: Reports,
    status: Reports,
    management: Reports,
}

const OF_STATUS: &str = "status server.status 1\nstatus-version 2\nmanagement management unix\n";

impl Rig {
    fn new(directory: &std::path::Path) -> Self {
        let call = format!(
            "{} hook openvpn --dir {}/hook",
            flowlog_binary().display(),
            directory.display()
        );
        let lines = format!(
            "{OF_STATUS}client-connect \"{call}\"\nclient-disconnect \"{call}\"\nlearn-address \"{call}\"\n"
        );
        let mut vpn = OpenVpn::new(directory, &lines);
        vpn.configure("ada", "iroute 10.77.0.0 255.255.0.0\niroute-ipv6 2001:db8:77::/56\n");
        vpn.start();
        let look = |hook, status, management| {
            Reports::with_hooks(
                &vpn.gateway,
                origin(&vpn, hook, status, management),
                vpn.path("hook"),
            )
        };
        let (hook, status, management) =
            (look(true, false, false), look(false, true, false), look(false, false, true));
        // Nobody has called yet, so that nothing is known by the hooks; but their directory is there.
        hook.wait("no call", |report| report.content == Content::Failed { is_answered: false });
        status.listing("no client", <[_]>::is_empty);
        management.listing("no client", <[_]>::is_empty);
        Self { vpn, hook, status, management }
    }

    /// A member's key, the same in each part.
    fn connected(&self, name: &str) -> EntryKey {
        let is_there = |entries: &[flowlog::record::session::Entry]| {
            entries
                .iter()
                .any(|entry| entry.key.peer == super::reports::key().peer(Source::Openvpn, name))
        };
        let keys = [&self.status, &self.management].map(|reports| {
            let entries = reports.listing(name, is_there);
            let entry = entry(&entries, Source::Openvpn, name);
            let since = entry.since.unwrap();
            assert!(since.earliest.unwrap() <= since.certain);
            assert_eq!((entry.state, entry.bytes.is_some()), (State::Tunnel, true));
            if name == "ada" {
                assert_eq!(prefixes(entry).len(), 4, "{:?}", prefixes(entry));
            }
            entry.key
        });
        assert_eq!(keys[0], keys[1]);
        keys[0]
    }
}

#[test]
fn a_member_connects_roams_and_disconnects_and_the_parts_agree() {
    let directory = tempfile::tempdir().unwrap();
    let rig = Rig::new(directory.path());
    let ada = rig.vpn.connect("ada");
    let mut begun = None;
    let with_routes = rig.hook.wait("her routes", |report| {
        if let Content::Began(entry) = &report.content {
            assert_eq!(entry.since.unwrap().earliest, Some(entry.since.unwrap().certain));
            begun.get_or_insert((report.at, entry.since.unwrap().certain));
            return prefixes(entry).len() == 4;
        }
        false
    });
    let Content::Began(by_hook) = with_routes.content else { unreachable!() };
    assert_eq!(
        prefixes(&by_hook),
        ["10.8.0.2/32", "10.77.0.0/16", "2001:db8:77::/56", "fd00:8::1000/128"]
    );
    let (at, certain) = begun.unwrap();
    assert_eq!((at, by_hook.since.unwrap().certain), (certain, certain));
    rig.vpn.wait_for("ada");
    assert_eq!(rig.connected("ada"), by_hook.key);
    assert!(outer(&by_hook).starts_with("192.168.78.2 "));

    // She goes to another address of the internet: no hook is called.
    let change = |verb, address| rig.vpn.member.ip(&["address", verb, address, "dev", "under1"]);
    change("delete", "192.168.78.2/24").unwrap();
    change("add", "192.168.78.3/24").unwrap();
    for reports in [&rig.status, &rig.management] {
        reports.listing("the float", |entries| {
            entries.iter().any(|e| e.key == by_hook.key && outer(e).starts_with("192.168.78.3 "))
        });
    }

    ada.disconnect();
    let ended = rig.hook.wait("her end", |report| matches!(report.content, Content::Ended { .. }));
    let Content::Ended { key, reason, bytes } = ended.content else { unreachable!() };
    assert_eq!((key, reason), (by_hook.key, EndReason::Disconnected));
    assert!(bytes.unwrap().iter().all(|bytes| *bytes > 0));
    rig.status.listing("nobody", <[_]>::is_empty);
    rig.management.listing("nobody", <[_]>::is_empty);

    // The same member again is another session, also with the same address.
    let _ada = rig.vpn.connect("ada");
    assert_ne!(rig.connected("ada"), by_hook.key);
}

#[test]
fn the_parts_of_a_server_are_one_source_and_its_notes_go() {
    let directory = tempfile::tempdir().unwrap();
    let mut rig = Rig::new(directory.path());
    let all = origin(&rig.vpn, true, true, true);
    let notes = rig.vpn.path("hook");
    // Nobody else reads the notes.
    (rig.hook, rig.status, rig.management) = {
        let look = || Reports::with_hooks(&rig.vpn.gateway, all.clone(), notes.clone());
        let idle = || Reports::of(&rig.vpn.gateway, origin(&rig.vpn, false, true, false));
        (look(), idle(), idle())
    };
    let ada = rig.vpn.connect("ada");
    let begun = rig.hook.wait("her beginning", |r| matches!(r.content, Content::Began(_)));
    let Content::Began(begun_by_hook) = begun.content else { unreachable!() };
    assert_eq!(begun.instance.name, "server");
    let listed = rig.hook.listing("her", |entries| !entries.is_empty());
    assert_eq!(entry(&listed, Source::Openvpn, "ada").key, begun_by_hook.key);
    ada.disconnect();
    rig.hook.wait("her end", |report| matches!(report.content, Content::Ended { .. }));
    // The process of the server is remembered there.
    let is_memory =
        |entry: std::fs::DirEntry| entry.file_name().to_string_lossy().starts_with("server.");
    wait_for("the notes to go", || {
        std::fs::read_dir(&notes).unwrap().all(|entry| entry.is_ok_and(is_memory))
    });
}

#[test]
fn a_server_that_is_killed_is_silent_and_the_next_one_lists_only_its_own() {
    let directory = tempfile::tempdir().unwrap();
    let mut rig = Rig::new(directory.path());
    let ada = rig.vpn.connect("ada");
    rig.hook.wait("her beginning", |report| matches!(report.content, Content::Began(_)));
    let first = rig.connected("ada");
    rig.hook.wait("a look at the hooks", |report| report.content == Content::Unchanged);
    rig.vpn.kill();
    for reports in [&rig.hook, &rig.management, &rig.status] {
        reports.wait("silence", |report| report.content == Content::Failed { is_answered: false });
    }
    drop(ada);
    rig.vpn.start();
    rig.management.listing("a new server", <[_]>::is_empty);
    rig.status.listing("a new server", <[_]>::is_empty);
    let _bob = rig.vpn.connect("bob");
    rig.hook.wait("the end of the one before", |report| report.content == Content::Gone);
    rig.hook.wait(
        "his beginning",
        |report| matches!(&report.content, Content::Began(entry) if entry.key != first),
    );
    rig.connected("bob");

    // The next daemon knows the server from the one before.
    let again = Reports::with_hooks(
        &rig.vpn.gateway,
        origin(&rig.vpn, true, false, false),
        rig.vpn.path("hook"),
    );
    again.wait("a look at the hooks", |report| report.content == Content::Unchanged);
}

#[test]
fn a_management_socket_with_client_auth_is_asked_and_left_to_others() {
    let directory = tempfile::tempdir().unwrap();
    let lines = format!("{OF_STATUS}management-client-auth\nauth-user-pass-optional\n");
    let mut vpn = OpenVpn::new(directory.path(), &lines);
    vpn.start();
    let reports = Reports::of(&vpn.gateway, origin(&vpn, false, false, true));
    reports.listing("nobody", <[_]>::is_empty);
    let _ada = vpn.connect("ada");
    // Somebody who admits members finds the socket free between two questions.
    let admitted = (0..50).any(|_| admit(&vpn));
    assert!(admitted, "nobody could be admitted");
    vpn.wait_for("ada");
    let listed = reports.listing("her", |entries| !entries.is_empty());
    assert_eq!(prefixes(entry(&listed, Source::Openvpn, "ada")).len(), 2);
    wait_for("the socket", || vpn.path("management").exists());
}

/// Admits the member who waits for it, where the socket is free.
fn admit(vpn: &OpenVpn) -> bool {
    let stream = UnixStream::connect(vpn.path("management")).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(2))).unwrap();
    let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
    while let Some(Ok(line)) = lines.next() {
        let Some(request) = line.strip_prefix(">CLIENT:CONNECT,") else { continue };
        let [client, key] = request.split_once(',').map(|(c, k)| [c, k]).unwrap();
        writeln!(&stream, "client-auth-nt {client} {key}").unwrap();
        let answered = lines.find(|line| line.as_ref().is_ok_and(|l| l.starts_with("SUCCESS:")));
        return answered.is_some();
    }
    false
}
