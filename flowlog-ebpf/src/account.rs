//! From a packet at a hook to the counters that it belongs in.

use aya_ebpf::programs::TcContext;
use flowlog_common::{
    flow::{Direction, partial},
    packet::{
        Datagram, FirstByte, LinkHeader, Malformed, Packet, VlanTag, on_the_wire, parse_ipv4,
        parse_ipv6,
    },
};

use crate::{
    flows::{self, Epochs, Stored},
    fragments,
    hook::Hook,
    maps::{
        FLOWS_V4_0, FLOWS_V4_1, FLOWS_V6_0, FLOWS_V6_1, FRAGMENTS_V4, FRAGMENTS_V6, OVERFLOW_V4_0,
        OVERFLOW_V4_1, OVERFLOW_V6_0, OVERFLOW_V6_1,
    },
    skb::{SkbPacket, forget},
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
    // However many tags there are, the rest is the same.
    let packet = SkbPacket::new(ctx, forget(ctx, base));
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

#[inline(always)]
fn account_ip(ctx: &TcContext, hook: &Hook, packet: &SkbPacket<'_>, version: u8) {
    // No closures here: only functions can be told to be inlined.
    match version {
        4 => match parse_ipv4(packet) {
            Ok(mut datagram) => {
                fragments::follow(hook, &mut datagram, &FRAGMENTS_V4);
                let overflow = [&OVERFLOW_V4_0, &OVERFLOW_V4_1];
                account_flow(ctx, hook, &datagram, [&FLOWS_V4_0, &FLOWS_V4_1], overflow);
            }
            Err(Malformed) => hook.count_malformed(packet.len()),
        },
        6 => match parse_ipv6(packet) {
            Ok(mut datagram) => {
                fragments::follow(hook, &mut datagram, &FRAGMENTS_V6);
                let overflow = [&OVERFLOW_V6_0, &OVERFLOW_V6_1];
                account_flow(ctx, hook, &datagram, [&FLOWS_V6_0, &FLOWS_V6_1], overflow);
            }
            Err(Malformed) => hook.count_malformed(packet.len()),
        },
        _ => hook.count_malformed(packet.len()),
    }
}

#[inline(always)]
fn account_flow<const A: usize>(
    ctx: &TcContext,
    hook: &Hook,
    datagram: &Datagram<A>,
    flows: Epochs<A>,
    overflow: Epochs<A>,
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
    if let Stored::MapFull = flows::store(hook, datagram, (packets, bytes), flows, overflow) {
        totals.remainder.add(packets, bytes);
    }
}

/// 802.1Q, 802.1ad and the two numbers that were used for stacked tags before it.
#[inline(always)]
const fn is_vlan(ethertype: u16) -> bool {
    matches!(ethertype, 0x8100 | 0x88a8 | 0x9100 | 0x9200)
}
