//! Putting files: each name once, and each file whole.

use bytes::Bytes;
use object_store::path::Path;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::{
    Backend, Error, Store,
    line::unexpected,
    own,
    request::{Request, Response},
};

/// What became of a new object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[must_use]
pub enum Created {
    /// It was put.
    New,
    /// The same bytes were there already: the put that wrote them was reported as failed.
    Again,
    /// Something else has that name, and still does.
    Taken,
}

impl Store {
    /// Writes, reads and deletes a small object, to see whether that can be done, and whether the
    /// store refuses to overwrite when it is told to.
    pub async fn probe(&self, gateway: &str) -> Result<(), Error> {
        let object = probe_of(gateway)?;
        let written = Bytes::from_static(b"flowlog");
        let overwritten = Bytes::from_static(b"overwritten");
        self.overwrite(&object, &written).await?;
        // Twice, as another one who probes may have deleted it meanwhile.
        let is_conditional = self.create_object(&object, &overwritten).await? == Created::Taken
            || self.create_object(&object, &written).await? == Created::Taken;
        self.delete(&object).await?;
        if is_conditional { Ok(()) } else { Err(Error::Unconditional) }
    }

    /// Finds out whether the store can be listed, and whether it puts on conditions, without
    /// putting anything: the folders of these tables are listed, and it is asked for a put that a store
    /// that does has to refuse.
    pub async fn examine(&self, gateway: &str, tables: &[&str]) -> Result<(), Error> {
        let object = probe_of(gateway)?;
        self.gateways(tables).await?;
        match &self.backend {
            Backend::Cloud(cloud) => cloud.refuse(&object).await,
            Backend::Directory(_) => Ok(()),
        }
    }

    /// Puts a new object, and never replaces one.
    pub async fn create_object(&self, object: &Path, file: &Bytes) -> Result<Created, Error> {
        match &self.backend {
            Backend::Cloud(cloud) => cloud.create(object, file).await,
            Backend::Directory(line) => {
                let request = Request::Create { object: object.to_string() };
                match line.ask(request, file.clone()).await? {
                    (Response::Created(created), _) => Ok(created),
                    (other, _) => Err(unexpected(&other)),
                }
            }
        }
    }

    /// Puts an object of our own, in the place of the one that was there, if one was. Readers see
    /// the old or the new one, whole.
    ///
    /// A put that was given up but is still under way somewhere cannot undo a later one: clouds
    /// replace on condition that the object is the one that was there just now, and a directory does
    /// one thing after the other.
    pub async fn replace(&self, object: &Path, file: &Bytes) -> Result<(), Error> {
        match &self.backend {
            Backend::Cloud(cloud) => cloud.replace(object, file).await,
            Backend::Directory(_) => self.overwrite(object, file).await,
        }
    }

    async fn overwrite(&self, object: &Path, file: &Bytes) -> Result<(), Error> {
        match &self.backend {
            Backend::Cloud(cloud) => cloud.overwrite(object, file).await,
            Backend::Directory(line) => {
                let request = Request::Replace { object: object.to_string() };
                match line.ask(request, file.clone()).await? {
                    (Response::Done, _) => Ok(()),
                    (other, _) => Err(unexpected(&other)),
                }
            }
        }
    }

    /// Whether the store has an object as it was put: by its size, or `thorough`ly by each byte.
    pub async fn confirm(&self, object: &Path, file: &Bytes, thorough: bool) -> Result<(), Error> {
        let found = match &self.backend {
            Backend::Cloud(cloud) => cloud.compare(object, file, thorough).await?,
            Backend::Directory(line) => {
                let request = Request::Compare {
                    object: object.to_string(),
                    size: file.len() as u64,
                    sha256: thorough.then(|| Sha256::digest(file).into()),
                };
                match line.ask(request, Bytes::new()).await? {
                    (Response::Compared(found), _) => found,
                    (other, _) => return Err(unexpected(&other)),
                }
            }
        };
        match found {
            None => Ok(()),
            Some(found) => Err(Error::Unconfirmed { object: object.clone(), found }),
        }
    }
}

/// The object that a gateway tries a store with.
fn probe_of(gateway: &str) -> Result<Path, Error> {
    let gateway = super::parse_gateway(gateway)?;
    Ok(Path::from(format!("{}probe-{gateway}", own::OWN_PREFIX)))
}
