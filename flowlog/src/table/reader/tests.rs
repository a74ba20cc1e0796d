use arrow::{
    array::{Array as _, RecordBatch, UInt64Array},
    datatypes::{UInt16Type, UInt32Type},
};

use super::*;
use crate::table::{
    LEDGER,
    trial::{self, Lease, TRIAL},
    writer,
};

/// Leases of so many addresses, of which each tenth has a port.
fn leases(count: u32) -> Vec<Lease> {
    let lease = |number: u32| Lease {
        prefix: format!("{number:08x}/32"),
        held: (Utc::from_ms(i64::from(number)), Utc::from_ms(i64::from(number) + 5)),
        continues: number.is_multiple_of(2),
        outer_port: (number.is_multiple_of(10)).then_some(50_000),
    };
    (0..count).map(lease).collect()
}

fn pairs(version: &str, rows: usize) -> Vec<parquet::file::metadata::KeyValue> {
    [("schema_version", version.to_owned()), ("rows", rows.to_string())]
        .map(|(key, value)| parquet::file::metadata::KeyValue::new(format!("flowlog.{key}"), value))
        .into()
}

fn object() -> Path {
    Path::from("trial/x.parquet")
}

/// A file with these columns, that says it is of this version.
fn file(version: &str, rows: &RecordBatch) -> Bytes {
    writer::encode(&TRIAL, rows, |rows| pairs(version, rows)).unwrap()
}

fn without_last(rows: &RecordBatch) -> RecordBatch {
    let columns: Vec<usize> = (0..rows.num_columns() - 1).collect();
    rows.project(&columns).unwrap()
}

fn opened(file: &Bytes) -> Reader {
    Reader::open_sealed(&TRIAL, &object(), file.clone()).unwrap()
}

#[test]
fn rows_come_back_by_the_names_of_their_columns() {
    let file = trial::encode(&leases(20_000), |rows| pairs("2", rows)).unwrap();
    let mut read = 0;
    opened(&file)
        .for_each(|rows| {
            let (prefixes, ports) = (rows.texts("prefix")?, rows.numbers("outer_port")?);
            let ports: &arrow::array::UInt16Array = ports;
            let continues = rows.booleans("continues")?;
            let start = rows.times("held_start")?;
            for row in 0..rows.count() {
                let number = read + u32::try_from(row).unwrap();
                assert_eq!(prefixes.value(row), format!("{number:08x}/32"));
                assert_eq!(start.value(row), i64::from(number));
                assert_eq!(continues.value(row), number.is_multiple_of(2));
                assert_eq!(ports.is_valid(row), number.is_multiple_of(10));
                assert!(ports.is_null(row) || ports.value(row) == 50_000);
            }
            read += u32::try_from(rows.count()).unwrap();
            Ok::<_, Error>(())
        })
        .unwrap();
    assert_eq!(read, 20_000);
}

#[test]
fn a_column_that_an_earlier_version_does_not_have_is_null() {
    let rows = trial::columns(&leases(3)).unwrap();
    let reader = opened(&file("1", &without_last(&rows)));
    assert_eq!(reader.version(), 1);
    let selected = reader.select(&["start_slack_ms"]).unwrap();
    let batch = selected.batches().unwrap().next().unwrap().unwrap();
    let slack = batch.numbers::<UInt32Type>("start_slack_ms").unwrap();
    assert_eq!((slack.len(), slack.null_count()), (3, 3));
    // Whether rows that have no value can be in a range is known without reading them.
    let reader = opened(&file("1", &without_last(&rows)));
    let none = reader.between("start_slack_ms", Some(Value::Number(0)), None).unwrap();
    assert_eq!(none.batches().unwrap().count(), 0);
}

