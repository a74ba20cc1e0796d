use std::{
    io::{Read as _, Write as _},
    os::unix::{fs::PermissionsExt as _, net},
    time::Instant,
};

use super::{
    super::{SCHEMA, ask},
    *,
};

const TIMEOUT: Duration = Duration::from_secs(10);

struct Rig {
    runtime: tokio::runtime::Runtime,
    directory: tempfile::TempDir,
    status: Status,
}

impl Rig {
    fn new() -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let status = Status::default();
        status.update(|snapshot| {
            snapshot.schema = SCHEMA.to_owned();
            snapshot.gateway = "gw1".to_owned();
        });
        Self { runtime: runtime.unwrap(), directory: tempfile::tempdir().unwrap(), status }
    }

    fn path(&self) -> PathBuf {
        self.directory.path().join("run/gw1.sock")
    }

    fn start(&self) -> Result<Listening, Error> {
        let _within = self.runtime.enter();
        Listening::start(&self.path(), &self.status)
    }

    fn ask(&self) -> Result<super::super::Snapshot, ask::Error> {
        self.runtime.block_on(ask::ask(&self.path(), TIMEOUT))
    }
}

#[test]
fn whoever_asks_gets_the_snapshot_at_a_socket_of_the_owner_alone() {
    let rig = Rig::new();
    let listening = rig.start().unwrap();
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&rig.path()) & !0o600, 0);
    assert_eq!(mode(rig.path().parent().unwrap()), 0o700);
    assert_eq!(rig.ask().unwrap().gateway, "gw1");
    drop(listening);
    assert!(!rig.path().exists());
    assert!(matches!(rig.ask(), Err(ask::Error::Absent { .. })));
}

#[test]
fn a_socket_that_was_left_behind_is_replaced_and_one_in_use_is_not() {
    let rig = Rig::new();
    std::fs::create_dir(rig.path().parent().unwrap()).unwrap();
    drop(net::UnixListener::bind(rig.path()).unwrap());
    assert!(matches!(rig.ask(), Err(ask::Error::NobodyListens { .. })));
    let first = rig.start().unwrap();
    let second = rig.start();
    assert!(matches!(second, Err(Error::InUse { .. })), "{second:?}");
    assert_eq!(rig.ask().unwrap().gateway, "gw1");
    drop(first);
}

#[test]
fn a_file_in_the_place_of_the_socket_stays_as_it_is() {
    let rig = Rig::new();
    std::fs::create_dir(rig.path().parent().unwrap()).unwrap();
    std::fs::write(rig.path(), "mine").unwrap();
    assert!(matches!(rig.start(), Err(Error::Occupied { .. })));
    assert_eq!(std::fs::read(rig.path()).unwrap(), b"mine");
}

#[test]
fn the_end_of_a_daemon_removes_no_socket_but_its_own() {
    let rig = Rig::new();
    let first = rig.start().unwrap();
    std::fs::remove_file(rig.path()).unwrap();
    let second = rig.start().unwrap();
    drop(first);
    assert_eq!(rig.ask().unwrap().gateway, "gw1");
    drop(second);
}

#[test]
fn clients_that_do_not_read_or_send_garbage_hold_nobody_up() {
    let rig = Rig::new();
    // More than a socket takes before somebody reads.
    rig.status.update(|snapshot| snapshot.profile = "x".repeat(4 << 20));
    let _listening = rig.start().unwrap();
    let mut silent: Vec<net::UnixStream> = (0..8).map(|_| connect_to(&rig)).collect();
    for client in &mut silent {
        client.write_all(&[0xff; 1 << 10]).unwrap();
    }
    let asked = Instant::now();
    assert_eq!(rig.ask().unwrap().profile.len(), 4 << 20);
    assert!(asked.elapsed() < Duration::from_secs(4), "{:?}", asked.elapsed());
    // They were given up.
    for client in &mut silent {
        let mut read = vec![];
        client.set_read_timeout(Some(TIMEOUT)).unwrap();
        let outcome = client.read_to_end(&mut read);
        assert!(outcome.is_err() || read.len() < 4 << 20, "{outcome:?}");
    }
}

#[test]
fn a_flood_of_clients_is_answered_bit_by_bit() {
    let rig = Rig::new();
    let _listening = rig.start().unwrap();
    let path = rig.path();
    let flood = std::thread::spawn(move || {
        let end = Instant::now() + Duration::from_secs(1);
        while Instant::now() < end {
            drop(net::UnixStream::connect(&path));
        }
    });
    while !flood.is_finished() {
        assert_eq!(rig.ask().unwrap().gateway, "gw1");
    }
    flood.join().unwrap();
}

#[test]
fn a_daemon_that_hangs_does_not_hang_whoever_asks() {
    let rig = Rig::new();
    std::fs::create_dir(rig.path().parent().unwrap()).unwrap();
    let _deaf = net::UnixListener::bind(rig.path()).unwrap();
    let asked = rig.runtime.block_on(ask::ask(&rig.path(), Duration::from_millis(100)));
    assert!(matches!(asked, Err(ask::Error::Hangs { .. })), "{asked:?}");
}

#[test]
fn an_answer_of_somebody_else_is_none() {
    let rig = Rig::new();
    rig.status.update(|snapshot| snapshot.schema = "other/1".to_owned());
    let _listening = rig.start().unwrap();
    assert!(matches!(rig.ask(), Err(ask::Error::Answer { .. })));
}

fn connect_to(rig: &Rig) -> net::UnixStream {
    net::UnixStream::connect(rig.path()).unwrap()
}
