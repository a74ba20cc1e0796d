//! Putting files into a cloud: each name once, and each file whole.

use bytes::Bytes;
use futures::{Stream, StreamExt as _, TryStreamExt as _, stream::FuturesUnordered};
use object_store::{
    MultipartUpload, ObjectMeta, ObjectStore as _, ObjectStoreExt as _, PutMode, PutOptions,
    UpdateVersion, UploadPart, path::Path,
};

use super::Cloud;
use crate::{
    store::{Created, Error, Mismatch},
    telemetry::with_causes,
};

/// Larger files go in parts of this size; clouds take 10,000 of them, and no smaller than 5 MiB.
const PART_BYTES: usize = 8 << 20;
/// An `ETag` that no object has.
const NO_ETAG: &str = "\"00000000000000000000000000000000\"";
/// How many parts of a large file are under way at once.
const PARTS_AT_ONCE: usize = 2;

impl Cloud {
    /// Puts a new object, and never replaces one.
    ///
    /// What goes in parts cannot be put on that condition everywhere: its absence is checked
    /// before, so two writers of one name could still collide. A gateway has one writer.
    pub(in crate::store) async fn create(
        &self,
        object: &Path,
        file: &Bytes,
    ) -> Result<Created, Error> {
        let refused = if is_large(file) {
            if self.head(object).await?.is_none() {
                self.put_parts(object, file).await?;
                return Ok(Created::New);
            }
            None
        } else {
            match self.put(object, file, PutMode::Create).await {
                Ok(()) => return Ok(Created::New),
                Err(error) if is_refused(&error) => Some(error),
                Err(error) => return Err(error),
            }
        };
        match self.compare(object, file, true).await? {
            None => Ok(Created::Again),
            // Refused for another reason, such as a conflict with somebody's deletion.
            Some(found @ Mismatch::Nothing) => {
                Err(refused.unwrap_or(Error::Unconfirmed { object: object.clone(), found }))
            }
            Some(_) => Ok(Created::Taken),
        }
    }

    /// Puts an object whatever is there.
    pub(in crate::store) async fn overwrite(
        &self,
        object: &Path,
        file: &Bytes,
    ) -> Result<(), Error> {
        self.put(object, file, PutMode::Overwrite).await
    }

