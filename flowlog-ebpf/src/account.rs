//! From a packet at a hook to the counters that it belongs in.
//!
//! Nearly all packets are plain: no options, no extension headers, no fragments, and all headers in
//! the linear part of the socket buffer. They take a short way through the same parser, and all
//! others start again from the beginning, on a way of their own.

use aya_ebpf::programs::TcContext;
use flowlog_common::{
    flow::{Direction, FlowKey, partial},
    packet::{
        Datagram, FirstByte, LinkHeader, Malformed, Packet, VlanTag, is_jumbo, on_the_wire,
        parse_ipv4, parse_ipv6, parse_plain_ipv4, parse_plain_ipv6, take_out_jumbo_option,
    },
};

use crate::{
    flows::{self, Stored},
    fragments,
    hook::Hook,
    maps::{Family, V4, V6},
    policy,
    skb::{Linear, SkbPacket, forget},
};

const ETHERNET_HEADER: u32 = 14;
const VLAN_TAG: u32 = 4;
/// VLAN tags walked before a frame is not taken for IP any more.
const MAX_VLAN_TAGS: u32 = 4;

const ETHERTYPE_IPV4: u16 = 0x0800;
const ETHERTYPE_IPV6: u16 = 0x86dd;

/// Counts a packet that starts at its IP header.
#[inline(always)]
pub fn layer3<const UP: bool>(ctx: &TcContext) {
    let version = Linear::new(ctx, 0).read::<FirstByte>(0).map_or(0, FirstByte::version);
    if !account_plain::<UP, 0>(ctx, version) {
        any_layer3(ctx, direction::<UP>());
    }
}

/// Counts a packet that starts at its Ethernet header.
#[inline(always)]
pub fn layer2<const UP: bool>(ctx: &TcContext) {
    let link = Linear::new(ctx, 0).read::<LinkHeader>(0);
    let version = link.map_or(0, |link| version_of(link.ethertype()));
    if !account_plain::<UP, ETHERNET_HEADER>(ctx, version) {
        any_layer2(ctx, direction::<UP>());
    }
}

#[inline(always)]
const fn direction<const UP: bool>() -> Direction {
    if UP { Direction::Up } else { Direction::Down }
}

/// Counts a plain packet; false, and nothing done, if it is not one.
///
/// Direction and link layer are constants in it. IPv4 is part of the entry point; IPv6 has a stack of
/// its own, since together they would be larger than the kernel allows.
#[inline(always)]
fn account_plain<const UP: bool, const BASE: u32>(ctx: &TcContext, version: u8) -> bool {
    match version {
        4 => account_plain_v4::<UP, BASE>(ctx),
        6 => account_plain_v6::<UP, BASE>(ctx),
        _ => false,
    }
}

#[inline(always)]
fn account_plain_v4<const UP: bool, const BASE: u32>(ctx: &TcContext) -> bool {
    let Some(hook) = Hook::find(ctx, direction::<UP>()) else {
        return true;
    };
    let Some(datagram) = parse_plain_ipv4(&Linear::new(ctx, BASE)) else {
        return false;
    };
    let key = &flows::key(&hook, &datagram);
    let is_excluded = policy::excludes(&hook, &key.member, V4);
    account_flow(ctx, &hook, &datagram, key, is_excluded, V4);
    true
}

#[inline(never)]
fn account_plain_v6<const UP: bool, const BASE: u32>(ctx: &TcContext) -> bool {
    let Some(hook) = Hook::find(ctx, direction::<UP>()) else {
        return true;
    };
    let Some(datagram) = parse_plain_ipv6(&Linear::new(ctx, BASE)) else {
        return false;
    };
    let key = &flows::key(&hook, &datagram);
    let is_excluded = policy::excludes(&hook, &key.member, V6);
    account_flow(ctx, &hook, &datagram, key, is_excluded, V6);
    true
}

/// Counts any packet that starts at its IP header.
#[inline(never)]
fn any_layer3(ctx: &TcContext, direction: Direction) {
    let Some(hook) = Hook::find(ctx, direction) else {
        return;
    };
    let packet = SkbPacket::new(ctx, 0);
    let version = packet.read::<FirstByte>(0).map_or(0, FirstByte::version);
    account_ip(ctx, &hook, &packet, version);
}

