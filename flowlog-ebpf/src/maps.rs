//! The maps shared with the daemon, which sets their sizes when it loads the program.

use aya_ebpf::{
    bindings::BPF_F_MMAPABLE,
    macros::map,
    maps::{Array, HashMap, PerCpuArray},
};
use flowlog_common::{
    flow::{FlowCounters, FlowKeyV4, FlowKeyV6},
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

#[map]
pub static FLOWS_V4_0: HashMap<FlowKeyV4, FlowCounters> = HashMap::with_max_entries(1 << 16, 0);
#[map]
pub static FLOWS_V4_1: HashMap<FlowKeyV4, FlowCounters> = HashMap::with_max_entries(1 << 16, 0);
#[map]
pub static FLOWS_V6_0: HashMap<FlowKeyV6, FlowCounters> = HashMap::with_max_entries(1 << 16, 0);
#[map]
pub static FLOWS_V6_1: HashMap<FlowKeyV6, FlowCounters> = HashMap::with_max_entries(1 << 16, 0);
