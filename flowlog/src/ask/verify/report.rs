//! What was found, and how it is reported.

use std::{collections::BTreeSet, fmt};

use flowlog_common::flow::Direction;
use object_store::path::Path;

use super::read;
use crate::{
    record::{clock::Utc, ledger::Gap},
    store::Oddity,
    table::metadata::direction_name,
};

/// What was added up.
#[derive(Debug, Default)]
pub struct Report {
    /// Number of windows, by gateway and beginning.
    pub windows: usize,
    /// Number of files.
    pub files: usize,
    /// Number of flow rows.
    pub rows: u64,
    /// Packets that the interfaces saw.
    pub packets: u64,
    /// Bytes that the interfaces saw.
    pub bytes: u64,
    /// When nothing was counted, as the ledger says.
    pub gaps: BTreeSet<InterfaceGap>,
    /// Where the sums differ, or files do not belong together.
    pub differences: Vec<Difference>,
    /// Epochs between others that are in no file, and in no gap; or events of a table that are in no file.
    pub missing: Vec<Missing>,
    /// Epochs that are in two files.
    pub double: Vec<Double>,
    /// Files that are not what their names say.
    pub foreign: Vec<Foreign>,
    /// What is odd, and loses nothing.
    pub warnings: Vec<Warning>,
    /// Files that cannot be read.
    pub unreadable: Vec<(Path, read::Error)>,
}

impl Report {
    /// Whether all packets that were seen are in the store, as far as can be read.
    #[must_use]
    pub const fn is_balanced(&self) -> bool {
        self.differences.is_empty()
            && self.missing.is_empty()
            && self.double.is_empty()
            && self.foreign.is_empty()
    }

    /// Whether there is no file of flowlog at all.
    #[must_use]
    pub const fn is_of_nothing(&self) -> bool {
        self.files == 0 && self.foreign.is_empty()
    }
}

/// A time in which an interface may have been in use without being counted.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct InterfaceGap {
    /// Name of the gateway.
    pub gateway: String,
    /// Name of the interface.
    pub interface: String,
    /// When.
    pub gap: Gap,
}

impl fmt::Display for InterfaceGap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { gateway, interface, gap: Gap { start, end, reason } } = self;
        let reason = reason.name();
        write!(
            f,
            "gateway {gateway}, interface {interface}: not counted from {start} to {end} ({reason})"
        )
    }
}

/// Something in an hour that does not agree.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Difference {
    /// A sum.
    Sum(SumDifference),
    /// The two files that belong together.
    Pair(PairDifference),
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sum(difference) => difference.fmt(f),
            Self::Pair(difference) => difference.fmt(f),
        }
    }
}

/// A window or hour, interface and direction that does not balance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SumDifference {
    /// Name of the gateway.
    pub gateway: String,
    /// Beginning of the window or hour.
    pub at: Utc,
    /// Name of the interface.
    pub interface: String,
    /// Which way.
    pub direction: Direction,
    /// Packets and bytes that are missing; negative where there are too many.
    pub missing: (i128, i128),
    /// What was compared.
    pub check: Check,
}

/// Which sum does not balance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Check {
    /// The ledger of a window: what was seen against what became of it.
    Ledger,
    /// What the ledger of an hour says is in flow rows against the rows in the store.
    Rows,
}

impl fmt::Display for SumDifference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { gateway, at, interface, direction, missing, check } = self;
        let direction = direction_name(*direction);
        let (span, too_few, too_many) = match check {
            Check::Ledger => (
                "window",
                "were seen and not accounted for",
                "are accounted for and were never seen",
            ),
            Check::Rows => (
                "hour",
                "are in the ledger and in no flow row",
                "are in flow rows and not in the ledger",
            ),
        };
        write!(f, "gateway {gateway}, {span} {at}, interface {interface}, {direction}: ")?;
        let (packets, bytes) = missing;
        let amount = |packets: Option<i128>, bytes: Option<i128>| {
            let counts = [(packets, "packets"), (bytes, "bytes")];
            let counts = counts.iter().filter_map(|(count, unit)| {
                count.map(|count| format!("{} {unit}", count.unsigned_abs()))
            });
            counts.collect::<Vec<_>>().join(" and ")
        };
        if packets.signum() * bytes.signum() >= 0 {
            let is_few = *packets > 0 || *bytes > 0;
            let fate = if is_few { too_few } else { too_many };
            write!(f, "{} {fate}", amount(Some(*packets), Some(*bytes)))
        } else {
            let fate = |count: i128| if count > 0 { too_few } else { too_many };
            let packets_text = amount(Some(*packets), None);
            let bytes_text = amount(None, Some(*bytes));
            write!(f, "{packets_text} {}, {bytes_text} {}", fate(*packets), fate(*bytes))
        }
    }
}

