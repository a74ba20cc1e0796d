//! What is put: bytes in memory, or a file on disk.

use std::{fs::File, io, ops::Range, os::unix::fs::FileExt as _, path::PathBuf, sync::Arc};

use bytes::Bytes;
use futures::{Stream, TryStreamExt as _};

use super::Error;

/// Larger uploads go in parts of this size; clouds take 10,000 of them, and no smaller than 5 MiB.
pub(super) const PART_BYTES: u64 = 8 << 20;

/// What is put under a name.
#[derive(Clone, Debug)]
pub struct Upload {
    content: Content,
    size: u64,
}

#[derive(Clone, Debug)]
enum Content {
    Memory(Bytes),
    /// Kept open: the file that was measured is the one that is sent, whatever becomes of its name.
    File {
        path: PathBuf,
        file: Arc<File>,
    },
}

impl From<Bytes> for Upload {
    fn from(bytes: Bytes) -> Self {
        Self { size: bytes.len() as u64, content: Content::Memory(bytes) }
    }
}

impl Upload {
    /// Opens a file that is to be put. It must not change while it is.
    pub fn open(path: impl Into<PathBuf>) -> Result<Self, Error> {
        let path = path.into();
        let opened = File::open(&path).and_then(|file| Ok((file.metadata()?.len(), file)));
        match opened {
            Ok((size, file)) => {
                Ok(Self { content: Content::File { path, file: Arc::new(file) }, size })
            }
            Err(source) => Err(Error::File { path, source }),
        }
    }

    /// Its length in bytes.
    #[must_use]
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// Whether it goes in parts.
    pub(super) const fn is_large(&self) -> bool {
        self.size > PART_BYTES
    }

    /// The ranges of its parts.
    pub(super) fn parts(&self) -> impl Iterator<Item = Range<u64>> {
        let size = self.size;
        (0..size.div_ceil(PART_BYTES))
            .map(move |part| part * PART_BYTES..size.min((part + 1) * PART_BYTES))
    }

    /// All of it.
    pub(super) async fn all(&self) -> Result<Bytes, Error> {
        self.range(0..self.size).await
    }

    /// Some of its bytes.
    pub(super) async fn range(&self, range: Range<u64>) -> Result<Bytes, Error> {
        match &self.content {
            Content::Memory(bytes) => {
                let within =
                    |at: u64| usize::try_from(at).map_or(bytes.len(), |at| at.min(bytes.len()));
                Ok(bytes.slice(within(range.start)..within(range.end)))
            }
            Content::File { path, file } => {
                let file = Arc::clone(file);
                let read = move || {
                    let length =
                        usize::try_from(range.end - range.start).map_err(io::Error::other)?;
                    let mut bytes = vec![0; length];
                    file.read_exact_at(&mut bytes, range.start)?;
                    Ok(bytes.into())
                };
                let read = tokio::task::spawn_blocking(read).await.map_err(io::Error::other);
                read.flatten().map_err(|source| Error::File { path: path.clone(), source })
            }
        }
    }

    /// Whether these are its bytes; `failed` says what it means when they cannot be read.
    pub(super) async fn is_same(
        &self,
        mut bytes: impl Stream<Item = object_store::Result<Bytes>> + Unpin,
        failed: impl Fn(object_store::Error) -> Error,
    ) -> Result<bool, Error> {
        let mut at = 0;
        while let Some(chunk) = bytes.try_next().await.map_err(&failed)? {
            let end = at + chunk.len() as u64;
            if end > self.size || self.range(at..end).await? != chunk {
                return Ok(false);
            }
            at = end;
        }
        Ok(at == self.size)
    }
}
