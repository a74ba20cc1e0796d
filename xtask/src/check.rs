//! Formatting, lints, documentation and generated files.

use crate::{ebpf, shell};

pub fn run() -> anyhow::Result<()> {
    ebpf::run(&ebpf::Command::Check { rebuild: false })?;
    shell::run(shell::cargo().args(["fmt", "--all", "--check"]))?;
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
    shell::run(shell::cargo().args([
        "test",
        "--quiet",
        "--locked",
        "--package",
        "flowlog",
        "generated",
    ]))
}

/// Rewrites the generated files.
pub fn generate() -> anyhow::Result<()> {
    shell::run(shell::cargo().env("FLOWLOG_GENERATE", "1").args([
        "test",
        "--quiet",
        "--package",
        "flowlog",
        "generated",
    ]))
}
