//! Formatting, lints, documentation and generated files.

use std::process::Command;

use anyhow::{Context as _, ensure};

use crate::{ebpf, layers, shell};

pub fn run() -> anyhow::Result<()> {
    ebpf::run(&ebpf::Command::Check { rebuild: false })?;
    without_capture()?;
    layers::check(&shell::root().join("flowlog/src"))?;
    shell::run(shell::cargo().args(["fmt", "--all", "--check"]))?;
    // No member of the workspace: see `cargo xtask fuzz`.
    let fuzz = ["fmt", "--manifest-path", "fuzz/Cargo.toml", "--check"];
    shell::run(shell::cargo().args(fuzz))?;
    // The kernel program compiles for the host too, so one pass of the lints reads both sides.
    shell::run(
        shell::cargo()
            .args(["clippy", "--workspace", "--all-targets", "--locked", "--"])
            .args(["-D", "warnings"]),
    )?;
    shell::run(shell::cargo().env("RUSTDOCFLAGS", "-D warnings").args([
        "doc",
        "--workspace",
        "--no-deps",
        "--locked",
        "--quiet",
    ]))?;
    // Fails when a generated file is not what the sources say.
    shell::run(&mut generated())
}

/// What asks and keeps has nothing of the kernel in it.
fn without_capture() -> anyhow::Result<()> {
    let features = ["--no-default-features", "--features", "aws,azure,gcp"];
    let mut tree = shell::cargo();
    tree.args([
        "tree",
        "--locked",
        "--package",
        "flowlog",
        "--edges",
        "normal",
        "--prefix",
        "none",
    ]);
    let tree = tree.args(features).output().context("cannot start cargo tree")?;
    ensure!(tree.status.success(), "{}", String::from_utf8_lossy(&tree.stderr));
    let tree = String::from_utf8_lossy(&tree.stdout);
    let kernel = tree.lines().find(|line| line.starts_with("aya"));
    ensure!(
        kernel.is_none(),
        "flowlog without `capture` depends on {}",
        kernel.unwrap_or_default()
    );
    Ok(())
}

/// Rewrites the generated files.
pub fn generate() -> anyhow::Result<()> {
    shell::run(generated().env("FLOWLOG_GENERATE", "1"))
}

/// The tests that compare the generated files with the sources, or rewrite them.
fn generated() -> Command {
    let mut cargo = shell::cargo();
    cargo.args(["test", "--quiet", "--locked", "--workspace", "--lib", "generated"]);
    cargo
}
