//! Finding a compiler for the kernel's instruction set: Debian's, or a nightly of rustup.

use std::{
    env,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, bail};

use super::strip;
use crate::shell;

const TARGET: &str = "bpfel-unknown-none";
const DEBIAN_RUSTC: &str = "/usr/bin/rustc";

/// Instruction set v3 has the atomic operations and is in every kernel since 5.12.
pub const RUSTFLAGS: [&str; 6] = [
    "-Clinker=bpf-linker",
    "--cfg=bpf_target_arch=\"x86_64\"",
    "-Cdebuginfo=2",
    "-Clink-arg=--btf",
    "-Ctarget-cpu=v3",
    "-Cpanic=abort",
];

/// How to install what is missing.
pub const REMEDY: &str = "`cargo xtask setup --kernel` on Debian, or `rustup toolchain install \
     nightly --component rust-src` and `cargo install bpf-linker`";

/// A compiler that can build the kernel program.
pub enum Toolchain {
    /// Debian's rustc-web, which has a core library for the target.
    Debian,
    /// A nightly that builds the core library itself.
    Nightly,
}

impl Toolchain {
    /// Looks for a compiler and the linker.
    pub fn find() -> anyhow::Result<Self> {
        if linker().is_none() {
            bail!("bpf-linker is not installed; run {REMEDY}");
        }
        if sysroot(Command::new(DEBIAN_RUSTC)).is_some_and(|root| has(&root, TARGET)) {
            return Ok(Self::Debian);
        }
        let mut nightly = Command::new("rustc");
        nightly.arg("+nightly");
        if sysroot(nightly).is_some_and(|root| root.join("lib/rustlib/src/rust/library").is_dir()) {
            return Ok(Self::Nightly);
        }
        bail!("no compiler for {TARGET} is installed; run {REMEDY}")
    }

    /// Builds the kernel program and returns the object.
    pub fn build(&self, trace: bool) -> anyhow::Result<PathBuf> {
        let root = shell::root();
        let target = root.join("target/ebpf");
        let mut cargo = match self {
            Self::Debian => {
                let mut cargo = shell::cargo();
                cargo.env("RUSTC", DEBIAN_RUSTC).env("RUSTC_BOOTSTRAP", "1").arg("build");
                cargo
            }
            Self::Nightly => {
                // `cargo +nightly` needs rustup's own cargo, not the one it chose for this run.
                let mut cargo = Command::new("cargo");
                cargo.current_dir(&root).env_remove("RUSTUP_TOOLCHAIN").env_remove("CARGO");
                cargo.args(["+nightly", "build", "-Zbuild-std=core"]);
                cargo
            }
        };
        cargo.args(["--locked", "--package", "flowlog-ebpf", "--release", "--target", TARGET]);
        cargo.arg("--target-dir").arg(&target);
        cargo.args(trace.then_some(["--features", "trace"]).into_iter().flatten());
        cargo.env("CARGO_ENCODED_RUSTFLAGS", rustflags(&root).join("\x1f"));
        cargo.env("PATH", search_path()?);
        shell::run(&mut cargo)?;
        let built = target.join(TARGET).join("release/flowlog-ebpf");
        let object = built.with_extension("o");
        std::fs::copy(&built, &object)?;
        strip(&object, &objcopy().with_context(|| format!("no llvm-objcopy; run {REMEDY}"))?)?;
        Ok(object)
    }

    /// Name and version of the compiler.
    pub fn compiler(&self) -> anyhow::Result<String> {
        match self {
            Self::Debian => shell::output(Command::new(DEBIAN_RUSTC).arg("--version")),
            Self::Nightly => shell::output(Command::new("rustc").args(["+nightly", "--version"])),
        }
    }

    /// Name and version of the linker.
    #[expect(clippy::unused_self, reason = "the linker is part of the toolchain")]
    pub fn linker(&self) -> anyhow::Result<String> {
        let linker = linker().context("bpf-linker")?;
        // Its name is followed by the LLVM it was built with, in a second line.
        let version = shell::output(Command::new(linker).arg("--version"))?;
        Ok(version.lines().collect::<Vec<_>>().join(", "))
    }
}

/// The flags, with the paths of this machine taken out of what the compiler records.
fn rustflags(root: &Path) -> Vec<String> {
    let mut flags = RUSTFLAGS.map(str::to_owned).to_vec();
    flags.push(format!("--remap-path-prefix={}=.", root.display()));
    if let Some(home) = cargo_home() {
        let home = home.display();
        // The registry's folder is named after its address, which differs between mirrors.
        if let Ok(folders) = std::fs::read_dir(format!("{home}/registry/src")) {
            for folder in folders.flatten() {
                flags.push(format!("--remap-path-prefix={}=registry", folder.path().display()));
            }
        }
    }
    flags
}

fn sysroot(mut rustc: Command) -> Option<PathBuf> {
    shell::output(rustc.args(["--print", "sysroot"])).ok().map(PathBuf::from)
}

fn has(sysroot: &Path, target: &str) -> bool {
    sysroot.join("lib/rustlib").join(target).is_dir()
}

fn cargo_home() -> Option<PathBuf> {
    env::var_os("CARGO_HOME")
        .map(PathBuf::from)
        .or_else(|| Some(PathBuf::from(env::var_os("HOME")?).join(".cargo")))
}

fn linker() -> Option<PathBuf> {
    shell::which("bpf-linker")
        .or_else(|| Some(cargo_home()?.join("bin/bpf-linker")).filter(|path| path.is_file()))
}

fn objcopy() -> Option<PathBuf> {
    ["llvm-objcopy-22", "llvm-objcopy", "rust-objcopy"].iter().find_map(|name| shell::which(name))
}

/// The search path with the folder of the linker.
fn search_path() -> anyhow::Result<std::ffi::OsString> {
    let linker = linker().context("bpf-linker")?;
    let path = env::var_os("PATH").unwrap_or_default();
    let folders = env::split_paths(&path).chain(linker.parent().map(Path::to_owned));
    Ok(env::join_paths(folders)?)
}
