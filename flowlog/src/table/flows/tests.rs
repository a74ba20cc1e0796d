use std::{io, net::Ipv6Addr};

use arrow::{
    array::{ArrayRef, AsArray as _, RecordBatch},
    datatypes::{Int64Type, TimestampMillisecondType},
    util::display::array_value_to_string,
};
use bytes::Bytes;
use parquet::{
    arrow::arrow_reader::ParquetRecordBatchReaderBuilder,
    file::{
        metadata::ParquetMetaData,
        reader::{FileReader as _, SerializedFileReader},
    },
};

use super::*;
use crate::record::order;

const IDLE: Activity = Activity {
    start_ms: 0,
    end_ms: 0,
    packets_up: 0,
    bytes_up: 0,
    packets_down: 0,
    bytes_down: 0,
    tcp_flags_up: 0,
    tcp_flags_down: 0,
    partial: 0,
    initiator: Direction::Up,
};

/// A row of each kind.
fn kinds() -> [FlowRecord<'static>; 4] {
    let tcp = FlowRecord {
        interface: "wg0",
        member: [10, 0, 0, 7].into(),
        remote: Some([192, 0, 2, 1].into()),
        member_port: 40_000,
        remote_port: 443,
        protocol: 6,
        activity: Activity {
            start_ms: 1_767_225_600_000,
            end_ms: 1_767_225_600_999,
            packets_up: 1,
            bytes_up: u64::MAX,
            packets_down: 2,
            bytes_down: 3,
            tcp_flags_up: 0x1b,
            tcp_flags_down: 0x12,
            partial: 0,
            initiator: Direction::Down,
        },
    };
    let echo = FlowRecord {
        interface: "wg1",
        member: "2001:db8::7".parse::<Ipv6Addr>().unwrap().into(),
        remote: Some("2001:db8::1".parse::<Ipv6Addr>().unwrap().into()),
        member_port: 0x8001,
        remote_port: 0x8001,
        protocol: 58,
        activity: IDLE,
    };
    let overflow = FlowRecord {
        remote: None,
        member_port: 0,
        remote_port: 0,
        activity: Activity { partial: partial::OVERFLOW, ..tcp.activity },
        ..tcp
    };
    let attributed = FlowRecord { remote: None, remote_port: 0, protocol: 17, ..tcp };
    [tcp, echo, overflow, attributed]
}

/// Rows of many members, so many that a small row group holds few of them.
fn many(count: u16) -> Vec<FlowRecord<'static>> {
    let [tcp, ..] = kinds();
    let member = |row: u16| [[10, 0], row.to_be_bytes()].concat();
    let row = |row: u16| FlowRecord {
        member: <[u8; 4]>::try_from(member(row / 16)).unwrap().into(),
        remote: Some([[198, 51], row.wrapping_mul(40_503).to_be_bytes()].concat())
            .map(|remote| <[u8; 4]>::try_from(remote).unwrap().into()),
        ..tcp
    };
    let mut rows: Vec<_> = (0..count).map(row).collect();
    order::sorted(&mut rows).copied().collect::<Vec<_>>()
}

