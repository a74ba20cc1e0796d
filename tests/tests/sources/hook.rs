//! The command `flowlog hook`: whoever calls it waits for it.

use std::{
    process::{Command, Stdio},
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};

use flowlog_tests::{Daemon, flowlog, flowlog_binary, quiet_tun, wait_for};
use nix::sys::signal::Signal;

#[test]
fn whatever_is_wrong_the_hook_succeeds_and_names_nobody() {
    let directory = tempfile::tempdir().unwrap();
    let missing = directory.path().join("missing");
    let missing = missing.to_str().unwrap();
    for (arguments, expected) in [
        (
            &[
                "hook", "lease", "open", "--name", "Lovelace", "--prefix", "10.9.8.7", "--dir",
                missing,
            ][..],
            "cannot leave a note",
        ),
        (
            &[
                "hook", "lease", "open", "--name", "Lovelace", "--prefix", "10.9.8.7", "--at",
                "noon",
            ],
            "--at must be an instant",
        ),
        (&["hook", "openvpn", "--dir", missing, "/tmp/openvpn_cc_1.tmp"], "cannot leave a note"),
        (&["hook", "openvpn", "--server", "a/b", "--dir", missing], "server's name"),
        (&["hook", "lease", "open"], "--name"),
        (&["hook", "telnet"], "unrecognized subcommand"),
        (&["hook"], "Usage"),
        (&["hook", "--help"], "lease"),
    ] {
        let called = flowlog(arguments);
        assert_eq!(called.code, 0, "{arguments:?}");
        assert!(called.stderr.contains(expected), "{arguments:?}: {}", called.stderr);
        let leak = ["Lovelace", "10.9.8.7"].iter().any(|text| called.stderr.contains(text));
        assert!(!leak, "{}", called.stderr);
    }
}

#[test]
fn a_hook_whose_words_nobody_reads_ends_with_success() {
    // A pipe that is full.
    let (reader, writer) = std::io::pipe().unwrap();
    let mut filler = Command::new("sh");
    filler
        .args(["-c", "timeout 1 dd if=/dev/zero bs=4096 2>/dev/null"])
        .stdout(writer.try_clone().unwrap());
    filler.status().unwrap();
    let start = Instant::now();
    let status = Command::new(flowlog_binary())
        .args(["hook", "openvpn", "--dir", "/nonexistent"])
        .stdout(Stdio::null())
        .stderr(writer)
        .status()
        .unwrap();
    assert!(status.success());
    assert!(start.elapsed() < Duration::from_secs(1), "{:?}", start.elapsed());
    drop(reader);
}

/// The note of a hook that has no time for it is there a moment later, and its reader has nothing to wait for.
#[test]
fn a_hook_that_is_too_slow_ends_in_time_and_leaves_its_note_all_the_same() {
    let directory = tempfile::tempdir().unwrap();
    let mut slow = Command::new("strace");
    // Its time is over in the middle of it.
    slow.args(["--quiet=all", "--trace=fchmod", "--inject=fchmod:signal=SIGALRM", "--output"])
        .arg(directory.path().join("trace"))
        .arg(flowlog_binary())
        .args(["hook", "lease", "open", "--name", "Lovelace", "--prefix", "10.9.8.7", "--dir"])
        .arg(directory.path());
    let notes = || {
        let names = std::fs::read_dir(directory.path()).unwrap();
        let names = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.filter(|name| !name.starts_with('.') && name != "trace").count()
    };
    let output = slow.output().expect("strace; run `cargo xtask setup`");
    assert!(output.status.success(), "{output:?}");
    wait_for("the note of a slow hook", || notes() == 1);
    let trace = std::fs::read_to_string(directory.path().join("trace")).unwrap();
    assert!(trace.contains("SIGALRM"), "{trace}");
}

/// Calls of which the slowest are looked at.
const CALLS: usize = 1_000;
/// OpenVPN stands still for so long at most.
const LONGEST: Duration = Duration::from_millis(20);

/// The load ends then.
const MOST: Duration = Duration::from_mins(3);

#[test]
fn the_hook_is_quick_under_load_with_the_daemon_up_stopped_and_down() {
    let directory = tempfile::tempdir().unwrap();
    let (notes, key) = (directory.path().join("hook"), directory.path().join("peer.key"));
    std::fs::write(&key, [7; 32]).unwrap();
    let config = directory.path().join("flowlog.toml");
    let tables = format!(
        "profile = \"flows\"\n[subscribers]\npeer_key_file = {key:?}\n[[source]]\nkind = \"openvpn\"\nhook = true\nhook_directory = {notes:?}\npoll = \"1s\"\n"
    );
    std::fs::write(&config, tables).unwrap();
    let (gateway, _tun) = quiet_tun("tun0");
    let store = directory.path().join("store");
    let paths = [&config, &store].map(|path| path.to_str().unwrap());
    let daemon = Daemon::attached(&gateway, "tun0", &["--config", paths[0], "--store", paths[1]]);
    wait_for("the directory of the hooks", || notes.exists());

    let (is_over, start) = (AtomicBool::new(false), Instant::now());
    std::thread::scope(|scope| {
        let cores = std::thread::available_parallelism().unwrap().get();
        for _ in 0..cores {
            // It ends by itself where something fails.
            scope.spawn(|| {
                while !is_over.load(Ordering::Relaxed) && start.elapsed() < MOST {
                    std::hint::spin_loop();
                }
            });
        }
        let mut call = Command::new(flowlog_binary());
        // OpenVPN adds its own arguments behind those of the configuration.
        call.args(["hook", "openvpn", "--dir"]).arg(&notes).arg("/tmp/file").env_clear().envs([
            ("script_type", "client-connect"),
            ("common_name", "ada"),
            ("time_unix", "1795820002"),
            ("ifconfig_pool_remote_ip", "10.8.0.2"),
            ("daemon_pid", "1"),
        ]);
        let left = || std::fs::read_dir(&notes).unwrap().count();
        // Where the time was too short, a copy of the hook leaves the note a moment later.
        let all_are_left = |before: usize| {
            wait_for("a note of each call", || left() == before + CALLS);
        };
        let up = slowest(&mut call);
        daemon.signal(Signal::SIGSTOP);
        let before = left();
        let stopped = slowest(&mut call);
        all_are_left(before);
        daemon.signal(Signal::SIGCONT);
        daemon.terminate();
        let before = left();
        let down = slowest(&mut call);
        all_are_left(before);
        is_over.store(true, Ordering::Relaxed);
        println!("hook and nothing: daemon up {up:?}, stopped {stopped:?}, down {down:?}");
        for (slowest, late) in [up, stopped, down] {
            assert!(slowest <= LONGEST + late, "{slowest:?}; nothing takes {late:?}");
        }
    });
}

/// How long a command takes, but for one of a thousand that take longer, and how long the same program does where it does
/// nothing, in turn with it: both are as late as the machine is busy.
fn slowest(command: &mut Command) -> (Duration, Duration) {
    let mut nothing = Command::new(flowlog_binary());
    nothing.arg("--version").stdout(Stdio::null());
    let call = |command: &mut Command| {
        let start = Instant::now();
        assert!(command.status().unwrap().success());
        start.elapsed()
    };
    let calls = (0..CALLS).map(|_| (call(command), call(&mut nothing)));
    let (mut times, mut late): (Vec<Duration>, Vec<Duration>) = calls.unzip();
    times.sort();
    late.sort();
    let place = CALLS - 1 - CALLS / 1_000;
    (times[place], late[place])
}
