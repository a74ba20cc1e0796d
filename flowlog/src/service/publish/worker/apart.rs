//! Long work on threads of its own: interfaces that appear meanwhile are not to wait for it.

use super::super::{super::windows::Shared, events::Event, fault::Fault};
use crate::spool::HourFile;

pub(super) async fn merge_many(shared: &Shared, file: HourFile) -> Result<HourFile, Fault> {
    let (copy, ending) = (file.clone(), shared.clone());
    let merged = apart("merging", move || copy.merge_many(&|| ending.is_over())).await?;
    match merged {
        Ok(None) => Ok(file),
        Ok(Some(run)) => {
            let mut files = shared.lock();
            files.replace(&run);
            Ok(files.of_lineage(&file.identity.lineage).unwrap_or(file))
        }
        // It only saves work; what cannot be read is found when the file is encoded.
        Err(error) => {
            Event::NotMerged { error: &error }.emit();
            Ok(file)
        }
    }
}

/// Does something on a thread of its own; in the model test, at once.
pub(super) async fn apart<T: Send + 'static>(
    part: &'static str,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Fault> {
    if cfg!(test) {
        return Ok(work());
    }
    tokio::task::spawn_blocking(work).await.map_err(|_| Fault::Panicked(part))
}
