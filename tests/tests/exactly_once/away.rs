//! Nowhere to write: the store away, its disk or the spool's full, the spool as large as it may be.

use std::{fmt::Write as _, io, path::Path, sync::Arc, time::Duration};

use flowlog::store::Store;
use flowlog_tests::{Daemon, SmallDisk, duckdb, stores::Backend, wait_for};
use nix::sys::signal::Signal;
use tokio::runtime::Builder;

use crate::rig::{
    BYTES, Rig, Sender, assert_all_is_in, assert_stored, in_rows, kill, packets_and_bytes,
    windows_in_two,
};

#[test]
fn a_disk_that_is_full_holds_nothing_up_and_nothing_is_missing_when_there_is_room_again() {
    let disk = SmallDisk::new("size=4m,mode=700");
    let mut rig = Rig::new();
    rig.spool = disk.path().join("spool");
    let (mut daemon, sender) = without_room(&rig, &disk, 1);
    disk.free();
    daemon.wait_for(ROOM_AGAIN);
    let sent = sender.stop();
    rig.assert_complete(daemon, sent);
}

#[test]
fn a_stop_while_there_is_no_room_waits_a_moment_for_it_and_stores_all() {
    let disk = SmallDisk::new("size=4m,mode=700");
    let mut rig = Rig::new();
    rig.spool = disk.path().join("spool");
    let (daemon, sender) = without_room(&rig, &disk, 1);
    let sent = sender.stop();
    daemon.signal(Signal::SIGTERM);
    std::thread::sleep(Duration::from_millis(200));
    disk.free();
    rig.assert_complete(daemon, sent);
}

#[test]
fn a_stop_while_there_is_no_room_leaves_the_counts_for_the_next_start() {
    let disk = SmallDisk::new("size=4m,mode=700");
    let mut rig = Rig::new();
    rig.spool = disk.path().join("spool");
    let (daemon, sender) = without_room(&rig, &disk, 1);
    let sent = sender.stop();
    let ended = daemon.terminate();
    assert_eq!(ended.code, 3, "{}", ended.stderr);
    assert!(ended.stderr.contains("in the kernel, and stored when flowlog starts again"));
    disk.free();
    rig.assert_complete(rig.attached(), sent);
}

#[test]
fn a_disk_that_is_full_for_more_flows_than_the_kernel_can_hold_costs_what_the_ledger_says() {
    let disk = SmallDisk::new("size=4m,mode=700");
    let mut rig = rig_with_small_maps();
    rig.spool = disk.path().join("spool");
    let (mut daemon, sender) = without_room(&rig, &disk, MANY_MEMBERS);
    disk.free();
    daemon.wait_for(ROOM_AGAIN);
    assert_the_ledger_says_what_is_missing(&rig, daemon, sender.stop());
}

#[test]
fn a_spool_that_is_as_large_as_it_may_be_costs_what_the_ledger_says() {
    let (_disk, rig, daemon, sender) =
        after_more_than_a_spool_can_bear(Duration::from_millis(500), 256 << 10);
    assert_the_ledger_says_what_is_missing(&rig, daemon, sender.stop());
    assert_eq!(windows_in_two(Path::new(&rig.store)).unwrap(), 0);
}

/// Four drains are more than it may be, and there are ten in a window, or some less where they are late.
#[test]
fn a_window_that_is_larger_than_the_spool_may_be_has_several_rows_in_the_ledger() {
    let (_disk, rig, daemon, sender) =
        after_more_than_a_spool_can_bear(Duration::from_secs(2), 16 << 10);
    wait_for("a window in two", || windows_in_two(Path::new(&rig.store)).is_ok_and(|n| n > 0));
    assert_the_ledger_says_what_is_missing(&rig, daemon, sender.stop());
}

/// A daemon that has room again, after its store was away for longer than a spool of so many bytes
/// could bear.
fn after_more_than_a_spool_can_bear(
    window: Duration,
    bytes: u32,
) -> (SmallDisk, Rig, Daemon, Sender) {
    let disk = SmallDisk::new("size=4m,mode=700");
    let mut rig = rig_with_small_maps();
    rig.store = store_on(&disk);
    rig.window = window;
    writeln!(rig.configuration, "spool_max_bytes = {bytes}").unwrap();
    let (mut daemon, sender) = without_room(&rig, &disk, MANY_MEMBERS);
    disk.free();
    daemon.wait_for(ROOM_AGAIN);
    (disk, rig, daemon, sender)
}

fn store_on(disk: &SmallDisk) -> String {
    disk.path().join("store").to_str().unwrap().to_owned()
}

const NO_ROOM: &str = "the kernel holds the counts meanwhile";
const ROOM_AGAIN: &str = "the spool takes epochs again";

