//! A store in memory that fails, is away, and is set back.

use std::{
    cell::RefCell,
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard},
};

use bytes::Bytes;
use futures::{
    FutureExt as _, StreamExt as _, TryStreamExt as _,
    stream::{self, BoxStream},
};
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta,
    ObjectStore, ObjectStoreExt as _, PutMultipartOptions, PutOptions, PutPayload, PutResult,
    Result,
    list::{PaginatedListOptions, PaginatedListResult, PaginatedListStore},
    memory::InMemory,
    path::Path,
};

use crate::{
    spool::model::disk::ModelDisk,
    store::{self, Store},
};

thread_local! {
    /// The stores that there are, by URL.
    static STORES: RefCell<BTreeMap<String, ModelStore>> = RefCell::default();
}

/// What a request meets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// It does not come to the store.
    Before,
    /// It is done, and the answer does not come back.
    After,
    /// It is not done, and the answer is that it was.
    Lie,
}

#[derive(Debug, Default)]
struct Controls {
    requests: u64,
    trouble: Option<(u64, Trouble)>,
    is_away: bool,
}

#[derive(Clone, Debug)]
pub(crate) struct ModelStore {
    objects: Arc<InMemory>,
    /// Which process may still do anything.
    disk: ModelDisk,
    controls: Arc<Mutex<Controls>>,
}

impl fmt::Display for ModelStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a model")
    }
}

/// Makes a store, which [`open`] finds.
pub(crate) fn make(url: &str, disk: &ModelDisk) -> ModelStore {
    let store =
        ModelStore { objects: Arc::default(), disk: disk.clone(), controls: Arc::default() };
    STORES.with_borrow_mut(|stores| stores.insert(url.to_owned(), store.clone()));
    store
}

#[expect(clippy::unnecessary_wraps, reason = "as stores are opened")]
pub(crate) fn open(url: &str) -> std::result::Result<Store, store::Error> {
    let objects = STORES.with_borrow(|stores| stores[url].clone());
    Ok(Store::of(Arc::new(objects), url.parse().unwrap()))
}

impl ModelStore {
    fn controls(&self) -> MutexGuard<'_, Controls> {
        self.controls.lock().unwrap()
    }

    pub(crate) fn set_away(&self, is_away: bool) {
        self.controls().is_away = is_away;
    }

    pub(crate) fn set_trouble(&self, after: u64, trouble: Trouble) {
        let mut controls = self.controls();
        controls.trouble = Some((controls.requests + after + 1, trouble));
    }

    /// How many requests there were.
    pub(crate) fn requests(&self) -> u64 {
        self.controls().requests
    }

    pub(crate) fn be_sound(&self) {
        let mut controls = self.controls();
        (controls.trouble, controls.is_away) = (None, false);
    }

    fn request(&self) -> Result<Option<Trouble>> {
        let mut controls = self.controls();
        controls.requests += 1;
        if self.disk.is_dead() || controls.is_away {
            return Err(away());
        }
        match controls.trouble {
            Some((at, trouble)) if controls.requests >= at => {
                controls.trouble = None;
                if trouble == Trouble::Before { Err(away()) } else { Ok(Some(trouble)) }
            }
            _ => Ok(None),
        }
    }

    /// Every object.
    pub(crate) fn all(&self) -> BTreeMap<Path, Bytes> {
        let list = self.objects.list(None).collect::<Vec<_>>().now_or_never().unwrap();
        let read = |meta: ObjectMeta| {
            let got = self.objects.get(&meta.location).now_or_never().unwrap().unwrap();
            (meta.location, got.bytes().now_or_never().unwrap().unwrap())
        };
        list.into_iter().map(|meta| read(meta.unwrap())).collect()
    }

    /// Sets it back to an earlier state.
    pub(crate) fn restore(&self, before: &BTreeMap<Path, Bytes>) {
        for path in self.all().into_keys().filter(|path| !before.contains_key(path)) {
            self.remove(&path);
        }
        for (path, bytes) in before {
            let put = self.objects.put(path, PutPayload::from(bytes.clone()));
            put.now_or_never().unwrap().unwrap();
        }
    }

    pub(crate) fn put(&self, path: &Path, bytes: Bytes) {
        self.objects.put(path, PutPayload::from(bytes)).now_or_never().unwrap().unwrap();
    }

    pub(crate) fn remove(&self, path: &Path) {
        self.objects.delete(path).now_or_never().unwrap().unwrap();
    }
}

fn away() -> Error {
    Error::Generic { store: "model", source: "it is away".into() }
}

#[async_trait::async_trait]
impl PaginatedListStore for ModelStore {
    async fn list_paginated(
        &self,
        prefix: Option<&str>,
        _options: PaginatedListOptions,
    ) -> Result<PaginatedListResult> {
        self.request()?;
        let prefix = prefix.map(|prefix| Path::from(prefix.trim_end_matches('/')));
        let list = self.objects.list(prefix.as_ref()).try_collect().await?;
        let result = ListResult {
            objects: list,
            common_prefixes: vec![],
            extensions: object_store::Extensions::default(),
        };
        Ok(PaginatedListResult { result, page_token: None })
    }
}

#[async_trait::async_trait]
impl ObjectStore for ModelStore {
    async fn put_opts(
        &self,
        location: &Path,
        payload: PutPayload,
        options: PutOptions,
    ) -> Result<PutResult> {
        let trouble = self.request()?;
        let before = self.all().remove(location);
        let put = self.objects.put_opts(location, payload, options).await?;
        match trouble {
            Some(Trouble::Lie) => {
                match before {
                    Some(before) => drop(self.objects.put(location, before.into()).await?),
                    None => self.objects.delete(location).await?,
                }
                Ok(put)
            }
            Some(_) => Err(away()),
            None => Ok(put),
        }
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.request()?;
        self.objects.put_multipart_opts(location, options).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.request()?;
        self.objects.get_opts(location, options).await
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        match self.request() {
            Ok(_) => self.objects.delete_stream(locations),
            Err(error) => stream::once(async { Err(error) }).boxed(),
        }
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        match self.request() {
            Ok(_) => self.objects.list(prefix),
            Err(error) => stream::once(async { Err(error) }).boxed(),
        }
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.request()?;
        self.objects.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.request()?;
        self.objects.copy_opts(from, to, options).await
    }
}
