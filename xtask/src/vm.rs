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
const TESTS: [&str; 4] = ["kernel", "policy", "attachment", "wireguard"];

/// Programs that make a virtual machine, and the packages that they come in.
const PROGRAMS: [(&str, &str); 4] = [
    ("qemu-system-x86_64", "qemu-system-x86"),
    ("modprobe", "kmod"),
    ("depmod", "kmod"),
    ("xz", "xz-utils"),
];

pub fn run() -> anyhow::Result<()> {
    if !cfg!(target_arch = "x86_64") {
        bail!("the virtual machines are x86-64 machines; run the other levels of the tests here");
    }
    setup::install_programs(&PROGRAMS)?;
    let tests = build()?;
    let mut failed = vec![];
    for series in SERIES {
        let started = Instant::now();
        let kernel = Kernel::fetch(series)?;
        println!("Linux {}: {}", kernel.release, TESTS.join(", "));
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

/// A test binary.
struct Test {
    name: &'static str,
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
fn build() -> anyhow::Result<Vec<Test>> {
    shell::build_flowlog()?;
    let mut cargo = shell::cargo();
    cargo.args(["test", "--no-run", "--locked", "--workspace", "--message-format", "json"]);
    cargo.args(TESTS.iter().flat_map(|name| ["--test", name]));
    let said = shell::output(&mut cargo)?;
    let built: Vec<Artifact> =
        said.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let find = |name: &&'static str| {
        let artifact = built.iter().find(|a| a.target.name == *name && a.executable.is_some());
        let binary = artifact.and_then(|a| a.executable.clone());
        binary
            .map(|binary| Test { name, binary })
            .with_context(|| format!("cargo built no test binary {name}"))
    };
    TESTS.iter().map(find).collect()
}

/// The script that runs the tests in the machine.
fn guest(kernel: &Kernel, tests: &[Test]) -> String {
    use std::fmt::Write as _;

    let quoted = |path: &std::path::Path| shell::quoted(&path.to_string_lossy());
    let mut script = format!(
        "modules={}\ntests={}\nmarker={}\n",
        quoted(&kernel.modules()),
        quoted(&shell::root().join("tests")),
        shell::quoted(machine::MARKER)
    );
    script += include_str!("vm/guest.sh");
    for Test { name, binary } in tests {
        // Writing to a text cannot fail.
        writeln!(script, "run {name} {}", quoted(binary)).unwrap_or_default();
    }
    script + "finish\n"
}

/// Runs a command that prints what nobody wants to see unless it fails.
fn run_quietly(command: &mut Command) -> anyhow::Result<()> {
    shell::output(command).map(|_| ())
}
