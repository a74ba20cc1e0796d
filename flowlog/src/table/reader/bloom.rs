//! Row groups whose bloom filter proves that a text is not in them.
//!
//! Of a filter, one block of 32 bytes decides about a text, so that the rest is not read.

use std::ops::Range;

use parquet::{
    bloom_filter::Sbbf,
    errors::ParquetError,
    file::{metadata::RowGroupMetaData, reader::ChunkReader},
};

use super::prune;

/// Bytes of a block.
pub(super) const BLOCK: usize = 32;
/// Blocks of the largest filter that this is done for: that of more addresses than a row group has.
const MOST_BLOCKS: usize = 1 << 12;
/// The header of a filter is shorter.
const MOST_HEADER: u64 = 64;

/// What a text leaves in a filter.
pub(super) struct Trace {
    /// Its block among [`MOST_BLOCKS`]; half as many blocks have it at half the place.
    block: usize,
    bits: [u8; BLOCK],
}

impl Trace {
    pub(super) fn of(text: &str) -> Result<Self, ParquetError> {
        let mut filter = Sbbf::new_with_num_of_bytes(MOST_BLOCKS * BLOCK);
        filter.insert(text);
        let mut bytes = Vec::with_capacity(MOST_BLOCKS * BLOCK);
        filter.write_bitset(&mut bytes)?;
        let (blocks, _) = bytes.as_chunks::<BLOCK>();
        let found = blocks.iter().enumerate().find(|(_, bits)| **bits != [0; BLOCK]);
        let (block, bits) = found.map_or((0, [0; BLOCK]), |(block, bits)| (block, *bits));
        Ok(Self { block, bits })
    }

    /// Where the block of this text is in the filter of a row group; `None` where there is no filter, or one that
    /// has to be read whole.
    pub(super) fn place(&self, group: &RowGroupMetaData, column: &str) -> Option<Range<u64>> {
        let column = group.column(prune::place(group, column)?);
        let start = u64::try_from(column.bloom_filter_offset()?).ok()?;
        let length = u64::try_from(column.bloom_filter_length()?).ok()?;
        // A header, and a power of two.
        let bits = 1_u64.checked_shl(length.checked_ilog2()?)?;
        let header = length - bits;
        let blocks = usize::try_from(bits).ok()? / BLOCK;
        if header == 0 || header > MOST_HEADER || blocks == 0 || blocks > MOST_BLOCKS {
            return None;
        }
        let block = self.block / (MOST_BLOCKS / blocks);
        let at = start.checked_add(header)?.checked_add((block * BLOCK) as u64)?;
        Some(at..at + BLOCK as u64)
    }

    /// Whether a block may have the text.
    pub(super) fn may_be_in(&self, block: &[u8]) -> bool {
        block.len() != BLOCK || block.iter().zip(&self.bits).all(|(has, bits)| has & bits == *bits)
    }
}

/// Whether a filter that is read whole may have the text; a row group without one may.
pub(super) fn may_have<R: ChunkReader>(
    file: &R,
    group: &RowGroupMetaData,
    column: &str,
    text: &str,
) -> Result<bool, ParquetError> {
    let Some(place) = prune::place(group, column) else { return Ok(true) };
    let filter = Sbbf::read_from_column_chunk(group.column(place), file)?;
    Ok(filter.is_none_or(|filter| filter.check(text)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_block_decides_as_the_whole_filter_does() {
        for blocks in [1_usize, 2, 64, 1_024, MOST_BLOCKS] {
            let mut filter = Sbbf::new_with_num_of_bytes(blocks * BLOCK);
            for number in 0..blocks * 8 {
                filter.insert(format!("192.0.2.{number}").as_str());
            }
            let mut bytes = vec![];
            filter.write_bitset(&mut bytes).unwrap();
            let mut absent = 0;
            for number in (0..blocks * 16).step_by((blocks / 64).max(1)) {
                let text = format!("192.0.2.{number}");
                let trace = Trace::of(&text).unwrap();
                let at = trace.block / (MOST_BLOCKS / blocks) * BLOCK;
                let may_be = trace.may_be_in(&bytes[at..at + BLOCK]);
                assert_eq!(may_be, filter.check(text.as_str()), "{blocks} {number}");
                absent += usize::from(!may_be);
            }
            assert!(absent > 0, "{blocks}");
        }
    }
}
