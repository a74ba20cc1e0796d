//! Where a command looks: named by an option, or by the configuration file of the daemon.

use std::path::PathBuf;

use clap::Args;
use flowlog::config::{DEFAULT_STORE, File};

use super::Failure;

/// The configuration file of the daemon, for what its options do not say.
#[derive(Args)]
#[group(skip)]
pub struct ConfigFile {
    /// Configuration file of the daemon (TOML), for what the options do not say.
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
    /// The store: a directory or a URL [default: that of the file, else /var/lib/flowlog/store].
    #[arg(long, short, value_name = "URL")]
    store: Option<String>,
    #[command(flatten)]
    file: ConfigFile,
}

impl StoreArguments {
    /// The store, and the file that was read for it.
    pub fn read(&self) -> Result<(String, File), Failure> {
        let file = self.file.read()?;
        let store = self.store.as_ref().or(file.store.as_ref());
        Ok((store.map_or(DEFAULT_STORE, |store| store).to_owned(), file))
    }
}