fn encoded(rows: &[FlowRecord<'_>], layout: &Layout) -> Bytes {
    let mut file = FlowsWriter::with_layout(vec![], layout).unwrap();
    for row in rows {
        file.push(row).unwrap();
    }
    assert_eq!(file.rows(), rows.len() as u64);
    file.finish(vec![KeyValue::new("key".to_owned(), "value".to_owned())]).unwrap().into()
}

fn batches(file: Bytes) -> Vec<RecordBatch> {
    let reader = ParquetRecordBatchReaderBuilder::try_new(file).unwrap();
    assert_eq!(reader.schema().fields(), FLOWS.schema().fields());
    reader.build().unwrap().map(Result::unwrap).collect()
}

/// Every value as text, a line for each row.
fn lines(file: Bytes) -> Vec<String> {
    let mut lines = vec![];
    for batch in batches(file) {
        for row in 0..batch.num_rows() {
            let cell = |column: &ArrayRef| {
                // Texts of times need a table of time zones.
                let column = match column.as_primitive_opt::<TimestampMillisecondType>() {
                    Some(times) => &(Arc::new(times.reinterpret_cast::<Int64Type>()) as ArrayRef),
                    None => column,
                };
                array_value_to_string(column, row).unwrap()
            };
            lines.push(batch.columns().iter().map(cell).collect::<Vec<_>>().join(" "));
        }
    }
    lines
}

fn metadata_of(file: &Bytes) -> ParquetMetaData {
    SerializedFileReader::new(file.clone()).unwrap().metadata().clone()
}

#[test]
fn what_is_read_is_what_was_written() {
    let time = "1767225600000 1767225600999";
    let counts = "1 18446744073709551615 2 3";
    assert_eq!(
        lines(encoded(&kinds(), &Layout::default())),
        [
            format!("wg0 {time} 10.0.0.7 192.0.2.1 40000 443 6   {counts} 27 18 remote "),
            "wg1 0 0 2001:db8::7 2001:db8::1   58 128 1 0 0 0 0   member ".to_owned(),
            format!("wg0 {time} 10.0.0.7    6   {counts} 27 18 remote overflow"),
            format!("wg0 {time} 10.0.0.7  40000  17   {counts}   remote "),
        ]
    );
}

#[test]
fn rows_of_many_row_groups_come_back_in_order() {
    let rows = many(5_000);
    let whole = encoded(&rows, &Layout::default());
    let cut = encoded(&rows, &Layout { row_group: 999, ..Layout::default() });
    assert_eq!(metadata_of(&whole).num_row_groups(), 1);
    assert_eq!(metadata_of(&cut).num_row_groups(), 6);
    let read = lines(cut);
    assert_eq!(read.len(), rows.len());
    assert!(read[4_999].contains(&format!(" {} ", rows[4_999].remote.unwrap().in_clear())));
    assert_eq!(read, lines(whole));
}

#[test]
fn the_same_rows_give_the_same_bytes() {
    let rows = many(3_000);
    let layout = Layout { row_group: 1_000, ..Layout::default() };
    assert_eq!(encoded(&rows, &layout), encoded(&rows, &layout));
}

#[test]
fn a_file_without_rows_is_one() {
    let file = encoded(&[], &Layout::default());
    assert_eq!(batches(file.clone()).iter().map(RecordBatch::num_rows).sum::<usize>(), 0);
    let pairs = metadata_of(&file).file_metadata().key_value_metadata().cloned().unwrap();
    assert_eq!(pairs, [KeyValue::new("key".to_owned(), "value".to_owned())]);
}

#[test]
fn row_groups_tell_members_apart_and_filter_remotes() {
    let rows = many(4_000);
    let file = encoded(&rows, &Layout { row_group: 1_000, ..Layout::default() });
    let metadata = metadata_of(&file);
    let column = |name| FLOWS.columns.iter().position(|column| column.name == name).unwrap();
    let mut last = String::new();
    for group in metadata.row_groups() {
        let member = group.column(column("member_ip")).statistics().unwrap();
        let bound = |bytes: Option<&[u8]>| String::from_utf8(bytes.unwrap().to_vec()).unwrap();
        assert!(last <= bound(member.min_bytes_opt()));
        last = bound(member.max_bytes_opt());
        let filter = group.column(column("remote_ip")).bloom_filter_length().unwrap();
        // 1,000 addresses at one error in twenty take about 800 bytes.
        assert!((500..4_000).contains(&filter), "{filter}");
        assert!(group.column(column("member_ip")).bloom_filter_length().is_none());
    }
}

#[test]
fn a_full_disk_is_an_error_and_nothing_else() {
    struct FullDisk;
    impl Write for FullDisk {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::StorageFull.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Err(io::ErrorKind::StorageFull.into())
        }
    }
    let file = FlowsWriter::new(FullDisk).and_then(|mut file| {
        file.push(&kinds()[0])?;
        file.finish(vec![]).map(drop)
    });
    assert!(matches!(file, Err(Error::Parquet { dataset: "flows", .. })));
}