    /// Asks to replace an object that nobody has, which is to be refused.
    pub(in crate::store) async fn refuse(&self, object: &Path) -> Result<(), Error> {
        use object_store::Error::{NotFound, Precondition};

        let nobody_has = UpdateVersion { e_tag: Some(NO_ETAG.to_owned()), version: None };
        let asked = self.put(object, &Bytes::from_static(b"x"), PutMode::Update(nobody_has)).await;
        match asked {
            Ok(()) => {
                self.delete(object).await?;
                Err(Error::Unconditional)
            }
            Err(Error::Put { source, .. })
                if matches!(source.downcast_ref(), Some(Precondition { .. } | NotFound { .. })) =>
            {
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    /// Puts an object in the place of the one that was there, if one was.
    ///
    /// On condition that it is the one that was there just now: a put that was given up but is still
    /// under way somewhere cannot undo a later one.
    pub(in crate::store) async fn replace(&self, object: &Path, file: &Bytes) -> Result<(), Error> {
        if is_large(file) {
            return self.put_parts(object, file).await;
        }
        let mode = match self.head(object).await? {
            Some(ObjectMeta { e_tag, version, .. }) => {
                PutMode::Update(UpdateVersion { e_tag, version })
            }
            None => PutMode::Create,
        };
        match self.put(object, file, mode).await {
            Err(error) if is_refused(&error) => match self.compare(object, file, true).await? {
                None => Ok(()),
                // It changed meanwhile; the next attempt sees to what.
                Some(_) => Err(error),
            },
            done => done,
        }
    }

    /// Reads an object whole.
    pub(in crate::store) async fn read(&self, object: &Path) -> Result<Bytes, Error> {
        let read = |source: object_store::Error| Error::Read {
            object: object.clone(),
            source: source.into(),
        };
        self.objects.get(object).await.map_err(read)?.bytes().await.map_err(read)
    }

    /// Deletes an object; one that is gone already counts as deleted.
    pub(in crate::store) async fn delete(&self, object: &Path) -> Result<(), Error> {
        match self.objects.delete(object).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(source) => Err(Error::Delete { object: object.clone(), source: source.into() }),
        }
    }

    /// What differs between an object and a file; `None` if nothing does.
    pub(in crate::store) async fn compare(
        &self,
        object: &Path,
        file: &Bytes,
        thorough: bool,
    ) -> Result<Option<Mismatch>, Error> {
        let Some(meta) = self.head(object).await? else { return Ok(Some(Mismatch::Nothing)) };
        let should_be = file.len() as u64;
        if meta.size != should_be {
            return Ok(Some(Mismatch::Size { is: meta.size, should_be }));
        }
        if !thorough {
            return Ok(None);
        }
        let failed = |source: object_store::Error| Error::Read {
            object: object.clone(),
            source: source.into(),
        };
        let stored = match self.objects.get(object).await {
            Err(object_store::Error::NotFound { .. }) => return Ok(Some(Mismatch::Nothing)),
            stored => stored.map_err(failed)?.into_stream(),
        };
        Ok((!is_same(file, stored).await.map_err(failed)?).then_some(Mismatch::Bytes))
    }

    async fn head(&self, object: &Path) -> Result<Option<ObjectMeta>, Error> {
        match self.objects.head(object).await {
            Ok(meta) => Ok(Some(meta)),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(source) => Err(Error::Read { object: object.clone(), source: source.into() }),
        }
    }

    async fn put(&self, object: &Path, file: &Bytes, mode: PutMode) -> Result<(), Error> {
        let is_conditional = mode != PutMode::Overwrite;
        let options = PutOptions { mode, ..PutOptions::default() };
        match self.objects.put_opts(object, file.clone().into(), options).await {
            Ok(_) => Ok(()),
            Err(source) if is_conditional && lacks_conditions(&source) => {
                Err(Error::NotConditional { source: source.into() })
            }
            Err(source) => Err(Error::Put { object: object.clone(), source: source.into() }),
        }
    }

    /// Puts a large file. Nobody sees it before it is complete.
    async fn put_parts(&self, object: &Path, file: &Bytes) -> Result<(), Error> {
        let failed = |source: object_store::Error| Error::Put {
            object: object.clone(),
            source: source.into(),
        };
        let mut upload = self.objects.put_multipart(object).await.map_err(failed)?;
        let put = match put_each_part(&mut *upload, file, failed).await {
            Ok(()) => upload.complete().await.map(|_| ()).map_err(failed),
            Err(error) => Err(error),
        };
        if let Err(error) = put {
            // The failure that counts is the first one; this one is often its consequence.
            if let Err(abort) = upload.abort().await {
                tracing::debug!("cannot abort the upload of {object}: {}", with_causes(&abort));
            }
            return Err(error);
        }
        Ok(())
    }
}

async fn put_each_part(
    upload: &mut dyn MultipartUpload,
    file: &Bytes,
    failed: impl Fn(object_store::Error) -> Error,
) -> Result<(), Error> {
    let mut under_way: FuturesUnordered<UploadPart> = FuturesUnordered::new();
    for start in (0..file.len()).step_by(PART_BYTES) {
        if under_way.len() == PARTS_AT_ONCE
            && let Some(done) = under_way.next().await
        {
            done.map_err(&failed)?;
        }
        let part = file.slice(start..file.len().min(start + PART_BYTES));
        under_way.push(upload.put_part(part.into()));
    }
    while let Some(done) = under_way.next().await {
        done.map_err(&failed)?;
    }
    Ok(())
}

/// Whether a file goes in parts.
const fn is_large(file: &Bytes) -> bool {
    file.len() > PART_BYTES
}

/// Whether what is stored is this file.
async fn is_same(
    file: &Bytes,
    mut stored: impl Stream<Item = object_store::Result<Bytes>> + Unpin,
) -> object_store::Result<bool> {
    let mut left = &file[..];
    while let Some(chunk) = stored.try_next().await? {
        let Some(rest) = left.strip_prefix(&chunk[..]) else { return Ok(false) };
        left = rest;
    }
    Ok(left.is_empty())
}

/// Whether a put was refused since its condition does not hold.
fn is_refused(error: &Error) -> bool {
    use object_store::Error::{AlreadyExists, Precondition};

    let Error::Put { source, .. } = error else { return false };
    matches!(source.downcast_ref(), Some(AlreadyExists { .. } | Precondition { .. }))
}

/// Whether a server refused a put for it cannot put on conditions.
fn lacks_conditions(error: &object_store::Error) -> bool {
    use object_store::Error::{NotImplemented, NotSupported};

    let text = error.to_string();
    matches!(error, NotImplemented { .. } | NotSupported { .. })
        || text.contains("status code: 501")
        || text.contains("<Code>NotImplemented</Code>")
}
