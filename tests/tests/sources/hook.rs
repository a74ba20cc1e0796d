//! The command `flowlog hook`: whoever calls it waits for it.

use std::process::{Command, Stdio};

use flowlog_tests::{flowlog, flowlog_binary};

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
    let start = std::time::Instant::now();
    let status = Command::new(flowlog_binary())
        .args(["hook", "openvpn", "--dir", "/nonexistent"])
        .stdout(Stdio::null())
        .stderr(writer)
        .status()
        .unwrap();
    assert!(status.success());
    assert!(start.elapsed() < std::time::Duration::from_secs(1), "{:?}", start.elapsed());
    drop(reader);
}
