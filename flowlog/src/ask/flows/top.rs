//! Who moved most: sums of a row group by place in the dictionary, then of all row groups by text.

use std::sync::Arc;

use arrow::{
    array::{Array as _, ArrayRef, PrimitiveArray, RecordBatch},
    datatypes::{UInt8Type, UInt16Type, UInt64Type},
};
use hashbrown::{Equivalent, HashMap};
use serde::Serialize;

use super::{
    columns::{Texts, numbers},
    filter::Filter,
    scan::Group,
};
use crate::table::reader::{self, Fault};

/// What is ranked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Of {
    /// An address behind an interface of a gateway.
    Members,
    /// An address on the other side.
    Remotes,
    /// A protocol, and the port of the other side where it has ports.
    Ports,
}

/// By what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    /// Bytes, both ways.
    Bytes,
    /// Packets, both ways.
    Packets,
    /// Rows of flows: a flow has one in each window in which it was active.
    Flows,
}

/// A ranking.
#[derive(Clone, Copy, Debug)]
pub struct Ranking {
    /// What is ranked.
    pub of: Of,
    /// By what.
    pub by: By,
    /// How many of the first.
    pub limit: usize,
}

/// A place of a ranking. Of the first fields it has those of its kind.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[expect(missing_docs, reason = "the columns of the schema page, and sums of both directions")]
pub struct Ranked {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gateway: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interface: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub member_ip: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remote_ip: Option<Option<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub protocol: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remote_port: Option<Option<u16>>,
    pub bytes: u64,
    pub packets: u64,
    pub flows: u64,
}

/// Sums of a row group.
pub(super) struct OfGroup {
    keys: Keys,
    /// Which of the keys, and its sums.
    sums: Vec<(u64, Sum)>,
}

/// What a number of a sum stands for.
enum Keys {
    /// Place of the interface, and of the member.
    Members(Box<[Texts; 2]>),
    /// Place of the remote.
    Remotes(Box<Texts>),
    /// Protocol, and port.
    Ports,
}

/// No text, or no port.
const NONE: u32 = u32::MAX;

#[derive(Clone, Copy, Default)]
struct Sum {
    bytes: u128,
    packets: u128,
    flows: u64,
}

impl Sum {
    const fn add(&mut self, other: &Self) {
        self.bytes += other.bytes;
        self.packets += other.packets;
        self.flows += other.flows;
    }
}

/// Adds up the rows of a row group.
pub(super) fn add_up(
    group: &Group,
    sought: &Filter,
    of: Of,
) -> Result<Option<OfGroup>, reader::Error> {
    let keys: &[&'static str] = match of {
        Of::Members => &["interface", "member_ip"],
        Of::Remotes => &["remote_ip"],
        Of::Ports => &["protocol", "remote_port"],
    };
    let columns = [keys, &COUNTS].concat();
    let Some(batch) = group.read(sought, &columns)? else { return Ok(None) };
    let sums = sums(of, &batch);
    sums.map(Some).ok_or_else(|| Fault::Column(of.column().to_owned()).of(&group.object))
}

const COUNTS: [&str; 4] = ["bytes_up", "bytes_down", "packets_up", "packets_down"];

impl Of {
    const fn column(self) -> &'static str {
        match self {
            Self::Members => "member_ip",
            Self::Remotes => "remote_ip",
            Self::Ports => "remote_port",
        }
    }
}

fn sums(of: Of, batch: &RecordBatch) -> Option<OfGroup> {
    let [bytes_up, bytes_down, packets_up, packets_down] =
        COUNTS.map(|name| numbers::<UInt64Type>(batch, name));
    let counts = [bytes_up?, bytes_down?, packets_up?, packets_down?];
    let column = |name: &str| batch.column_by_name(name);
    let place = |texts: &Texts, row: usize| -> u32 {
        let place = texts.places.is_valid(row).then(|| texts.places.value(row));
        place.and_then(|place| u32::try_from(place).ok()).unwrap_or(NONE)
    };
    let texts = |column: Option<&ArrayRef>| Texts::of(column?);
    let (keys, sums) = match of {
        Of::Members => {
            let (interface, member) = (texts(column("interface"))?, texts(column("member_ip"))?);
            let sums = by(&counts, |row| joined(place(&interface, row), place(&member, row)));
            (Keys::Members(Box::new([interface, member])), sums)
        }
        Of::Remotes => {
            let remote = texts(column("remote_ip"))?;
            let sums = by(&counts, |row| joined(0, place(&remote, row)));
            (Keys::Remotes(Box::new(remote)), sums)
        }
        Of::Ports => {
            let protocol = numbers::<UInt8Type>(batch, "protocol")?;
            let port = numbers::<UInt16Type>(batch, "remote_port")?;
            let port = |row| if port.is_valid(row) { port.value(row).into() } else { NONE };
            (Keys::Ports, by(&counts, |row| joined(protocol.value(row).into(), port(row))))
        }
    };
    Some(OfGroup { keys, sums })
}

fn joined(high: u32, low: u32) -> u64 {
    u64::from(high) << 32 | u64::from(low)
}

