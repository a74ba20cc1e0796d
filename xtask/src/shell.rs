//! Running other programs.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, bail};

/// The root of the workspace.
pub fn root() -> PathBuf {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    manifest.parent().unwrap_or(manifest).to_owned()
}

/// The cargo that runs this program.
pub fn cargo() -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root());
    command
}

/// Builds the `flowlog` binary, and returns where it is: beside this program.
pub fn build_flowlog() -> anyhow::Result<PathBuf> {
    run(cargo().args(["build", "--locked", "--workspace", "--bin", "flowlog"]))?;
    Ok(std::env::current_exe()?.with_file_name("flowlog"))
}

/// The package and the features of a `flowlog` that counts and has no store of a cloud.
pub const GATEWAY: [&str; 5] =
    ["--package", "flowlog", "--no-default-features", "--features", "capture"];

/// Builds the same without the stores of clouds, which is quicker.
pub fn build_gateway() -> anyhow::Result<PathBuf> {
    run(cargo().args(["build", "--locked", "--bin", "flowlog"]).args(GATEWAY))?;
    Ok(std::env::current_exe()?.with_file_name("flowlog"))
}

/// Shows a command, runs it, and fails when it does.
pub fn run(command: &mut Command) -> anyhow::Result<()> {
    eprintln!("+ {}", shown(command));
    let status = command.status().with_context(|| format!("cannot start {}", shown(command)))?;
    if !status.success() {
        bail!("{status}: {}", shown(command));
    }
    Ok(())
}

/// What a command prints, trimmed.
pub fn output(command: &mut Command) -> anyhow::Result<String> {
    let output = command.output().with_context(|| format!("cannot start {}", shown(command)))?;
    if !output.status.success() {
        bail!("{}: {}", output.status, shown(command));
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// Where a program is found on the search path.
pub fn which(program: &str) -> Option<PathBuf> {
    std::env::split_paths(&std::env::var_os("PATH")?)
        .map(|directory| directory.join(program))
        .find(|candidate| candidate.is_file())
}

/// A text as one word of a shell script.
pub fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "'\\''"))
}

fn shown(command: &Command) -> String {
    std::iter::once(command.get_program())
        .chain(command.get_args())
        .map(|word| word.to_string_lossy())
        .collect::<Vec<_>>()
        .join(" ")
}
