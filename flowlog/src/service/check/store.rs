//! Whether the store takes files, as far as that shows without writing any.

use std::{path::Path, time::Duration};

use nix::{
    sys::statvfs::statvfs,
    unistd::{AccessFlags, Uid, eaccess},
};

use super::Finding;
use crate::{
    record::location::Location,
    store::{self, Store},
    table,
    telemetry::with_causes,
};

/// How long a store may take to answer.
const PATIENCE: Duration = Duration::from_secs(20);
/// Less room than a file needs.
const MIB: u64 = 1 << 20;
const LOCAL_REMEDY: &str = "make the directory writable and free some space, or name another store";

/// Looks at the store; with `probe` by writing, else without.
pub(super) async fn finding(location: &Location, gateway: &str, probe: bool) -> Finding {
    let url = location.in_clear();
    let looking = async {
        if probe {
            return match probed(url, gateway).await {
                Ok(()) => Finding::sound("store", format!("{location} takes files")),
                Err(error) => failed(&error),
            };
        }
        match local(url) {
            // Its disk may hang.
            Some(directory) => tokio::task::spawn_blocking(move || look(&directory))
                .await
                .unwrap_or_else(|error| failed_to_look(location, &error)),
            None => match reached(url, gateway).await {
                Ok(()) => Finding::sound("store", format!("{location} answers; {TRY}")),
                Err(error) => failed(&error),
            },
        }
    };
    tokio::time::timeout(PATIENCE, looking).await.unwrap_or_else(|_| {
        let detail = format!("{location} did not answer within {PATIENCE:?}");
        Finding::failed("store", detail, "check whether the disk or the network of the store hangs")
    })
}

/// What the look leaves open.
const TRY: &str = "--probe tests whether it takes files";

async fn probed(url: &str, gateway: &str) -> Result<(), store::Error> {
    Store::create(url)?.probe(gateway).await
}

async fn reached(url: &str, gateway: &str) -> Result<(), store::Error> {
    Store::open(url)?.examine(gateway, &table::folders()).await
}

fn failed(error: &store::Error) -> Finding {
    let remedy = error.remedy().unwrap_or(
        "make the directory writable and free some space, or correct the URL and its credentials",
    );
    Finding::failed("store", with_causes(error), remedy)
}

fn failed_to_look(store: &dyn std::fmt::Display, error: &dyn std::fmt::Display) -> Finding {
    Finding::failed("store", format!("{store}: {error}"), LOCAL_REMEDY)
}

/// The directory, where the store is one.
fn local(store: &str) -> Option<std::path::PathBuf> {
    if !store.contains("://") {
        return Some(store.into());
    }
    url::Url::parse(store).ok().filter(|url| url.scheme() == "file")?.to_file_path().ok()
}

fn look(directory: &Path) -> Finding {
    let name = directory.display();
    let wrong = |what: &dyn std::fmt::Display| failed_to_look(&name, what);
    let absolute = match std::path::absolute(directory) {
        Ok(absolute) => absolute,
        Err(error) => return wrong(&error),
    };
    let there = absolute.ancestors().find(|path| path.symlink_metadata().is_ok());
    let there = there.unwrap_or(Path::new("/"));
    let exists = there == absolute;
    let looked = || -> std::io::Result<(u32, u64)> {
        std::fs::read_dir(there)?;
        eaccess(there, AccessFlags::W_OK | AccessFlags::X_OK)?;
        let disk = statvfs(there)?;
        let free = disk.blocks_available().saturating_mul(disk.fragment_size());
        Ok((std::os::unix::fs::MetadataExt::uid(&std::fs::metadata(there)?), free))
    };
    match looked() {
        Err(error) => wrong(&error),
        Ok((_, free)) if free < MIB => wrong(&"no space is left on its disk"),
        Ok((owner, _)) if exists && owner != Uid::effective().as_raw() => wrong(&format!(
            "it belongs to the user {owner}, who can replace its files; give it to the user that runs flowlog"
        )),
        Ok((_, free)) => {
            let is_new = if exists { "" } else { " is made at the start" };
            let free = free / MIB;
            Finding::sound("store", format!("{name}{is_new}: {free} MiB free on its disk; {TRY}"))
        }
    }
}
