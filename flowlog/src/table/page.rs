//! Pages with their checksums: Parquet's own writer leaves them out.
//!
//! The header of a page is a struct of Thrift's compact protocol, as `parquet.thrift` of the format
//! describes it; its field `crc` is the CRC-32 of all bytes of the page behind the header.

use parquet::{
    basic::{Encoding, PageType},
    column::page::{CompressedPage, Page, PageWriteSpec, PageWriter},
    errors::ParquetError,
};

/// The pages of a column chunk, one behind the other.
pub(super) struct Pages<'a>(pub(super) &'a mut Vec<u8>);

impl PageWriter for Pages<'_> {
    fn write_page(&mut self, page: CompressedPage) -> Result<PageWriteSpec, ParquetError> {
        let offset = self.0.len();
        put_header(&page, self.0)?;
        let header = self.0.len() - offset;
        self.0.extend_from_slice(page.data());
        let mut spec = PageWriteSpec::new();
        spec.page_type = page.page_type();
        spec.uncompressed_size = header + page.uncompressed_size();
        spec.compressed_size = header + page.compressed_size();
        spec.num_values = page.num_values();
        spec.offset = offset as u64;
        spec.bytes_written = spec.compressed_size as u64;
        Ok(spec)
    }

    fn close(&mut self) -> Result<(), ParquetError> {
        Ok(())
    }
}

fn put_header(page: &CompressedPage, to: &mut Vec<u8>) -> Result<(), ParquetError> {
    let mut header = Struct { to, last: 0 };
    header.number(1, page.page_type() as i32);
    header.number(2, size(page.uncompressed_size())?);
    header.number(3, size(page.compressed_size())?);
    header.number(4, crc32fast::hash(page.data()).cast_signed());
    let values = size(page.num_values() as usize)?;
    match page.compressed_page() {
        Page::DataPage { encoding, def_level_encoding, rep_level_encoding, .. } => {
            let mut data = header.begin(5);
            data.number(1, values);
            data.number(2, number_of(*encoding)?);
            data.number(3, number_of(*def_level_encoding)?);
            data.number(4, number_of(*rep_level_encoding)?);
            data.finish();
        }
        Page::DictionaryPage { encoding, is_sorted, .. } => {
            let mut dictionary = header.begin(7);
            dictionary.number(1, values);
            dictionary.number(2, number_of(*encoding)?);
            dictionary.flag(3, *is_sorted);
            dictionary.finish();
        }
        Page::DataPageV2 { .. } => return Err(unknown(PageType::DATA_PAGE_V2)),
    }
    header.finish();
    Ok(())
}

/// A struct that is being written; its fields come in the order of their numbers.
struct Struct<'a> {
    to: &'a mut Vec<u8>,
    last: u8,
}

const TRUE: u8 = 1;
const FALSE: u8 = 2;
const I32: u8 = 5;
const STRUCT: u8 = 12;
const STOP: u8 = 0;

impl Struct<'_> {
    fn field(&mut self, number: u8, kind: u8) {
        self.to.push((number - self.last) << 4 | kind);
        self.last = number;
    }

    fn number(&mut self, field: u8, value: i32) {
        self.field(field, I32);
        let mut left = ((value << 1) ^ (value >> 31)).cast_unsigned();
        while left >= 0x80 {
            self.to.push(left.to_le_bytes()[0] | 0x80);
            left >>= 7;
        }
        self.to.push(left.to_le_bytes()[0]);
    }

    fn flag(&mut self, field: u8, value: bool) {
        self.field(field, if value { TRUE } else { FALSE });
    }

    fn begin(&mut self, field: u8) -> Struct<'_> {
        self.field(field, STRUCT);
        Struct { to: self.to, last: 0 }
    }

    fn finish(self) {
        self.to.push(STOP);
    }
}

/// The number of an encoding in the format.
fn number_of(encoding: Encoding) -> Result<i32, ParquetError> {
    Ok(match encoding {
        Encoding::PLAIN => 0,
        Encoding::RLE => 3,
        Encoding::DELTA_BINARY_PACKED => 5,
        Encoding::DELTA_LENGTH_BYTE_ARRAY => 6,
        Encoding::DELTA_BYTE_ARRAY => 7,
        Encoding::RLE_DICTIONARY => 8,
        Encoding::BYTE_STREAM_SPLIT => 9,
        other => return Err(unknown(other)),
    })
}

fn size(bytes: usize) -> Result<i32, ParquetError> {
    i32::try_from(bytes).map_err(|source| ParquetError::External(source.into()))
}

fn unknown(part: impl std::fmt::Debug) -> ParquetError {
    ParquetError::General(format!("pages with {part:?} are not written"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_is_the_struct_that_the_format_describes() {
        let page = Page::DictionaryPage {
            buf: bytes::Bytes::from_static(b"123456789"),
            num_values: 300,
            encoding: Encoding::PLAIN,
            is_sorted: false,
        };
        let mut bytes = vec![];
        let spec = Pages(&mut bytes).write_page(CompressedPage::new(page, 200)).unwrap();
        // Zigzag numbers: 2, 200, 9, the CRC 0xCBF43926 of these nine digits, 300, 0.
        let header = [
            0x15, 4, 0x15, 0x90, 3, 0x15, 18, 0x15, 0xb3, 0x9b, 0x2f, 0xa6, 0xb7, 0x86, 6, 0x3c,
            0x15, 0xd8, 4, 0x15, 0, 0x12, 0, 0,
        ];
        let crc = 0xCBF4_3926_u32.cast_signed();
        let mut varint = vec![];
        Struct { to: &mut varint, last: 0 }.number(1, crc);
        assert_eq!(bytes.len(), spec.compressed_size);
        assert!(bytes.ends_with(b"123456789"));
        assert_eq!(bytes[..7], header[..7]);
        assert_eq!(bytes[7..7 + varint.len()], varint);
        assert_eq!(bytes[7 + varint.len()..bytes.len() - 9], header[15..]);
    }
}
