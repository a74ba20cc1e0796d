//! Reading parts of objects.

use std::ops::Range;

use bytes::Bytes;
use object_store::{
    GetOptions, GetRange, OBJECT_STORE_COALESCE_DEFAULT, ObjectStore as _, coalesce_ranges,
    path::Path,
};

use super::Cloud;
use crate::store::Error;

impl Cloud {
    /// Reads some parts of an object, on condition that it is the one with this tag; those that are near each other
    /// with one request.
    pub(in crate::store) async fn read_ranges(
        &self,
        object: &Path,
        tag: Option<&str>,
        ranges: &[Range<u64>],
    ) -> Result<Vec<Bytes>, Error> {
        let fetch = |range: Range<u64>| async move {
            let range = Some(GetRange::Bounded(range));
            let if_match = tag.map(str::to_owned);
            let options = GetOptions { range, if_match, ..GetOptions::default() };
            self.objects.get_opts(object, options).await?.bytes().await
        };
        let read = coalesce_ranges(ranges, fetch, OBJECT_STORE_COALESCE_DEFAULT).await;
        read.map_err(|source: object_store::Error| Error::Read {
            object: object.clone(),
            source: source.into(),
        })
    }
}