#[test]
fn a_missing_an_unknown_and_a_wrong_column_are_errors_that_name_the_file() {
    let rows = trial::columns(&leases(3)).unwrap();
    let with = |field: arrow::datatypes::Field| {
        let numbers = std::sync::Arc::new(UInt64Array::from(vec![1, 2, 3]));
        let mut fields = without_last(&rows).schema().fields().to_vec();
        fields.push(std::sync::Arc::new(field));
        let columns = [without_last(&rows).columns(), &[numbers]].concat();
        let schema = std::sync::Arc::new(arrow::datatypes::Schema::new(fields));
        RecordBatch::try_new(schema, columns).unwrap()
    };
    let number = arrow::datatypes::DataType::UInt64;
    let wrong = with(arrow::datatypes::Field::new("start_slack_ms", number.clone(), true));
    let other = with(arrow::datatypes::Field::new("other", number, true));
    for (file, says) in [
        (file("2", &without_last(&rows)), "no column start_slack_ms"),
        (file("2", &wrong), "no column start_slack_ms"),
        (file("1", &rows), "a column start_slack_ms, which its version"),
        (file("1", &other), "a column other, which its version"),
        (file("3", &rows), "of version 3"),
        (file("02", &rows), "of version 02"),
    ] {
        let error = Reader::open(&TRIAL, &object(), file).err().unwrap();
        let shown = crate::telemetry::with_causes(&error);
        assert!(shown.contains("trial/x.parquet") && shown.contains(says), "{shown}");
    }
    let of_another_table = Reader::open(&LEDGER, &object(), file("2", &rows)).err().unwrap();
    assert!(matches!(of_another_table.fault, Fault::Column(_)), "{of_another_table:?}");
}

#[test]
fn a_column_that_is_not_there_or_of_another_type_is_an_error_of_whoever_asks() {
    let file = trial::encode(&leases(3), |rows| pairs("2", rows)).unwrap();
    assert!(opened(&file).select(&["none"]).is_err());
    assert!(opened(&file).between("prefix", Some(Value::Number(1)), None).is_err());
    let rows = opened(&file).batches().unwrap().next().unwrap().unwrap();
    assert!(rows.numbers::<UInt16Type>("prefix").is_err());
}

#[test]
fn row_groups_without_what_is_looked_for_are_not_read() {
    let file = trial::encode(&leases(200_000), |rows| pairs("2", rows)).unwrap();
    let count = |reader: Reader| -> usize {
        reader.batches().unwrap().map(|rows| rows.unwrap().count()).sum()
    };
    let text = |number: u32| format!("{number:08x}/32");
    let (group, last) = (65_536, 200_000 - 3 * 65_536);
    let between =
        |column, least, greatest| count(opened(&file).between(column, least, greatest).unwrap());
    let address = text(70_000);
    let address = Some(Value::Text(&address));
    assert_eq!(between("prefix", address, address), group);
    assert_eq!(between("prefix", None, address), 2 * group);
    assert_eq!(between("prefix", address, None), group + group + last);
    let far = Some(Value::Text("f"));
    assert_eq!(between("prefix", far, None), 0);
    let time = |ms| Some(Value::Time(Utc::from_ms(ms)));
    assert_eq!(between("held_start", time(65_535), time(65_536)), 2 * group);
    assert_eq!(between("held_start", time(65_536), time(65_536)), group);
    let port = |number| Some(Value::Number(number));
    assert_eq!(between("outer_port", port(50_000), port(50_000)), 200_000);
    assert_eq!(between("outer_port", port(50_001), None), 0);
    // Both hold.
    let reader = opened(&file).between("prefix", address, None).unwrap();
    assert_eq!(count(reader.between("held_start", None, time(70_000)).unwrap()), group);
}

#[test]
fn the_end_of_a_file_that_has_other_rows_than_it_says_is_an_error() {
    let file = trial::encode(&leases(9_000), |_| pairs("2", 9_001)).unwrap();
    let read: Vec<_> = opened(&file).batches().unwrap().collect();
    assert_eq!(read.iter().filter(|rows| rows.is_ok()).count(), 2);
    let Some(Err(error)) = read.last() else { panic!() };
    assert!(matches!(error.fault, Fault::Rows { rows: 9_000, named: 9_001 }));
}

#[test]
fn no_flipped_bit_panics_and_each_is_seen_by_the_digest() {
    let file = trial::encode(&leases(50), |rows| pairs("2", rows)).unwrap();
    for bit in (0..file.len() * 8).step_by(3) {
        let mut flipped = file.to_vec();
        flipped[bit / 8] ^= 1 << (bit % 8);
        let flipped = Bytes::from(flipped);
        assert!(Reader::open_sealed(&TRIAL, &object(), flipped.clone()).is_err(), "{bit}");
        if let Ok(reader) = Reader::open(&TRIAL, &object(), flipped)
            && let Ok(batches) = reader.batches()
        {
            batches.for_each(drop);
        }
    }
}