/// A file of flows and its ledger that do not belong together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PairDifference {
    /// The file that is there.
    pub object: Path,
    /// What is wrong.
    pub fault: PairFault,
}

/// Why two files do not belong together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PairFault {
    /// A file of flows has no ledger.
    NoLedger,
    /// A ledger names a file of flows that is not there.
    NoFlows,
    /// The flows hold epochs that the ledger does not.
    LedgerIsOlder,
    /// The ledger holds epochs that the flows do not.
    FlowsAreOlder,
    /// The flows are not the bytes whose digest the ledger has.
    OtherFlows,
}

impl fmt::Display for PairDifference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { object, fault } = self;
        let fault = match fault {
            PairFault::NoLedger => "the ledger of these flows is missing",
            PairFault::NoFlows => "the file of flows that belongs to this ledger is missing",
            PairFault::LedgerIsOlder => "the ledger is older than its flows",
            PairFault::FlowsAreOlder => "the flows are older than their ledger",
            PairFault::OtherFlows => "these are not the flows whose digest is in the ledger",
        };
        write!(f, "{object}: {fault}")
    }
}

/// Epochs between others that are in no file, and in no gap.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Missing {
    /// Name of the gateway.
    pub gateway: String,
    /// The table, where its events are missing; `None`: epochs are.
    pub table: Option<&'static str>,
    /// First and last number.
    pub epochs: (u64, u64),
    /// Between which times they were counted.
    pub between: (Utc, Utc),
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { gateway, table, epochs: (first, last), between: (start, end) } = self;
        if let Some(table) = table {
            return write!(
                f,
                "gateway {gateway}: events {first} to {last} of {table}, between the days {start} and {end}, are in no file"
            );
        }
        write!(
            f,
            "gateway {gateway}: epochs {first} to {last}, counted between {start} and {end}, are in \
             no file and in no gap of the ledger"
        )
    }
}

/// Epochs that are in two files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Double {
    /// One of the files.
    pub object: Path,
    /// The other one.
    pub other: Path,
    /// First and last number.
    pub epochs: (u64, u64),
}

impl fmt::Display for Double {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { object, other, epochs: (first, last) } = self;
        write!(f, "{object}: epochs {first} to {last} are in {other} too")
    }
}

/// A file that is not what its name says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Foreign {
    /// The file.
    pub object: Path,
    /// Why it does not belong there.
    pub reason: ForeignReason,
}

/// Why a file does not belong where it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ForeignReason {
    /// flowlog gives no such name, and whoever asks the store reads it too.
    Name,
    /// flowlog did not write it.
    Format,
    /// It is of another gateway.
    Gateway(String),
    /// It is of another hour.
    Hour(Utc),
    /// It is of another day.
    Day(Utc),
    /// It is a copy of another file.
    Copy(Path),
}

impl fmt::Display for Foreign {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { object, reason } = self;
        match reason {
            ForeignReason::Name => write!(f, "{object}: flowlog gives no file this name"),
            ForeignReason::Format => write!(f, "{object}: flowlog did not write this file"),
            ForeignReason::Gateway(gateway) => {
                write!(f, "{object}: it belongs to gateway {gateway}")
            }
            ForeignReason::Hour(hour) => write!(f, "{object}: it belongs to the hour {hour}"),
            ForeignReason::Day(day) => write!(f, "{object}: it belongs to the day {day}"),
            ForeignReason::Copy(other) => write!(f, "{object}: it is a copy of {other}"),
        }
    }
}

/// Something odd that loses nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Warning {
    /// A gap is told over time that was counted.
    GapOverCounted {
        /// The gap.
        gap: InterfaceGap,
        /// Beginning and end of counted time in it.
        counted: (Utc, Utc),
    },
    /// A later epoch is of an earlier window, and no step of the clock is in the ledger.
    OutOfOrder {
        /// The file.
        object: Path,
        /// First and last number of the epochs that come later.
        epochs: (u64, u64),
    },
    /// Something in the store that is no file, or cannot be listed.
    Odd(Oddity),
    /// Flows of a file began or ended when its ledger says that nothing was observed.
    RowsOutside {
        /// The file.
        object: Path,
        /// The first and the last time in it.
        rows: (Utc, Utc),
        /// What the ledger says.
        observed: (Utc, Utc),
    },
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::GapOverCounted { gap, counted: (start, end) } => {
                write!(f, "{gap}; but it was counted from {start} to {end}")
            }
            Self::OutOfOrder { object, epochs: (first, last) } => write!(
                f,
                "{object}: epochs {first} to {last} are dated before the epochs that they follow, \
                 though the clock was not set back"
            ),
            Self::Odd(oddity) => oddity.fmt(f),
            Self::RowsOutside { object, rows: (first, last), observed: (start, end) } => write!(
                f,
                "{object}: its flows are from {first} to {last}, its ledger from {start} to {end}"
            ),
        }
    }
}
