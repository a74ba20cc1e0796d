//! Every command of the README, run as it is written there.

use std::{
    path::Path,
    process::{Command, Output, Stdio},
};

use flowlog_tests::{Daemon, files_under, flowlog_binary, quiet_tun, root};

/// The lines of the shell blocks, in their order.
fn commands() -> Vec<String> {
    let readme = std::fs::read_to_string(root().join("README.md")).unwrap();
    let blocks = readme.split("```sh\n").skip(1).map(|block| block.split("```").next().unwrap());
    blocks.flat_map(str::lines).map(str::to_owned).collect()
}

fn succeed(command: &mut Command) -> Output {
    let output = command.output().unwrap();
    assert!(
        output.status.success(),
        "{command:?}\n{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    output
}

/// A command of the README, which has the day and the hour of when it was written, with those of the
/// first file of the store instead.
fn now(command: &str, store: &Path) -> String {
    let files = files_under(&store.join("flows"));
    let folders: Vec<_> = files.iter().flat_map(|file| file.iter()).collect();
    let recorded = |name: &str, written: &str| {
        let value = folders.iter().find_map(|folder| folder.to_str()?.strip_prefix(name));
        value.unwrap_or(written).to_owned()
    };
    let (day, hour) = ("2026-11-22", "09");
    command
        .replace(&format!("{day} {hour}:"), &format!("{day} {}:", recorded("hour=", hour)))
        .replace(day, &recorded("date=", day))
}

#[test]
fn every_command_does_what_it_says() {
    let directory = tempfile::tempdir().unwrap();
    let store = directory.path().join("store");
    let (gateway, _tun) = quiet_tun("wg0");
    gateway.ip(&["address", "add", "10.9.0.1/24", "dev", "wg0"]).unwrap();
    let mut done = vec![];
    for command in commands() {
        // The places that are the reader's, and the programs that the tests have elsewhere.
        let here = now(&command, &store)
            .replace("/var/lib/flowlog/store", store.to_str().unwrap())
            .replace("target/release/flowlog", flowlog_binary().to_str().unwrap())
            .replace(
                "duckdb -init",
                &format!("{} -init", root().join("target/venv/bin/duckdb").display()),
            );
        let words: Vec<&str> = command.split(' ').collect();
        let kind = match words[..] {
            ["cargo", "xtask", "test"] => {
                // This very test is part of it; and CI runs nothing else.
                let ci = std::fs::read_to_string(root().join(".ci/run")).unwrap();
                assert_eq!(ci.trim_end().lines().last(), Some("cargo xtask test"));
                "test"
            }
            ["cargo", "xtask", "demo"] => {
                let shown =
                    succeed(Command::new("cargo").args(["xtask", "demo"]).current_dir(root()));
                let shown = String::from_utf8(shown.stdout).unwrap();
                for words in ["10.66.0.2", "fd66::2", "tcp", "udp", "ping", "Every packet"] {
                    assert!(shown.contains(words), "{words:?} is not in {shown}");
                }
                "demo"
            }
            ["cargo", "build", ..] => {
                // The tests have the same binary of the profile for development.
                let build = command
                    .replace("cargo build --release --package", "build --locked --workspace --bin");
                succeed(Command::new("cargo").args(build.split(' ')).current_dir(root()));
                "build"
            }
            [_, "run", "--interface", interface, ..] => {
                assert_eq!(here.split(' ').nth(4), Some("--store"), "{here}");
                let daemon =
                    Daemon::attached(&gateway, interface, &["--store", store.to_str().unwrap()]);
                gateway
                    .run(|| {
                        let socket = std::net::UdpSocket::bind("0.0.0.0:0")?;
                        socket.send_to(&[0; 72], "10.9.0.2:9").map(|_| ())
                    })
                    .unwrap();
                let ended = daemon.terminate();
                assert_eq!(ended.code, 0, "{}", ended.stderr);
                "run"
            }
            [_, "check", ..] => {
                // Whether this machine's clock is kept is not the README's matter.
                let mut check = gateway.command("sh").unwrap();
                let output = check.args(["-c", &here]).stdin(Stdio::null()).output().unwrap();
                let said = String::from_utf8(output.stdout).unwrap();
                for sound in ["ok    kernel program", "ok    interface", "ok    store"] {
                    assert!(said.contains(sound), "{said}");
                }
                "check"
            }
            ["duckdb", ..] | [_, "duckdb" | "flows" | "verify" | "retention", ..] => {
                // Nobody reached the server of the abuse report: that is an answer.
                let may_be_none = if here.contains(" --remote ") { " || test $? = 1" } else { "" };
                let mut shell = Command::new("sh");
                let shell = shell.args(["-c", &format!("{here}{may_be_none}")]);
                let shell = shell.current_dir(directory.path());
                let output = succeed(shell.stdin(Stdio::null()));
                assert!(!output.stdout.is_empty() || here.contains("> flowlog.sql"), "{here}");
                "ask"
            }
            _ => panic!("nothing runs this command of the README: {command}"),
        };
        done.push(kind);
    }
    for kind in ["demo", "test", "build", "check", "run", "ask"] {
        assert!(done.contains(&kind), "{kind} is not in the README: {done:?}");
    }
}

#[test]
fn every_page_that_is_linked_exists() {
    for page in ["README.md", "CONTRIBUTING.md", "docs/architecture.md", "docs/roadmap.md"] {
        let text = std::fs::read_to_string(root().join(page)).unwrap();
        let folder = root().join(page).parent().unwrap().to_owned();
        for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let is_there = match link.strip_prefix('#') {
                Some(anchor) => text.lines().any(|line| is_heading_of(line, anchor)),
                None => link.starts_with("http") || folder.join(link).exists(),
            };
            assert!(is_there, "{page}: {link}");
        }
    }
}

/// Whether a line is the heading that an anchor leads to.
fn is_heading_of(line: &str, anchor: &str) -> bool {
    line.strip_prefix("## ")
        .is_some_and(|heading| heading.to_lowercase().replace(' ', "-") == anchor)
}

#[test]
fn each_test_that_the_page_about_reliability_names_exists() {
    let page = std::fs::read_to_string(root().join("docs/reliability.md")).unwrap();
    let is_name = |word: &&str| word.matches('_').count() >= 3 && word.chars().all(is_of_name);
    let named: Vec<&str> = page.split('`').skip(1).step_by(2).filter(is_name).collect();
    assert!(named.len() > 50, "{}", named.len());
    let folders = ["flowlog/src", "flowlog-common/src", "tests/tests"];
    let sources = folders.map(|folder| files_under(&root().join(folder)));
    let sources: Vec<String> = sources
        .concat()
        .into_iter()
        .filter(|path| path.extension().is_some_and(|extension| extension == "rs"))
        .map(|path| std::fs::read_to_string(path).unwrap())
        .collect();
    let is_there = |name: &&&str| sources.iter().any(|text| text.contains(&format!("fn {name}(")));
    let missing: Vec<&&str> = named.iter().filter(|name| !is_there(name)).collect();
    assert!(missing.is_empty(), "{missing:#?}");
}

fn is_of_name(c: char) -> bool {
    c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_'
}
