//! Where a command looks: named by an option, or by the configuration file of the daemon.

use std::path::PathBuf;

use clap::Args;
use flowlog::config::{File, Flags, StoreSettings};

use super::Failure;

/// The configuration file of the daemon, for what its options do not say.
#[derive(Args)]
#[group(skip)]
pub struct ConfigFile {
    /// Configuration file of the daemon (TOML); an option overrides its key.
    #[arg(long, short, value_name = "FILE")]
    config: Option<PathBuf>,
}

impl ConfigFile {
    /// What it says; nothing where there is none.
    pub fn read(&self) -> Result<File, Failure> {
        let file = self.config.as_deref().map(File::read).transpose();
        Ok(file.map_err(Failure::usage)?.unwrap_or_default())
    }
}

/// The store that a command is about.
#[derive(Args)]
#[group(skip)]
pub struct StoreArguments {
    /// The store: a directory or a URL [default: from the configuration file, else
    /// /var/lib/flowlog/store].
    #[arg(long, short, value_name = "URL")]
    store: Option<String>,
    #[command(flatten)]
    file: ConfigFile,
}

impl StoreArguments {
    /// The store.
    pub fn read(&self) -> Result<String, Failure> {
        let StoreSettings { store, .. } = self.file.read()?.settings().map_err(Failure::usage)?;
        Ok(self.store.clone().unwrap_or_else(|| store.in_clear().to_owned()))
    }

    /// The configuration file.
    pub fn file(&self) -> Result<File, Failure> {
        self.file.read()
    }
}

/// What `flowlog run` is configured by.
#[derive(Args)]
#[group(skip)]
pub struct FileAndFlags {
    #[command(flatten)]
    flags: Flags,
    /// Configuration file (TOML); an option overrides its key.
    #[arg(long, short, value_name = "FILE")]
    config: Option<PathBuf>,
}

impl FileAndFlags {
    /// What the file and the options set together.
    pub fn read(&self) -> Result<File, Failure> {
        let file = self.config.as_deref().map(File::read).transpose();
        let mut file = file.map_err(Failure::usage)?.unwrap_or_default();
        self.flags.apply(&mut file);
        Ok(file)
    }
}

/// The host's name, which the gateway has where no other is set.
pub fn hostname() -> String {
    let name = nix::unistd::gethostname().ok().and_then(|name| name.into_string().ok());
    name.unwrap_or_default()
}
