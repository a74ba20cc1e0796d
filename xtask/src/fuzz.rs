//! The fuzzer, after installing what it needs.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use crate::{setup, shell};

#[derive(clap::Args)]
pub struct Arguments {
    /// What is given any bytes.
    #[arg(long, value_enum, default_value_t = Target::Packet)]
    target: Target,
    /// How long to search.
    #[arg(long, default_value_t = 60)]
    seconds: u32,
    /// Afterwards, keep in fuzz/corpus what reaches more than the inputs that are there.
    #[arg(long)]
    keep: bool,
}

/// A program in `fuzz/fuzz_targets`.
#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Target {
    /// The parser of packets.
    Packet,
    /// The answers of WireGuard in user space.
    Uapi,
    /// Files of leases.
    Lease,
    /// Status files of OpenVPN.
    Status,
    /// The answers of OpenVPN's management socket.
    Management,
    /// The notes of hooks.
    Note,
}

impl Target {
    const fn name(self) -> &'static str {
        match self {
            Self::Packet => "packet",
            Self::Uapi => "uapi",
            Self::Lease => "lease",
            Self::Status => "status",
            Self::Management => "management",
            Self::Note => "note",
        }
    }

    /// Longer inputs reach nothing more.
    const fn longest_input(self) -> u32 {
        match self {
            // Eight extension headers, an IP header and tags fit in.
            Self::Packet => 512,
            // A few lines do.
            _ => 4_096,
        }
    }
}

pub fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let Arguments { target, seconds, keep } = arguments;
    setup::install_fuzzer()?;
    // What is found goes to the first folder, and stays there until the next run.
    let (found, kept) =
        (shell::root().join("target/fuzz-found").join(target.name()), corpus(*target));
    fs::create_dir_all(&found)?;
    fs::create_dir_all(&kept)?;
    shell::run(fuzzer(*target, [&found, &kept]).arg(format!("-max_total_time={seconds}")))?;
    if *keep {
        shell::run(fuzzer(*target, [&kept, &found]).arg("-merge=1"))?;
    }
    Ok(())
}

/// The inputs that are committed; those of packets the tests give to the loaded kernel program too.
fn corpus(target: Target) -> PathBuf {
    shell::root().join("fuzz/corpus").join(target.name())
}

/// The fuzzer, reading its inputs from these folders.
fn fuzzer(target: Target, folders: [&Path; 2]) -> Command {
    let mut cargo = shell::cargo();
    cargo
        // The parsers are safe Rust, in which a sanitiser finds nothing; and it takes a nightly.
        .args(["fuzz", "run", "--sanitizer", "none", "--target-dir", "target/fuzz", target.name()])
        .args(folders)
        .args([
            "--",
            &format!("-max_len={}", target.longest_input()),
            "-verbosity=0",
            "-print_final_stats=1",
        ]);
    cargo
}
