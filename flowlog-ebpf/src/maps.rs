//! The maps shared with the daemon, which sets their sizes when it loads the program.

use aya_ebpf::{
    bindings::BPF_F_MMAPABLE,
    macros::map,
    maps::{Array, HashMap, LruHashMap, PerCpuArray},
};
use flowlog_common::{
    flow::{FlowCounters, FlowKeyV4, FlowKeyV6},
    fragment::{FirstFragment, FragmentKeyV4, FragmentKeyV6},
    interface::{Interface, TABLE_SIZE},
    total::{Totals, table_size},
};

/// The announced change of epoch; memory-mapped so that the daemon writes it in one instruction.
#[map]
pub static EPOCH: Array<u64> = Array::with_max_entries(1, BPF_F_MMAPABLE);

/// The interfaces that are counted, by the low bits of their kernel index.
#[map]
pub static INTERFACES: Array<Interface> = Array::with_max_entries(TABLE_SIZE, 0);

/// Totals by interface, direction and epoch.
#[map]
pub static TOTALS: PerCpuArray<Totals> = PerCpuArray::with_max_entries(table_size(256), 0);

/// First fragments of IPv4 packets.
#[map]
pub static FRAGMENTS_V4: LruHashMap<FragmentKeyV4, FirstFragment> =
    LruHashMap::with_max_entries(1 << 14, 0);
/// First fragments of IPv6 packets.
#[map]
pub static FRAGMENTS_V6: LruHashMap<FragmentKeyV6, FirstFragment> =
    LruHashMap::with_max_entries(1 << 14, 0);

#[map]
pub static FLOWS_V4_0: HashMap<FlowKeyV4, FlowCounters> = HashMap::with_max_entries(1 << 16, 0);
#[map]
pub static FLOWS_V4_1: HashMap<FlowKeyV4, FlowCounters> = HashMap::with_max_entries(1 << 16, 0);
#[map]
pub static FLOWS_V6_0: HashMap<FlowKeyV6, FlowCounters> = HashMap::with_max_entries(1 << 16, 0);
#[map]
pub static FLOWS_V6_1: HashMap<FlowKeyV6, FlowCounters> = HashMap::with_max_entries(1 << 16, 0);

// What had no room in the flow maps: an entry per member, protocol and interface.
#[map]
pub static OVERFLOW_V4_0: HashMap<FlowKeyV4, FlowCounters> = HashMap::with_max_entries(1 << 12, 0);
#[map]
pub static OVERFLOW_V4_1: HashMap<FlowKeyV4, FlowCounters> = HashMap::with_max_entries(1 << 12, 0);
#[map]
pub static OVERFLOW_V6_0: HashMap<FlowKeyV6, FlowCounters> = HashMap::with_max_entries(1 << 12, 0);
#[map]
pub static OVERFLOW_V6_1: HashMap<FlowKeyV6, FlowCounters> = HashMap::with_max_entries(1 << 12, 0);
