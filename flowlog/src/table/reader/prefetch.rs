//! Files of which each read is dear: what is going to be read is asked for at once.

use std::ops::Range;

use bytes::Bytes;
use parquet::{errors::ParquetError, file::reader::ChunkReader};

use super::{Error, Fault, Reader, bloom};
use crate::table::isolated;

/// A file that can be told what is going to be read of it.
pub trait Prefetch: ChunkReader + 'static {
    /// Reads these parts now, at once where that is quicker, and has them at hand when they are asked for.
    fn prefetch(&self, ranges: &[Range<u64>]) -> Result<(), ParquetError>;
}

/// It is there as a whole.
impl Prefetch for Bytes {
    fn prefetch(&self, _: &[Range<u64>]) -> Result<(), ParquetError> {
        Ok(())
    }
}

impl<R: Prefetch> Reader<R> {
    /// Leaves out the row groups whose bloom filter of a column proves that no row has this text. The rows that are
    /// left are not looked at one by one.
    pub fn having(mut self, name: &str, text: &str) -> Result<Self, Error> {
        let mut groups = self.groups();
        let metadata = self.footer.parquet();
        let prune = || {
            let trace = bloom::Trace::of(text)?;
            let place = |group: &usize| trace.place(metadata.row_group(*group), name);
            self.file.prefetch(&groups.iter().filter_map(place).collect::<Vec<_>>())?;
            let mut kept = vec![];
            for group in groups.drain(..) {
                let may_have = match place(&group) {
                    Some(at) => trace.may_be_in(&self.file.get_bytes(at.start, bloom::BLOCK)?),
                    None => bloom::may_have(&self.file, metadata.row_group(group), name, text)?,
                };
                kept.extend(may_have.then_some(group));
            }
            Ok(kept)
        };
        let kept = isolated::catch(prune).map_err(|_| Fault::Panicked);
        let kept = kept.and_then(|kept| kept.map_err(Fault::Parquet));
        self.groups = Some(kept.map_err(|fault| fault.of(&self.object))?);
        Ok(self)
    }

    /// Reads at once what is selected of the file, and decodes nothing yet: all of it is in memory then.
    pub fn prefetched(self) -> Result<Self, Error> {
        let columns: Vec<&str> = self.columns.iter().map(|column| column.name).collect();
        let ranges =
            self.groups().into_iter().flat_map(|group| self.footer.ranges(group, &columns));
        let fetched = self.file.prefetch(&ranges.collect::<Vec<_>>()).map_err(Fault::Parquet);
        fetched.map_err(|fault| fault.of(&self.object))?;
        Ok(self)
    }
}
