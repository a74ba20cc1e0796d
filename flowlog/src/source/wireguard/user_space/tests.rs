use std::{
    os::unix::net::UnixListener,
    thread::{self, JoinHandle},
};

use super::*;
use crate::record::session::{Since, Source, State};

const SECRET: &str = "e0e1e2e3e4e5e6e7e8e9eaebecedeeefe0e1e2e3e4e5e6e7e8e9eaebecedeeef";

fn key() -> PeerKey {
    PeerKey::new(vec![7; 32]).unwrap()
}

fn seconds(seconds: i64) -> Utc {
    Utc::from_ms(seconds * 1_000)
}

const NOW: i64 = 1_790_000_000;

/// An answer at [`NOW`], in pieces of so many bytes.
fn read_in_pieces(answer: &[u8], piece: usize) -> Result<Vec<Entry>, Error> {
    let key = key();
    let mut parser = Parser::new(&key, seconds(NOW));
    for chunk in answer.chunks(piece) {
        if parser.take(chunk)? {
            break;
        }
    }
    parser.finish()
}

fn read(answer: &str) -> Result<Vec<Entry>, Error> {
    read_in_pieces(answer.as_bytes(), usize::MAX)
}

fn peer(byte: u8, rest: &str) -> String {
    let public_key = format!("{byte:02x}").repeat(32);
    format!("public_key={public_key}\npreshared_key={SECRET}\n{rest}")
}

fn answer(peers: &str) -> String {
    format!("private_key={SECRET}\nlisten_port=51820\nfwmark=7\n{peers}errno=0\n\n")
}

#[test]
fn a_peer_has_a_tunnel_for_180_seconds_from_its_handshake_on() {
    let fresh = NOW - 179;
    let old = NOW - 180;
    let peers = [
        peer(
            1,
            &format!(
                "protocol_version=1\nendpoint=192.0.2.7:51821\nlast_handshake_time_sec={fresh}\nlast_handshake_time_nsec=5\ntx_bytes=20\nrx_bytes=10\npersistent_keepalive_interval=0\nallowed_ip=10.0.0.7/24\nallowed_ip=2001:db8:7::/56\n"
            ),
        ),
        peer(2, &format!("last_handshake_time_sec={old}\nallowed_ip=10.0.1.0/24\n")),
        peer(3, "last_handshake_time_sec=0\nlast_handshake_time_nsec=0\nallowed_ip=10.0.2.0/24\n"),
        peer(4, "endpoint=[2001:db8::9%eth0]:1\n"),
    ];
    let entries = read(&answer(&peers.concat())).unwrap();
    let of = |name: &str| {
        let peer = key().peer(Source::Wireguard, name);
        entries.iter().find(|entry| entry.key.peer == peer).unwrap()
    };
    assert_eq!(entries.len(), 3, "a peer without addresses is left out");

    let tunnel = of("AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=");
    let prefixes: Vec<_> = tunnel.prefixes.iter().map(|p| p.in_clear().to_string()).collect();
    assert_eq!(prefixes, ["10.0.0.0/24", "2001:db8:7::/56"]);
    let outer = tunnel.outer.unwrap();
    assert_eq!(
        (outer.address.in_clear().to_string().as_str(), outer.port),
        ("192.0.2.7", Some(51821))
    );
    assert_eq!((tunnel.state, tunnel.bytes), (State::Tunnel, Some([10, 20])));
    let certain = seconds(fresh).plus(Duration::from_nanos(5));
    assert_eq!(tunnel.since, Some(Since { earliest: None, certain }));

    let expired = of("AgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgI=");
    let certain = seconds(NOW);
    assert_eq!(expired.state, State::Assigned);
    assert_eq!(expired.since, Some(Since { earliest: Some(certain), certain }));

    let silent = of("AwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwM=");
    assert_eq!((silent.state, silent.since, silent.outer), (State::Assigned, None, None));
}

#[test]
fn an_answer_in_pieces_is_the_same_answer() {
    let whole = answer(&peer(1, "allowed_ip=10.0.0.7/32\nof_a_later_version=some=text\n"));
    for piece in [1, 2, 7, 63, 64] {
        assert_eq!(
            read_in_pieces(whole.as_bytes(), piece).unwrap(),
            read(&whole).unwrap(),
            "{piece}"
        );
    }
}

#[test]
fn an_answer_that_is_cut_is_no_answer() {
    let whole = answer(&peer(1, "allowed_ip=10.0.0.7/32\n"));
    let end = whole.find("errno=0\n").unwrap() + "errno=0\n".len();
    for length in 0..end {
        let error = read(&whole[..length]).unwrap_err();
        assert!(matches!(error, Error::Truncated), "{length}: {error}");
    }
    assert_eq!(read(&whole[..end]).unwrap().len(), 1);
}

