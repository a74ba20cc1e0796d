//! Debian's packages, unpacked beside the build: nothing of them is installed.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, bail};

use super::run_quietly;
use crate::{setup, shell};

/// A kernel and its modules.
pub struct Kernel {
    /// What `uname -r` will say.
    pub release: String,
    /// Where its package is unpacked.
    pub directory: PathBuf,
}

impl Kernel {
    /// The newest kernel of a series that apt knows of.
    pub fn fetch(series: &str) -> anyhow::Result<Self> {
        let mut package = newest(series)?;
        if package.is_none() {
            // Perhaps only because nobody has asked yet.
            setup::update_packages()?;
            package = newest(series)?;
        }
        let package = package.with_context(|| {
            format!(
                "apt has no kernel {series} for clouds (linux-image-{series}.…-cloud-amd64); \
                 Debian 12 has it, with its security updates and backports"
            )
        })?;
        let release = package.trim_start_matches("linux-image-").to_owned();
        let kernel = Self { release, directory: unpack(&package)? };
        if !kernel.modules().join("modules.dep").is_file() {
            run_quietly(
                Command::new("depmod").arg("--basedir").arg(&kernel.directory).arg(&kernel.release),
            )?;
        }
        Ok(kernel)
    }

    /// The image to boot.
    pub fn image(&self) -> PathBuf {
        self.directory.join("boot").join(format!("vmlinuz-{}", self.release))
    }

    /// The directory of its modules.
    pub fn modules(&self) -> PathBuf {
        self.directory.join("lib/modules").join(&self.release)
    }

    /// The files of these modules and of those that they need, in the order in which to load them.
    pub fn module_files(&self, modules: &[&str]) -> anyhow::Result<Vec<PathBuf>> {
        let mut modprobe = Command::new("modprobe");
        modprobe.arg("--dirname").arg(&self.directory).args(["--set-version", &self.release]);
        let said = shell::output(modprobe.args(["--all", "--show-depends"]).args(modules))?;
        let mut files = vec![];
        // The others are built in.
        for file in said.lines().filter_map(|line| line.strip_prefix("insmod ")) {
            let file = PathBuf::from(file.trim());
            if !files.contains(&file) {
                files.push(file);
            }
        }
        Ok(files)
    }
}

/// The name of the newest package with a kernel of a series.
fn newest(series: &str) -> anyhow::Result<Option<String>> {
    let pattern = format!("^linux-image-{}\\.[0-9].*-cloud-amd64$", series.replace('.', "\\."));
    let found =
        shell::output(Command::new("apt-cache").args(["search", "--names-only", &pattern]))?;
    let names = found.lines().filter_map(|line| line.split_whitespace().next());
    Ok(names.max_by_key(|name| numbers(name)).map(ToOwned::to_owned))
}

/// The numbers in a name, by which versions are compared.
fn numbers(name: &str) -> Vec<u32> {
    name.split(|c: char| !c.is_ascii_digit()).filter_map(|digits| digits.parse().ok()).collect()
}

/// Downloads and unpacks a package, unless that was done before.
pub fn unpack(package: &str) -> anyhow::Result<PathBuf> {
    let all = shell::root().join("target/vm");
    let directory = all.join(package);
    if directory.is_dir() {
        return Ok(directory);
    }
    let download = all.join("download");
    empty_directory(&download)?;
    let fetch = || {
        shell::run(
            Command::new("apt-get")
                // Its own user may not write here.
                .args(["download", "--quiet=2", "--option", "APT::Sandbox::User=root", package])
                .current_dir(&download),
        )
    };
    if fetch().is_err() {
        // The list may name a package that has been replaced since.
        setup::update_packages()?;
        fetch()?;
    }
    let Some(archive) = fs::read_dir(&download)?.next().transpose()? else {
        bail!("apt-get download {package}: nothing came of it");
    };
    let unpacked = download.join("unpacked");
    run_quietly(Command::new("dpkg").arg("--extract").arg(archive.path()).arg(&unpacked))?;
    // Only what is whole gets its name.
    fs::rename(&unpacked, &directory)?;
    fs::remove_dir_all(&download)?;
    Ok(directory)
}

/// Makes a directory with nothing in it.
pub fn empty_directory(path: &Path) -> anyhow::Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(error).with_context(|| path.display().to_string());
        }
        _ => {}
    }
    fs::create_dir_all(path).with_context(|| path.display().to_string())
}