/// A daemon with traffic to so many members, which goes on while a disk has no room.
fn without_room(rig: &Rig, disk: &SmallDisk, members: u8) -> (Daemon, Sender) {
    let mut daemon = rig.attached();
    let sender = Sender::to_members(rig, members);
    disk.fill();
    daemon.wait_for(NO_ROOM);
    let before = sender.sent();
    wait_for("traffic while there is no room", || sender.sent() > before + 5_000);
    (daemon, sender)
}

/// Their flows have no room in the small maps, nor have they themselves.
const MANY_MEMBERS: u8 = 40;

fn rig_with_small_maps() -> Rig {
    let mut rig = Rig::new();
    rig.configuration += "max_flows_v4 = 64\nmax_overflow = 4\n";
    rig
}

/// Compares what is stored with what was sent, to the packet.
fn assert_the_ledger_says_what_is_missing(rig: &Rig, daemon: Daemon, sent: u64) {
    rig.end(daemon);
    let store = Path::new(&rig.store);
    assert_stored(store, sent);
    let missing = "SELECT sum(packets_remainder)::BIGINT AS packets,
        sum(bytes_remainder)::BIGINT AS bytes FROM ledger WHERE direction = 'down'";
    let missing = packets_and_bytes(&duckdb(store, missing));
    assert!(missing.0 > 0, "everything had room");
    let (packets, bytes) = in_rows(store);
    assert_eq!((packets + missing.0, bytes + missing.1), (sent, sent * BYTES));
}

#[test]
fn a_store_that_takes_nothing_for_twenty_windows_has_everything_in_the_end() {
    let disk = SmallDisk::new("size=4m,mode=700");
    let mut rig = Rig::new();
    rig.store = store_on(&disk);
    let daemon = rig.attached();
    let sender = Sender::start(&rig);
    disk.fill();
    let daemon = stay_away(&rig, daemon, Outage::TWENTY_WINDOWS.lasts);
    disk.free();
    let sent = sender.stop();
    rig.assert_complete(daemon, sent);
}

#[test]
fn s3_that_cannot_be_reached_for_long_has_everything_in_the_end() {
    let rig = Rig::new();
    let gateway = Arc::clone(&rig.gateway);
    gateway.ip(&["link", "set", "lo", "up"]).unwrap();
    // The server ends with the thread that starts it, and is to be found on the gateway's loopback.
    gateway.run(move || away_from_s3(rig, &Backend::moto(), &Outage::chosen())).unwrap();
}

fn away_from_s3(mut rig: Rig, moto: &Backend, outage: &Outage) -> io::Result<()> {
    rig.store.clone_from(&moto.location);
    rig.variables.clone_from(&moto.variables);
    rig.window = outage.window;
    let daemon = rig.attached();
    let sender = Sender::start(&rig);
    // The way to it, also for connections that are open.
    rig.gateway.ip(&["link", "set", "lo", "down"])?;
    let daemon = stay_away(&rig, daemon, outage.lasts);
    rig.gateway.ip(&["link", "set", "lo", "up"])?;
    let sent = sender.stop();
    rig.end(daemon);
    let copy = rig.directory.path().join("copy");
    let runtime = Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(copy_objects(&moto.open(), &copy))?;
    assert_all_is_in(&copy, sent);
    let unfinished = moto.ask("/flowlog?uploads");
    assert!(!unfinished.contains("<Upload>"), "{unfinished}");
    println!("{sent} packets; the store was away for {:?}", outage.lasts);
    Ok(())
}

/// How long a store is away, and how that is cut into windows.
struct Outage {
    lasts: Duration,
    window: Duration,
}

impl Outage {
    const TWENTY_WINDOWS: Self =
        Self { lasts: Duration::from_secs(10), window: Duration::from_millis(500) };
    const HOUR: Self = Self { lasts: Duration::from_hours(1), window: Duration::from_mins(1) };

    fn chosen() -> Self {
        let is_long = std::env::var_os("FLOWLOG_OUTAGE").is_some_and(|length| length == "hour");
        if is_long { Self::HOUR } else { Self::TWENTY_WINDOWS }
    }
}

/// Waits as long as a store is away, and kills the daemon in the middle.
fn stay_away(rig: &Rig, mut daemon: Daemon, lasts: Duration) -> Daemon {
    for half in 0..2 {
        if half == 1 {
            kill(daemon);
            daemon = rig.attached();
        }
        daemon.wait_for("trying again");
        std::thread::sleep(lasts / 2);
    }
    daemon
}

/// Copies a store into a directory, for whoever reads files.
async fn copy_objects(store: &Store, directory: &Path) -> io::Result<()> {
    for object in store.list().await.map_err(io::Error::other)? {
        let bytes = store.read(&object.location).await.map_err(io::Error::other)?;
        let path = directory.join(object.location.as_ref());
        path.parent().map_or(Ok(()), std::fs::create_dir_all)?;
        std::fs::write(path, bytes)?;
    }
    Ok(())
}
