//! The kernel program: building the object that is committed, and proving that it is the sources'.
//!
//! The object is committed beside a lock that names the compiler, the linker and the hash of the
//! sources, so that everything else builds with stable Rust alone.

mod instructions;
mod toolchain;

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command as Process,
};

use anyhow::{Context as _, bail, ensure};
use clap::Subcommand;
use serde::Deserialize;
use sha2::{Digest as _, Sha256};

use crate::shell;
pub use toolchain::Toolchain;

#[derive(Subcommand)]
pub enum Command {
    /// Build the kernel program and replace the committed object and its lock.
    Build {
        /// Build with per-packet logging, beside the committed object, for `--features trace`.
        #[arg(long)]
        trace: bool,
    },
    /// Fail when the committed object is not the sources'.
    Check {
        /// Build it again as well: byte for byte equal where the toolchain is the lock's.
        #[arg(long)]
        rebuild: bool,
    },
    /// Show how many instructions the committed object has, and takes to count a packet.
    Instructions,
}

pub fn run(command: &Command) -> anyhow::Result<()> {
    match command {
        Command::Build { trace: false } => build_committed(),
        Command::Build { trace: true } => {
            let object = Toolchain::find()?.build(true)?;
            fs::copy(&object, shell::root().join(TRACE_OBJECT))?;
            println!("{TRACE_OBJECT}: built, for `cargo build -p flowlog --features trace`");
            Ok(())
        }
        Command::Check { rebuild } => check(*rebuild),
        Command::Instructions => {
            instructions::print(&fs::read(shell::root().join(OBJECT)).context(OBJECT)?)
        }
    }
}

const OBJECT: &str = "flowlog/ebpf/flowlog.bpf.o";
const LOCK: &str = "flowlog/ebpf/flowlog.bpf.lock";
const TRACE_OBJECT: &str = "flowlog/ebpf/flowlog-trace.bpf.o";

/// What the committed object was made of and by.
#[derive(Debug, PartialEq, Eq, Deserialize)]
struct Lock {
    compiler: String,
    linker: String,
    /// SHA-256 of the sources, see [`hash_sources`].
    sources: String,
    /// SHA-256 of the object.
    object: String,
}

fn build_committed() -> anyhow::Result<()> {
    let toolchain = Toolchain::find()?;
    let object = fs::read(toolchain.build(false)?)?;
    instructions::check(&object)?;
    let lock = Lock {
        compiler: toolchain.compiler()?,
        linker: toolchain.linker()?,
        sources: hash_sources()?,
        object: hex(&Sha256::digest(&object)),
    };
    let root = shell::root();
    fs::write(root.join(OBJECT), &object)?;
    let Lock { compiler, linker, sources, object: hash } = lock;
    let text = format!(
        "# Written by `cargo xtask ebpf build`.\ncompiler = {compiler:?}\nlinker = {linker:?}\n\
         sources = {sources:?}\nobject = {hash:?}\n"
    );
    fs::write(root.join(LOCK), text)?;
    println!("{OBJECT}: {} bytes, {compiler}", object.len());
    Ok(())
}

fn check(rebuild: bool) -> anyhow::Result<()> {
    let root = shell::root();
    let lock: Lock = toml::from_str(&fs::read_to_string(root.join(LOCK)).context(LOCK)?)?;
    let object = fs::read(root.join(OBJECT)).context(OBJECT)?;
    ensure!(
        hex(&Sha256::digest(&object)) == lock.object,
        "{OBJECT} is not the object that {LOCK} names; run `cargo xtask ebpf build`"
    );
    ensure!(
        hash_sources()? == lock.sources,
        "the sources of the kernel program changed since {OBJECT} was built; \
         run `cargo xtask ebpf build` and commit both"
    );
    instructions::check(&object).context(OBJECT)?;
    if rebuild {
        let toolchain = Toolchain::find()?;
        let again = fs::read(toolchain.build(false)?)?;
        if toolchain.compiler()? != lock.compiler || toolchain.linker()? != lock.linker {
            println!("rebuilt with another toolchain than the lock's: not compared byte for byte");
        } else if again != object {
            bail!("the same toolchain builds another object from the sources than {OBJECT}");
        } else {
            println!("{OBJECT}: built again, byte for byte the same");
        }
    }
    Ok(())
}

/// The hash of all that decides what the object is: the Rust sources of the two crates (without
/// their tests), their manifests, the release profile, the compiler flags, and the versions of
/// the crates that the kernel program depends on.
fn hash_sources() -> anyhow::Result<String> {
    let root = shell::root();
    let mut files = vec![];
    for package in ["flowlog-common", "flowlog-ebpf"] {
        files.push(root.join(package).join("Cargo.toml"));
        rust_files(&root.join(package).join("src"), &mut files)?;
    }
    files.sort();
    let mut hash = Sha256::new();
    for file in files {
        let text = fs::read(&file)?;
        hash.update(file.strip_prefix(&root)?.to_string_lossy().as_bytes());
        hash.update([0]);
        hash.update(text.len().to_le_bytes());
        hash.update(text);
    }
    hash.update(toolchain::RUSTFLAGS.join(" "));
    let lock = fs::read_to_string(root.join("Cargo.lock"))?;
    for package in lock.split("[[package]]").filter(|p| p.contains("name = \"aya-ebpf")) {
        hash.update(package);
    }
    Ok(hex(&hash.finalize()))
}

fn rust_files(directory: &Path, files: &mut Vec<PathBuf>) -> anyhow::Result<()> {
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        if path.is_dir() {
            rust_files(&path, files)?;
        } else if path.extension().is_some_and(|e| e == "rs") && !path.ends_with("tests.rs") {
            files.push(path);
        }
    }
    Ok(())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
}

/// Removes the debugging sections, but not the BTF that the kernel reads.
fn strip(object: &Path, objcopy: &Path) -> anyhow::Result<()> {
    shell::run(Process::new(objcopy).arg("--strip-debug").arg(object))
}
