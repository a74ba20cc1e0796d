//! Installing what the tests need, on Debian and Ubuntu.

use std::process::Command;

use anyhow::bail;

use crate::{ebpf, shell};

#[derive(clap::Args)]
pub struct Arguments {
    /// Install the kernel toolchain too, with which the kernel program is built.
    #[arg(long)]
    pub kernel: bool,
}

/// Programs that the tests use, and the packages that they come in.
pub const TEST_PROGRAMS: [(&str, &str); 8] = [
    ("ip", "iproute2"),
    ("tc", "iproute2"),
    ("tcpdump", "tcpdump"),
    ("ethtool", "ethtool"),
    ("setpriv", "util-linux"),
    ("wg", "wireguard-tools"),
    ("wireguard-go", "wireguard-go"),
    ("python3", "python3"),
];

const KERNEL_PACKAGES: [&str; 4] =
    ["rustc-web", "libstd-rust-web-dev-bpf", "llvm-22-dev", "llvm-22"];
/// The compiler of the programs in C that the benchmarks use.
pub const CLANG: &str = "clang-19";
const BPF_LINKER: &str = "0.13.0";
const CARGO_FUZZ: &str = "0.13.2";
const DUCKDB: &str = "1.5.5";

pub fn run(arguments: &Arguments) -> anyhow::Result<()> {
    install_programs(&TEST_PROGRAMS)?;
    install_duckdb()?;
    if arguments.kernel {
        install_kernel_toolchain()?;
    }
    Ok(())
}

/// Installs what `cargo xtask fuzz` runs.
pub fn install_fuzzer() -> anyhow::Result<()> {
    install_packages((!is_installed("c++")).then_some("g++").into_iter())?;
    if is_installed("cargo-fuzz") {
        return Ok(());
    }
    shell::run(shell::cargo().args(["install", "cargo-fuzz", "--version", CARGO_FUZZ, "--locked"]))
}

/// Runs `flowlog demo`.
pub fn demo() -> anyhow::Result<()> {
    install_packages((!is_installed("ip")).then_some("iproute2").into_iter())?;
    shell::run(Command::new(shell::build_flowlog()?).arg("demo"))
}

/// A compiler for the programs in C that the benchmarks load into the kernel.
pub fn install_clang() -> anyhow::Result<()> {
    let needed = [(CLANG, is_installed(CLANG)), ("libbpf-dev", has_libbpf_headers())];
    install_packages(needed.into_iter().filter(|(_, is_there)| !is_there).map(|(name, _)| name))
}

fn has_libbpf_headers() -> bool {
    std::path::Path::new("/usr/include/bpf/bpf_helpers.h").is_file()
}

/// Installs the packages of those programs that are not there.
pub fn install_programs(programs: &[(&str, &str)]) -> anyhow::Result<()> {
    let missing = programs.iter().filter(|(program, _)| !is_installed(program));
    install_packages(missing.map(|(_, package)| *package))
}

/// Asks which packages there are.
pub fn update_packages() -> anyhow::Result<()> {
    shell::run(Command::new("apt-get").args(["update", "--quiet"]))
}

fn is_installed(program: &str) -> bool {
    // Root's own programs are not on everybody's search path.
    shell::which(program).is_some()
        || ["/usr/sbin", "/sbin"].iter().any(|d| std::path::Path::new(d).join(program).is_file())
}

fn install_packages<'a>(packages: impl Iterator<Item = &'a str>) -> anyhow::Result<()> {
    let packages: Vec<_> = packages.collect();
    if packages.is_empty() {
        return Ok(());
    }
    if shell::which("apt-get").is_none() {
        bail!("this is not Debian or Ubuntu; install by hand: {}", packages.join(" "));
    }
    update_packages()?;
    shell::run(
        Command::new("apt-get")
            .env("DEBIAN_FRONTEND", "noninteractive")
            .args(["install", "--yes", "--quiet", "--no-install-recommends"])
            .args(packages),
    )
}

/// DuckDB, module and command line, in a virtual environment of the workspace.
fn install_duckdb() -> anyhow::Result<()> {
    let venv = shell::root().join("target/venv");
    let python = venv.join("bin/python");
    let wanted = format!("import duckdb; assert duckdb.__version__ == '{DUCKDB}'");
    let is_present = Command::new(&python)
        .args(["-c", &wanted])
        .stderr(std::process::Stdio::null())
        .status()
        .is_ok_and(|status| status.success());
    if is_present && venv.join("bin/duckdb").is_file() {
        return Ok(());
    }
    if shell::run(Command::new("python3").args(["-m", "venv"]).arg(&venv)).is_err() {
        // Debian has this module of Python in a package of its own.
        install_packages(["python3-venv"].into_iter())?;
        shell::run(Command::new("python3").args(["-m", "venv"]).arg(&venv))?;
    }
    shell::run(
        Command::new(&python)
            .args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"])
            .args([format!("duckdb=={DUCKDB}"), format!("duckdb-cli=={DUCKDB}")]),
    )
}

fn install_kernel_toolchain() -> anyhow::Result<()> {
    if ebpf::Toolchain::find().is_ok() {
        return Ok(());
    }
    install_packages(KERNEL_PACKAGES.into_iter().filter(|package| {
        !Command::new("dpkg")
            .args(["--status", package])
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null())
            .status()
            .is_ok_and(|status| status.success())
    }))?;
    // Does nothing when this version is installed already.
    shell::run(shell::cargo().env("LLVM_PREFIX", "/usr/lib/llvm-22").args([
        "install",
        "bpf-linker",
        "--version",
        BPF_LINKER,
        "--locked",
        "--no-default-features",
        "--features",
        "llvm-22",
    ]))
}