/// Counts any packet that starts at its Ethernet header.
#[inline(never)]
fn any_layer2(ctx: &TcContext, direction: Direction) {
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
    let version = version_of(ethertype);
    if version == 0 {
        return hook.count_not_ip(packet.len());
    }
    match packet.read::<FirstByte>(0) {
        Some(first) if first.version() == version => account_ip(ctx, &hook, &packet, version),
        _ => hook.count_malformed(packet.len()),
    }
}

#[inline(always)]
fn account_ip(ctx: &TcContext, hook: &Hook, packet: &SkbPacket<'_>, version: u8) {
    match version {
        4 => match parse_ipv4(packet) {
            Ok(datagram) => account_any_flow(ctx, hook, datagram, V4),
            Err(Malformed) => hook.count_malformed(packet.len()),
        },
        6 => match parse_ipv6(packet) {
            Ok(mut datagram) => {
                if is_jumbo(&datagram) && segment_payload(ctx) != 0 {
                    take_out_jumbo_option(packet, &mut datagram);
                }
                account_any_flow(ctx, hook, datagram, V6);
            }
            Err(Malformed) => hook.count_malformed(packet.len()),
        },
        _ => hook.count_malformed(packet.len()),
    }
}

#[inline(always)]
fn account_any_flow<const A: usize>(
    ctx: &TcContext,
    hook: &Hook,
    mut datagram: Datagram<A>,
    family: impl Family<A>,
) {
    let is_excluded = policy::excludes(hook, &flows::key(hook, &datagram).member, family);
    // What is remembered of a fragment names both sides.
    if !is_excluded && !policy::hides_remote() {
        fragments::follow(hook, &mut datagram, family);
    }
    account_flow(ctx, hook, &datagram, &flows::key(hook, &datagram), is_excluded, family);
}

#[inline(always)]
fn account_flow<const A: usize>(
    ctx: &TcContext,
    hook: &Hook,
    datagram: &Datagram<A>,
    key: &FlowKey<A>,
    is_excluded: bool,
    family: impl Family<A>,
) {
    let (packets, bytes) = wire_counts(ctx, datagram);
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
    if is_excluded {
        return totals.excluded.add(packets, bytes);
    }
    if datagram.transport.partial & partial::FRAGMENT_WITHOUT_FIRST != 0 {
        totals.fragments_without_first.add(packets, bytes);
    }
    if let Stored::MapFull = flows::store(hook, datagram, key, (packets, bytes), family) {
        totals.remainder.add(packets, bytes);
    }
}

/// Packets and bytes on the wire.
#[inline(always)]
fn wire_counts<const A: usize>(ctx: &TcContext, datagram: &Datagram<A>) -> (u64, u64) {
    let payload = segment_payload(ctx);
    if payload == 0 {
        return (1, u64::from(datagram.bytes));
    }
    // SAFETY: the context of a TC program is a valid `__sk_buff`.
    let segments = unsafe { (*ctx.skb.skb).gso_segs };
    let headers = datagram.header_bytes + datagram.transport.repeated_bytes();
    on_the_wire(datagram.bytes, headers, segments, payload)
}

/// Payload of each packet that a super-packet stands for; zero where it is none.
#[inline(always)]
fn segment_payload(ctx: &TcContext) -> u32 {
    // SAFETY: the context of a TC program is a valid `__sk_buff`.
    unsafe { (*ctx.skb.skb).gso_size }
}

/// The IP version that a frame of this type carries; 0 if it does not carry IP.
#[inline(always)]
const fn version_of(ethertype: u16) -> u8 {
    match ethertype {
        ETHERTYPE_IPV4 => 4,
        ETHERTYPE_IPV6 => 6,
        _ => 0,
    }
}

/// 802.1Q, 802.1ad and the two numbers that were used for stacked tags before it.
#[inline(always)]
const fn is_vlan(ethertype: u16) -> bool {
    matches!(ethertype, 0x8100 | 0x88a8 | 0x9100 | 0x9200)
}