/// Adds up by a key of each row; neighbours often have the same one.
fn by(counts: &[PrimitiveArray<UInt64Type>; 4], key: impl Fn(usize) -> u64) -> Vec<(u64, Sum)> {
    let [bytes_up, bytes_down, packets_up, packets_down] =
        counts.each_ref().map(|of| of.values().as_ref());
    let mut sums: Vec<(u64, Sum)> = vec![];
    let mut places: HashMap<u64, usize> = HashMap::new();
    let mut last = None;
    let rows = bytes_up.iter().zip(bytes_down).zip(packets_up).zip(packets_down).enumerate();
    for (row, (((bytes_up, bytes_down), packets_up), packets_down)) in rows {
        let key = key(row);
        let place = match last {
            Some((of, place)) if of == key => place,
            _ => *places.entry(key).or_insert_with(|| {
                sums.push((key, Sum::default()));
                sums.len() - 1
            }),
        };
        last = Some((key, place));
        if let Some((_, sum)) = sums.get_mut(place) {
            sum.add(&Sum {
                bytes: u128::from(*bytes_up) + u128::from(*bytes_down),
                packets: u128::from(*packets_up) + u128::from(*packets_down),
                flows: 1,
            });
        }
    }
    sums
}

/// Sums of all row groups so far.
pub(super) struct Sums {
    of: Of,
    sums: HashMap<Key, Sum>,
}

/// What a place of a ranking is about.
#[derive(PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Key {
    gateway: Option<Arc<str>>,
    interface: Option<Box<str>>,
    address: Option<Box<str>>,
    numbers: u64,
}

/// The same, of texts that are elsewhere.
#[derive(Hash)]
struct KeyOf<'a> {
    gateway: Option<&'a Arc<str>>,
    interface: Option<&'a str>,
    address: Option<&'a str>,
    numbers: u64,
}

impl Equivalent<Key> for KeyOf<'_> {
    fn equivalent(&self, key: &Key) -> bool {
        self.numbers == key.numbers
            && self.address == key.address.as_deref()
            && self.interface == key.interface.as_deref()
            && self.gateway == key.gateway.as_ref()
    }
}

impl From<&KeyOf<'_>> for Key {
    fn from(key: &KeyOf<'_>) -> Self {
        Self {
            gateway: key.gateway.cloned(),
            interface: key.interface.map(Into::into),
            address: key.address.map(Into::into),
            numbers: key.numbers,
        }
    }
}

impl Sums {
    pub(super) fn new(of: Of) -> Self {
        Self { of, sums: HashMap::new() }
    }

    pub(super) fn add(&mut self, gateway: &Arc<str>, of_group: &OfGroup) {
        for (number, sum) in &of_group.sums {
            let half = |half: u64| usize::try_from(half).unwrap_or(usize::MAX);
            let [high, low] = [number >> 32, number & u64::from(NONE)].map(half);
            let key = match &of_group.keys {
                Keys::Members(texts) => KeyOf {
                    gateway: Some(gateway),
                    interface: Some(texts[0].text(high).unwrap_or_default()),
                    address: texts[1].text(low),
                    numbers: 0,
                },
                Keys::Remotes(remotes) => {
                    let address = remotes.text(low);
                    KeyOf { gateway: None, interface: None, address, numbers: 0 }
                }
                Keys::Ports => {
                    KeyOf { gateway: None, interface: None, address: None, numbers: *number }
                }
            };
            match self.sums.get_mut(&key) {
                Some(known) => known.add(sum),
                None => {
                    self.sums.insert((&key).into(), *sum);
                }
            }
        }
    }

    /// Rows that were added up.
    pub(super) fn flows(&self) -> u64 {
        self.sums.values().map(|sum| sum.flows).sum()
    }

    /// The first of a ranking; those that are equal by gateway, interface, address and port. `None` where a sum does
    /// not fit.
    pub(super) fn ranked(&self, ranking: &Ranking) -> Option<Vec<Ranked>> {
        let moved = |sum: &Sum| match ranking.by {
            By::Bytes => sum.bytes,
            By::Packets => sum.packets,
            By::Flows => sum.flows.into(),
        };
        let order = |a: &(&Key, &Sum), b: &(&Key, &Sum)| {
            moved(b.1).cmp(&moved(a.1)).then_with(|| a.0.cmp(b.0))
        };
        let mut all: Vec<(&Key, &Sum)> = self.sums.iter().collect();
        if let Some(last) = ranking.limit.checked_sub(1).filter(|last| *last < all.len()) {
            all.select_nth_unstable_by(last, order);
        }
        all.truncate(ranking.limit);
        all.sort_unstable_by(order);
        all.into_iter().map(|(key, sum)| self.place(key, sum)).collect()
    }

    fn place(&self, key: &Key, sum: &Sum) -> Option<Ranked> {
        let text = |text: &Option<Box<str>>| text.as_deref().map(str::to_owned);
        let [high, low] = [key.numbers >> 32, key.numbers & u64::from(NONE)];
        let is_of = |of| self.of == of;
        Some(Ranked {
            gateway: key.gateway.as_deref().map(str::to_owned),
            interface: text(&key.interface),
            member_ip: text(&key.address).filter(|_| is_of(Of::Members)),
            remote_ip: is_of(Of::Remotes).then(|| text(&key.address)),
            protocol: u8::try_from(high).ok().filter(|_| is_of(Of::Ports)),
            remote_port: is_of(Of::Ports).then(|| u16::try_from(low).ok()),
            bytes: sum.bytes.try_into().ok()?,
            packets: sum.packets.try_into().ok()?,
            flows: sum.flows,
        })
    }
}
