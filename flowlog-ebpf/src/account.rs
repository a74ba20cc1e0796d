//! From a packet at a hook to the counters that it belongs in.

use aya_ebpf::{helpers::bpf_ktime_get_coarse_ns, maps::HashMap, programs::TcContext};
use flowlog_common::{
    epoch::EpochSwitch,
    flow::{Direction, FlowCounters, FlowKey, partial},
    interface,
    packet::{
        Datagram, FirstByte, LinkHeader, Malformed, Packet, VlanTag, on_the_wire, parse_ipv4,
        parse_ipv6,
    },
    total::{self, Totals},
};

use crate::{
    flows::{self, Stored},
    maps::{EPOCH, FLOWS_V4_0, FLOWS_V4_1, FLOWS_V6_0, FLOWS_V6_1, INTERFACES, TOTALS},
    skb::SkbPacket,
};

const ETHERNET_HEADER: u32 = 14;
const VLAN_TAG: u32 = 4;
/// VLAN tags walked before a frame is not taken for IP any more.
const MAX_VLAN_TAGS: u32 = 4;

const ETHERTYPE_IPV4: u16 = 0x0800;
const ETHERTYPE_IPV6: u16 = 0x86dd;

/// Counts a packet that starts at its IP header.
#[inline(always)]
pub fn layer3(ctx: &TcContext, direction: Direction) {
    let Some(hook) = Hook::find(ctx, direction) else {
        return;
    };
    let packet = SkbPacket::new(ctx, 0);
    let version = packet.read::<FirstByte>(0).map_or(0, FirstByte::version);
    account_ip(ctx, &hook, &packet, version);
}

/// Counts a packet that starts at its Ethernet header.
#[inline(always)]
pub fn layer2(ctx: &TcContext, direction: Direction) {
    let Some(hook) = Hook::find(ctx, direction) else {
        return;
    };
    let frame = SkbPacket::new(ctx, 0);
    let Some(link) = frame.read::<LinkHeader>(0) else {
        return hook.count_malformed(frame.len());
    };
    let mut ethertype = link.ethertype();
    let mut base = ETHERNET_HEADER;
    for _ in 0..MAX_VLAN_TAGS {
        if !is_vlan(ethertype) {
            break;
        }
        let Some(tag) = frame.read::<VlanTag>(base) else {
            return hook.count_malformed(SkbPacket::new(ctx, base).len());
        };
        ethertype = tag.ethertype();
        base += VLAN_TAG;
    }
    let packet = SkbPacket::new(ctx, base);
    let version = match ethertype {
        ETHERTYPE_IPV4 => 4,
        ETHERTYPE_IPV6 => 6,
        _ => return hook.count_not_ip(packet.len()),
    };
    match packet.read::<FirstByte>(0) {
        Some(first) if first.version() == version => account_ip(ctx, &hook, &packet, version),
        _ => hook.count_malformed(packet.len()),
    }
}

/// What is fixed for a packet before it is looked at.
pub struct Hook {
    pub interface: u16,
    pub direction: Direction,
    pub epoch: u32,
    pub now_ns: u64,
    totals: *mut Totals,
}

impl Hook {
    /// `None` where the daemon does not count this interface.
    #[inline(always)]
    fn find(ctx: &TcContext, direction: Direction) -> Option<Self> {
        // SAFETY: the context of a TC program is a valid `__sk_buff`.
        let kernel_index = unsafe { (*ctx.skb.skb).ifindex };
        let counted = INTERFACES.get(interface::index(kernel_index))?;
        if counted.kernel_index != kernel_index {
            return None;
        }
        // The switch is read before the clock: who still reads the old switch decides by the
        // clock, and the daemon writes the new one only once the clock has passed the old.
        // SAFETY: the map has one word, which the daemon writes in one instruction.
        let switch = EpochSwitch::from_word(unsafe { EPOCH.get_ptr(0)?.read_volatile() });
        // SAFETY: a helper without arguments.
        let now_ns = unsafe { bpf_ktime_get_coarse_ns() };
        let epoch = switch.epoch_at(now_ns);
        let totals = TOTALS.get_ptr_mut(total::index(counted.slot, direction, epoch))?;
        Some(Self { interface: counted.slot, direction, epoch, now_ns, totals })
    }

    /// The totals of this CPU.
    #[inline(always)]
    #[expect(clippy::mut_from_ref, reason = "the totals are of this CPU and outlive the hook")]
    fn totals(&self) -> &mut Totals {
        // SAFETY: an element of a per-CPU map, which nothing else uses while this program runs.
        unsafe { &mut *self.totals }
    }

    #[inline(always)]
    fn count_malformed(&self, bytes: u32) {
        let totals = self.totals();
        totals.seen.add(1, u64::from(bytes));
        totals.malformed.add(1, u64::from(bytes));
    }

    #[inline(always)]
    fn count_not_ip(&self, bytes: u32) {
        let totals = self.totals();
        totals.seen.add(1, u64::from(bytes));
        totals.not_ip.add(1, u64::from(bytes));
    }
}

#[inline(always)]
fn account_ip(ctx: &TcContext, hook: &Hook, packet: &SkbPacket<'_>, version: u8) {
    let counted = match version {
        4 => parse_ipv4(packet)
            .map(|datagram| account_flow(ctx, hook, &datagram, [&FLOWS_V4_0, &FLOWS_V4_1])),
        6 => parse_ipv6(packet)
            .map(|datagram| account_flow(ctx, hook, &datagram, [&FLOWS_V6_0, &FLOWS_V6_1])),
        _ => Err(Malformed),
    };
    if counted.is_err() {
        hook.count_malformed(packet.len());
    }
}

#[inline(always)]
fn account_flow<const A: usize>(
    ctx: &TcContext,
    hook: &Hook,
    datagram: &Datagram<A>,
    epochs: [&HashMap<FlowKey<A>, FlowCounters>; 2],
) {
    // SAFETY: the context of a TC program is a valid `__sk_buff`.
    let (segments, payload) = unsafe { ((*ctx.skb.skb).gso_segs, (*ctx.skb.skb).gso_size) };
    let headers = datagram.header_bytes + u32::from(datagram.transport.header_bytes);
    let (packets, bytes) = on_the_wire(datagram.bytes, headers, segments, payload);
    #[cfg(feature = "trace")]
    aya_log_ebpf::debug!(
        ctx,
        "slot {} protocol {} packets {} bytes {}",
        hook.interface,
        datagram.transport.protocol,
        packets,
        bytes
    );
    let totals = hook.totals();
    totals.seen.add(packets, bytes);
    if datagram.transport.partial & partial::FRAGMENT_WITHOUT_FIRST != 0 {
        totals.fragments_without_first.add(packets, bytes);
    }
    if matches!(flows::store(hook, datagram, (packets, bytes), epochs), Stored::MapFull) {
        totals.overflow.add(packets, bytes);
    }
}

/// 802.1Q, 802.1ad and the two numbers that were used for stacked tags before it.
#[inline(always)]
const fn is_vlan(ethertype: u16) -> bool {
    matches!(ethertype, 0x8100 | 0x88a8 | 0x9100 | 0x9200)
}
