//! Older kernels, in virtual machines: the tests of the kernel program and of a gateway, on the
//! kernels that gateways run, with those kernels' own WireGuard.
//!
//! A machine has the files of this one, read-only, under a layer of its own in memory. So it runs
//! the very binaries that were built here, with the programs that are installed here, and leaves
//! nothing behind.

mod initramfs;
mod kernel;
mod machine;

use std::{path::PathBuf, process::Command, time::Instant};

use anyhow::{Context as _, bail};
use serde::Deserialize;

use crate::{setup, shell};
use kernel::Kernel;

/// Debian 12's kernel, which has clsact only, and the one that its backports have, with TCX.
const SERIES: [&str; 2] = ["6.1", "6.12"];

/// The tests that depend on the kernel.
const TESTS: [Tests; 9] = [
    Tests::all_of("kernel"),
    Tests::all_of("policy"),
    Tests::all_of("attachment"),
    Tests::all_of("wireguard"),
    // The kernel's own WireGuard as a source of sessions.
    Tests { name: "sources", only: &["wireguard::"] },
    // Twenty members of it, and the answers about them.
    Tests {
        name: "members",
        only: &["whoever_is_identified_among_many_members_is_the_one_and_nearly_everyone_is"],
    },
    // What outlives the daemon; all of it takes seven minutes where the processor is emulated.
    Tests {
        name: "restart",
        only: &[
            "a_daemon_that_is_killed_loses_no_count",
            "filters_of_a_daemon_that_kept_nothing_and_was_killed_are_removed_too",
            "maps_of_other_sizes_are_handed_out_with_what_they_hold",
            "uninstalled_nothing_of_flowlog_is_left_and_all_of_others",
        ],
    },
    // Maps of an earlier version, made and read by this kernel.
    Tests { name: "golden", only: &["pins::"] },
    // All of it would take most of the time that a machine has.
    Tests {
        name: "neighbours",
        only: &[
            "the_ledger_has_what_the_interface_counted_itself",
            "beside_a_program_that_drops_packets_the_ledger_agrees_or_names_the_gap",
            "beside_a_filter_that_drops_packets_the_ledger_agrees_or_names_the_gap",
            "a_discipline_that_somebody_removes_is_made_again_and_the_time_is_a_gap",
            "a_link_that_somebody_detaches_is_made_again_and_the_time_is_a_gap",
            "what_was_detached_while_no_daemon_lived_is_a_gap",
            "beside_an_ingress_discipline_packets_are_counted_once_and_the_right_way",
        ],
    },
];

/// A test binary, and which of its tests.
#[derive(Clone, Copy)]
struct Tests {
    name: &'static str,
    /// All, where there are none.
    only: &'static [&'static str],
}

impl Tests {
    const fn all_of(name: &'static str) -> Self {
        Self { name, only: &[] }
    }
}

/// Programs that make a virtual machine, and the packages that they come in.
const PROGRAMS: [(&str, &str); 4] = [
    ("qemu-system-x86_64", "qemu-system-x86"),
    ("modprobe", "kmod"),
    ("depmod", "kmod"),
    ("xz", "xz-utils"),
];

/// Runs the tests on the kernels of these series; of all, where none is named.
pub fn run(chosen: &[String]) -> anyhow::Result<()> {
    if !cfg!(target_arch = "x86_64") {
        bail!("the virtual machines are x86-64 machines; run the other levels of the tests here");
    }
    if let Some(unknown) = chosen.iter().find(|series| !SERIES.contains(&series.as_str())) {
        bail!("{unknown} is none of the kernels {}", SERIES.join(", "));
    }
    let is_chosen =
        |series: &&str| chosen.is_empty() || chosen.iter().any(|chosen| chosen == series);
    setup::install_programs(&PROGRAMS)?;
    let tests = build()?;
    let mut failed = vec![];
    for series in SERIES.into_iter().filter(is_chosen) {
        let started = Instant::now();
        let kernel = Kernel::fetch(series)?;
        println!("Linux {}: {}", kernel.release, TESTS.map(|tests| tests.name).join(", "));
        let outcome = initramfs::write(&kernel, &guest(&kernel, &tests))
            .and_then(|initramfs| machine::run(&kernel, &initramfs));
        let seconds = started.elapsed().as_secs();
        match outcome {
            Ok(()) => println!("Linux {}: passed, {seconds} s", kernel.release),
            Err(error) => {
                println!("Linux {}: FAILED, {seconds} s: {error:#}", kernel.release);
                failed.push(kernel.release);
            }
        }
    }
    if !failed.is_empty() {
        bail!("the tests failed on Linux {}", failed.join(" and "));
    }
    Ok(())
}

/// Tests, and the binary that they are in.
struct Built {
    tests: Tests,
    binary: PathBuf,
}

/// What cargo says of a binary that it built.
#[derive(Deserialize)]
struct Artifact {
    target: Target,
    executable: Option<PathBuf>,
}

#[derive(Deserialize)]
struct Target {
    name: String,
}

/// Builds the tests, and the daemon that they start.
fn build() -> anyhow::Result<Vec<Built>> {
    shell::build_flowlog()?;
    let mut cargo = shell::cargo();
    cargo.args(["test", "--no-run", "--locked", "--workspace", "--message-format", "json"]);
    cargo.args(TESTS.iter().flat_map(|tests| ["--test", tests.name]));
    let said = shell::output(&mut cargo)?;
    let artifacts: Vec<Artifact> =
        said.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let find = |tests: &Tests| {
        let name = tests.name;
        let artifact = artifacts.iter().find(|a| a.target.name == name && a.executable.is_some());
        let binary = artifact.and_then(|a| a.executable.clone());
        binary
            .map(|binary| Built { tests: *tests, binary })
            .with_context(|| format!("cargo built no test binary {name}"))
    };
    TESTS.iter().map(find).collect()
}

/// The script that runs the tests in the machine.
fn guest(kernel: &Kernel, built: &[Built]) -> String {
    use std::fmt::Write as _;

    let quoted = |path: &std::path::Path| shell::quoted(&path.to_string_lossy());
    let mut script = format!(
        "modules={}\ntests={}\nmarker={}\n",
        quoted(&kernel.modules()),
        quoted(&shell::root().join("tests")),
        shell::quoted(machine::MARKER)
    );
    script += include_str!("vm/guest.sh");
    for Built { tests: Tests { name, only }, binary } in built {
        // Writing to a text cannot fail.
        writeln!(script, "run {name} {} {}", quoted(binary), only.join(" ")).unwrap_or_default();
    }
    script + "finish\n"
}

/// Runs a command that prints what nobody wants to see unless it fails.
fn run_quietly(command: &mut Command) -> anyhow::Result<()> {
    shell::output(command).map(|_| ())
}
