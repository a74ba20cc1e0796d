//! The maps shared with the daemon, which sets their sizes when it loads the program.

use aya_ebpf::{
    bindings::BPF_F_MMAPABLE,
    macros::map,
    maps::{Array, HashMap, LruHashMap, PerCpuArray, lpm_trie::LpmTrie},
};
use flowlog_common::{
    flow::{FlowCounters, FlowKey, FlowKeyV4, FlowKeyV6},
    fragment::{FirstFragment, FragmentKey, FragmentKeyV4, FragmentKeyV6},
    interface::{Interface, TABLE_SIZE},
    policy::Spans,
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

// Whom the profile `targeted` records, and when.
#[map]
pub static TARGETS_V4: LpmTrie<[u8; 4], Spans> = LpmTrie::with_max_entries(1, 0);
#[map]
pub static TARGETS_V6: LpmTrie<[u8; 16], Spans> = LpmTrie::with_max_entries(1, 0);

/// The maps of an IP version; the pairs are by epoch.
pub struct Family<const A: usize> {
    pub flows: [&'static HashMap<FlowKey<A>, FlowCounters>; 2],
    pub overflow: [&'static HashMap<FlowKey<A>, FlowCounters>; 2],
    pub fragments: &'static LruHashMap<FragmentKey<A>, FirstFragment>,
    pub targets: &'static LpmTrie<[u8; A], Spans>,
}

pub const V4: Family<4> = Family {
    flows: [&FLOWS_V4_0, &FLOWS_V4_1],
    overflow: [&OVERFLOW_V4_0, &OVERFLOW_V4_1],
    fragments: &FRAGMENTS_V4,
    targets: &TARGETS_V4,
};

pub const V6: Family<16> = Family {
    flows: [&FLOWS_V6_0, &FLOWS_V6_1],
    overflow: [&OVERFLOW_V6_0, &OVERFLOW_V6_1],
    fragments: &FRAGMENTS_V6,
    targets: &TARGETS_V6,
};
