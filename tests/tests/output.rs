//! Whoever reads what flowlog writes, and however: the work is done, and its exit code is that of the
//! work.

use std::{
    fs::File,
    io::{BufRead as _, BufReader, PipeReader, Read as _, Write as _},
    net::UdpSocket,
    os::fd::{AsRawFd as _, OwnedFd},
    path::PathBuf,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use flowlog::demo::Netns;
use flowlog_tests::{Bpffs, files_under, flowlog, flowlog_binary, quiet_tun, wait_for};

/// A pipe whose reader has gone.
fn to_nobody() -> OwnedFd {
    std::io::pipe().unwrap().1.into()
}

/// A disk without room.
fn to_a_full_disk() -> OwnedFd {
    File::options().write(true).open("/dev/full").unwrap().into()
}

/// A full pipe whose reader is there, and reads nothing.
fn to_a_sleeper() -> (PipeReader, OwnedFd) {
    let (reader, mut writer) = std::io::pipe().unwrap();
    let raw = writer.as_raw_fd();
    // SAFETY: an open descriptor of this process.
    let set = |flags: libc::c_int| unsafe { libc::fcntl(raw, libc::F_SETFL, flags) };
    assert_eq!(set(libc::O_NONBLOCK), 0);
    while writer.write(&[b'x'; 4096]).is_ok() {}
    assert_eq!(set(0), 0);
    (reader, writer.into())
}

/// A store with a thousand partitions that have expired.
fn expired_store() -> tempfile::TempDir {
    let store = tempfile::tempdir().unwrap();
    for day in 1..=28 {
        for hour in 0..24 {
            let partition = format!("flows/gateway=gw1/date=2020-01-{day:02}/hour={hour:02}");
            let partition = store.path().join(partition);
            std::fs::create_dir_all(&partition).unwrap();
            let file = format!("202001{day:02}T{hour:02}0000Z-3600s-0.parquet");
            std::fs::write(partition.join(file), "x").unwrap();
        }
    }
    // The clock is plausible.
    let now = flowlog::record::clock::now().floor(Duration::from_hours(1)).to_string();
    let (date, hour) = (&now[..10], &now[11..13]);
    let partition = store.path().join(format!("flows/gateway=gw1/date={date}/hour={hour}"));
    std::fs::create_dir_all(&partition).unwrap();
    let file = format!("{}T{hour}0000Z-3600s-0.parquet", date.replace('-', ""));
    std::fs::write(partition.join(file), "x").unwrap();
    store
}

#[test]
fn retention_deletes_whoever_reads_its_report() {
    for stdout in [to_nobody(), to_a_full_disk()] {
        let store = expired_store();
        let status = Command::new(flowlog_binary())
            .args(["retention", "run", "--keep", "1d", "--accept-clock", "--store"])
            .arg(store.path())
            .stdout(stdout)
            .stderr(Stdio::null())
            .status()
            .unwrap();
        let is_expired = |file: &PathBuf| file.display().to_string().contains("date=2020");
        let left = files_under(store.path()).into_iter().filter(is_expired).count();
        assert_eq!(left, 0, "files are left, {status}");
        assert_eq!(status.code(), Some(0));
    }
}

#[test]
fn an_answer_that_cannot_be_written_is_no_success_and_a_reader_that_has_gone_has_read_enough() {
    let store = expired_store();
    let ask = |stdout: OwnedFd| {
        let mut duckdb = Command::new(flowlog_binary());
        duckdb.args(["duckdb", "--store"]).arg(store.path());
        duckdb.stdout(stdout).stderr(Stdio::piped()).output().unwrap()
    };
    assert_eq!(ask(to_nobody()).status.code(), Some(0));
    let full = ask(to_a_full_disk());
    assert_eq!(full.status.code(), Some(3));
    let said = String::from_utf8(full.stderr).unwrap();
    assert!(said.contains("cannot be written") && said.contains("No space left"), "{said}");
}

fn with_address(netns: &Netns) {
    netns.ip(&["address", "add", "10.9.0.1/24", "dev", "fltun"]).unwrap();
}

fn send(netns: &Netns, packets: u32) {
    netns
        .run(move || {
            let socket = UdpSocket::bind("0.0.0.0:0")?;
            (0..packets).try_for_each(|_| socket.send_to(&[0; 72], "10.9.0.2:9").map(|_| ()))
        })
        .unwrap();
}

#[test]
fn a_daemon_whose_log_nobody_reads_counts_and_ends() {
    let (sleeper, to_sleeper) = to_a_sleeper();
    for stderr in [to_nobody(), to_a_full_disk(), to_sleeper] {
        let directory = tempfile::tempdir().unwrap();
        let store = directory.path().join("store");
        let (gateway, _tun) = quiet_tun("fltun");
        with_address(&gateway);
        let mut daemon = gateway
            .command(flowlog_binary())
            .unwrap()
            .args(["run", "-vv", "--profile", "flows", "--interface", "fltun,flother*"])
            .args(["--window", "1s", "--drain-interval", "500ms", "--store"])
            .arg(&store)
            .stdout(Stdio::null())
            .stderr(stderr)
            .spawn()
            .unwrap();
        // Nothing is heard of it but that it stores windows.
        wait_for("a first window in the store", || store.join("ledger").is_dir());
        send(&gateway, 50);
        // It has something to report with each.
        for name in ["flother0", "flother1"] {
            drop(gateway.tun(name).unwrap());
        }
        std::thread::sleep(Duration::from_secs(1));
        assert!(daemon.try_wait().unwrap().is_none(), "the daemon has ended");
        let process = nix::unistd::Pid::from_raw(i32::try_from(daemon.id()).unwrap());
        nix::sys::signal::kill(process, nix::sys::signal::Signal::SIGTERM).unwrap();
        let told = Instant::now();
        let status = daemon.wait().unwrap();
        assert!(told.elapsed() < Duration::from_secs(10));
        assert_eq!(status.code(), Some(0));
        let verified = flowlog(&["verify", "--store", store.to_str().unwrap()]);
        assert!(verified.stdout.contains("50 packets"), "{verified:?}");
    }
    drop(sleeper);
}

#[test]
fn a_daemon_reports_in_one_line_how_it_counts() {
    // Tests that were started with `nohup` would have it ignored, and so would the daemon.
    // SAFETY: the default action is no handler that could do anything unsafe.
    unsafe {
        nix::sys::signal::signal(nix::sys::signal::SIGHUP, nix::sys::signal::SigHandler::SigDfl)
    }
    .unwrap();
    let directory = tempfile::tempdir().unwrap();
    let [store, spool] = ["store", "spool"].map(|name| directory.path().join(name));
    let bpffs = Bpffs::mount();
    let (gateway, _tun) = quiet_tun("fltun");
    let mut daemon = gateway
        .command(flowlog_binary())
        .unwrap()
        .args(["run", "--profile", "attribution", "--interface", "fltun,flother*"])
        .args(["--gateway", "gw7", "--window", "1m", "--status-socket", "", "--store"])
        .arg(&store)
        .arg("--spool")
        .arg(&spool)
        .arg("--pins")
        .arg(bpffs.base())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stderr = BufReader::new(daemon.stderr.take().unwrap());
    let mut line = String::new();
    stderr.read_line(&mut line).unwrap();
    let [store, spool] = [store, spool].map(|path| path.display().to_string());
    let words = ["gw7", "counts fltun", "waits for flother*", "attribution", "60s", "for ever"];
    for word in words.into_iter().chain([&*store, &*spool]) {
        assert!(line.contains(word), "{word:?} is not in {line}");
    }
    let process = nix::unistd::Pid::from_raw(i32::try_from(daemon.id()).unwrap());
    // As when the terminal goes.
    nix::sys::signal::kill(process, nix::sys::signal::Signal::SIGHUP).unwrap();
    assert_eq!(daemon.wait().unwrap().code(), Some(0));
    let mut rest = String::new();
    stderr.read_to_string(&mut rest).unwrap();
    assert_eq!(rest, "");
}