#[test]
fn a_line_that_makes_no_sense_is_named_and_not_repeated() {
    let long = "x".repeat(LONGEST_LINE + 1);
    for (line, number) in [
        ("public_key=00ff\n", 4),
        ("allowed_ip=10.0.0.7/33\n", 6),
        ("allowed_ip=ada\n", 6),
        ("endpoint=192.0.2.7\n", 6),
        ("endpoint=ada:1\n", 6),
        ("rx_bytes=-1\n", 6),
        ("last_handshake_time_sec=now\n", 6),
        ("\n", 6),
        ("ada\n", 6),
        (&format!("a={long}\n"), 6),
    ] {
        let text = if line.starts_with("public_key") { line.to_owned() } else { peer(1, line) };
        for piece in [1, usize::MAX] {
            let error = read_in_pieces(answer(&text).as_bytes(), piece);
            // A long line in one piece is read like any other.
            if line.len() > LONGEST_LINE && piece > 1 {
                assert!(error.is_ok());
                continue;
            }
            let error = error.unwrap_err();
            assert!(
                matches!(error, Error::Malformed { line } if line == number),
                "{line}: {error}"
            );
            assert!(!error.to_string().contains("ada"), "{error}");
        }
    }
    let twice = answer(
        &[peer(1, "allowed_ip=10.0.0.1/32\n"), peer(2, ""), peer(1, "allowed_ip=10.0.0.2/32\n")]
            .concat(),
    );
    assert!(matches!(read(&twice).unwrap_err(), Error::Inconsistent));
    assert!(matches!(read("errno=1\n\n").unwrap_err(), Error::Refused { number: 1 }));
}

#[test]
fn a_hundred_megabytes_are_refused_in_bounded_memory() {
    let key = key();
    let mut parser = Parser::new(&key, seconds(NOW));
    let line = b"fwmark=1\n".repeat(1 << 16);
    let taken = (0..200).map(|_| parser.take(&line)).find_map(Result::err);
    assert!(matches!(taken, Some(Error::TooLong { .. })));

    let mut parser = Parser::new(&key, seconds(NOW));
    parser.take(peer(1, "").as_bytes()).unwrap();
    let refused = (0_u32..200_000).find_map(|address| {
        let public_key = format!("{address:064x}");
        let allowed = |n| format!("allowed_ip={}/32\n", std::net::Ipv4Addr::from(address * 8 + n));
        let lines = (0_u32..8).map(allowed).collect::<Vec<_>>().concat();
        parser.take(format!("public_key={public_key}\n{lines}").as_bytes()).err()
    });
    assert!(matches!(refused, Some(Error::TooLong { .. })));
}

#[test]
fn five_thousand_peers_are_read_in_milliseconds() {
    let of = |n: u32| {
        let public_key = format!("{n:064x}");
        let address = std::net::Ipv4Addr::from(0x0a00_0000 + n);
        format!(
            "public_key={public_key}\npreshared_key={SECRET}\nprotocol_version=1\nendpoint=192.0.2.7:51821\nlast_handshake_time_sec={NOW}\nlast_handshake_time_nsec=5\ntx_bytes=20\nrx_bytes=10\npersistent_keepalive_interval=0\nallowed_ip={address}/32\n"
        )
    };
    let answer = answer(&(0..5_001).map(of).collect::<Vec<_>>().concat());
    let start = std::time::Instant::now();
    let entries = read_in_pieces(answer.as_bytes(), socket::CHUNK_BYTES).unwrap();
    let took = start.elapsed();
    assert_eq!(entries.len(), 5_001);
    // 20 ms on a busy machine; what grows with the square of the peers takes seconds.
    assert!(took < Duration::from_millis(500), "{took:?}");
}

/// A server that answers one question so.
fn serve(
    socket: &Path,
    answer: impl FnOnce(&mut dyn std::io::Write) + Send + 'static,
) -> JoinHandle<()> {
    let listener = UnixListener::bind(socket).unwrap();
    thread::spawn(move || answer(&mut listener.accept().unwrap().0))
}

fn ask_within(socket: &Path, limit: Duration) -> Result<Vec<Entry>, Error> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(entries(socket, &key(), seconds(NOW), limit))
}

#[test]
fn a_socket_that_stops_in_the_middle_or_floods_is_given_up_in_time() {
    let directory = tempfile::tempdir().unwrap();
    let (stops, floods, closes) = (
        directory.path().join("stops"),
        directory.path().join("floods"),
        directory.path().join("closes"),
    );
    let limit = Duration::from_millis(200);
    let _stopping = serve(&stops, move |out| {
        out.write_all(b"private_key=").unwrap();
        thread::sleep(Duration::from_secs(2));
    });
    assert!(matches!(ask_within(&stops, limit).unwrap_err(), Error::Silent { .. }));

    let _flooding =
        serve(&floods, |out| while out.write_all(&b"fwmark=1\n".repeat(1 << 10)).is_ok() {});
    let error = ask_within(&floods, Duration::from_secs(10)).unwrap_err();
    assert!(matches!(error, Error::TooLong { .. }), "{error}");

    serve(&closes, |out| out.write_all(b"fwmark=1\n").unwrap());
    let error = ask_within(&closes, limit).unwrap_err();
    assert!(matches!(error, Error::Truncated | Error::Socket { .. }), "{error}");
    let error = ask_within(&directory.path().join("none"), limit).unwrap_err();
    assert!(matches!(error, Error::Connect { .. }), "{error}");
}
