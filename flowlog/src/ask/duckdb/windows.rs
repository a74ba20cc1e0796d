//! How long the windows of each gateway are: the rows of `flows` do not have it.

use std::collections::BTreeMap;

use object_store::ObjectMeta;

use crate::{
    store::{self, Store},
    table::{
        LEDGER, ObjectName, Reader,
        reader::{self, Rows},
    },
};

/// The length where no ledger names one: that of a configuration without `window`.
const USUAL_MS: i64 = 300_000;

/// Ledgers of a gateway that are tried, the newest first.
const TRIES: usize = 3;

/// The beginning of the window in which a row of `flows` ends, in SQL.
///
/// It is exact because no row crosses the end of its window; the counts of a time without a daemon have the window
/// in which the flow ended. A gateway whose windows had another length before has rows of before, which are
/// shown by today's length.
pub(super) async fn window_start(
    store: &Store,
    ledgers: &[ObjectMeta],
) -> Result<String, store::Error> {
    let mut of_gateways: BTreeMap<String, Vec<&ObjectMeta>> = BTreeMap::new();
    for object in ledgers.iter().rev() {
        if let Some(name) = ObjectName::parse(&object.location) {
            of_gateways.entry(name.partition.gateway).or_default().push(object);
        }
    }
    let mut unusual = vec![];
    for (gateway, newest) in of_gateways {
        let length = length(store, &newest).await?;
        if length != USUAL_MS {
            unusual.push(format!("WHEN '{gateway}' THEN INTERVAL {length} MILLISECOND "));
        }
    }
    let usual = format!("INTERVAL {USUAL_MS} MILLISECOND");
    let length = if unusual.is_empty() {
        usual
    } else {
        format!("CASE gateway {}ELSE {usual} END", unusual.concat())
    };
    Ok(format!("time_bucket({length}, flow_end)"))
}

/// The length of the windows in the first of these ledgers that can be read.
async fn length(store: &Store, ledgers: &[&ObjectMeta]) -> Result<i64, store::Error> {
    for object in ledgers.iter().take(TRIES) {
        let object = &object.location;
        // Retention may have deleted it since.
        let Some(file) = store.read_present(object).await? else { continue };
        let first = Reader::open(&LEDGER, object, file).and_then(|reader| {
            let rows = reader.select(&["window_start", "window_end"])?.batches()?.next();
            rows.map_or(Ok(None), |rows| first_length(&rows?))
        });
        match first {
            Ok(Some(length)) => return Ok(length),
            Ok(None) => {}
            Err(error) => tracing::warn!("{error}; `window_start` is taken from an older ledger"),
        }
    }
    Ok(USUAL_MS)
}

fn first_length(rows: &Rows) -> Result<Option<i64>, reader::Error> {
    let (start, end) = (rows.times("window_start")?, rows.times("window_end")?);
    let length = (!start.is_empty()).then(|| end.value(0) - start.value(0));
    Ok(length.filter(|length| *length > 0))
}
