//! The maps shared with the daemon, which sets their sizes when it loads the program.

use aya_ebpf::{
    bindings::BPF_F_MMAPABLE,
    macros::map,
    maps::{Array, HashMap, LruHashMap, PerCpuArray, lpm_trie::LpmTrie},
};
use flowlog_common::{
    control::Control,
    flow::{FlowCounters, FlowKey, FlowKeyV4, FlowKeyV6},
    fragment::{FirstFragment, FragmentKey, FragmentKeyV4, FragmentKeyV6},
    policy::Spans,
    total::{Totals, table_size},
};

/// What the daemon tells the program; memory-mapped, so that it writes each word in one instruction.
#[map]
pub static CONTROL: Array<Control> = Array::with_max_entries(1, BPF_F_MMAPABLE);

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

/// The maps of an IP version, whose addresses have `A` bytes; the pairs are by epoch.
pub trait Family<const A: usize>: Copy {
    const FLOWS: [&'static HashMap<FlowKey<A>, FlowCounters>; 2];
    const OVERFLOW: [&'static HashMap<FlowKey<A>, FlowCounters>; 2];
    const FRAGMENTS: &'static LruHashMap<FragmentKey<A>, FirstFragment>;
    const TARGETS: &'static LpmTrie<[u8; A], Spans>;
}

#[derive(Clone, Copy)]
pub struct V4;

impl Family<4> for V4 {
    const FLOWS: [&'static HashMap<FlowKeyV4, FlowCounters>; 2] = [&FLOWS_V4_0, &FLOWS_V4_1];
    const OVERFLOW: [&'static HashMap<FlowKeyV4, FlowCounters>; 2] =
        [&OVERFLOW_V4_0, &OVERFLOW_V4_1];
    const FRAGMENTS: &'static LruHashMap<FragmentKeyV4, FirstFragment> = &FRAGMENTS_V4;
    const TARGETS: &'static LpmTrie<[u8; 4], Spans> = &TARGETS_V4;
}

#[derive(Clone, Copy)]
pub struct V6;

impl Family<16> for V6 {
    const FLOWS: [&'static HashMap<FlowKeyV6, FlowCounters>; 2] = [&FLOWS_V6_0, &FLOWS_V6_1];
    const OVERFLOW: [&'static HashMap<FlowKeyV6, FlowCounters>; 2] =
        [&OVERFLOW_V6_0, &OVERFLOW_V6_1];
    const FRAGMENTS: &'static LruHashMap<FragmentKeyV6, FirstFragment> = &FRAGMENTS_V6;
    const TARGETS: &'static LpmTrie<[u8; 16], Spans> = &TARGETS_V6;
}
