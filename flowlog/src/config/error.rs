//! Why a configuration cannot be used.

use std::path::PathBuf;

/// Why a configuration cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The file cannot be read.
    #[error("cannot read the configuration {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file is not TOML, has an unknown key, or a value of the wrong kind.
    #[error("the configuration {} is not valid: {message}", path.display())]
    Parse {
        /// The file.
        path: PathBuf,
        /// What is wrong and where.
        message: String,
    },
    /// A value makes no sense.
    #[error("{place}{key}: {message}")]
    Value {
        /// The file and its line, or the option, that sets it; empty where nothing does.
        place: String,
        /// The configuration key.
        key: String,
        /// What is wrong with its value and what would be right.
        message: String,
    },
    /// A key is not set that has no default.
    #[error("{key}: {message}")]
    Missing {
        /// The configuration key.
        key: String,
        /// How to set it.
        message: String,
    },
}
