//! Formatting, lints, documentation and generated files.

use std::process::Command;

use crate::{ebpf, layers, shell};

pub fn run() -> anyhow::Result<()> {
    ebpf::run(&ebpf::Command::Check { rebuild: false })?;
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
