//! Reading a packet out of a socket buffer.

use core::mem::size_of;

use aya_ebpf::programs::TcContext;
use flowlog_common::packet::{Header, Packet};

/// A packet whose IP header is `base` bytes into the socket buffer.
pub struct SkbPacket<'a> {
    ctx: &'a TcContext,
    base: u32,
}

impl<'a> SkbPacket<'a> {
    #[inline(always)]
    pub fn new(ctx: &'a TcContext, base: u32) -> Self {
        Self { ctx, base }
    }
}

/// As [`SkbPacket`], as far as it lies in the linear part of the socket buffer.
pub struct Linear {
    start: usize,
    end: usize,
    bytes: u32,
}

impl Linear {
    #[inline(always)]
    pub fn new(ctx: &TcContext, base: u32) -> Self {
        let (start, end) = bounds(ctx);
        // Only asked for when a header was there, so that this is never less than nothing.
        let bytes = ctx.len().wrapping_sub(base);
        Self { start: start + base as usize, end, bytes }
    }
}

impl Packet for Linear {
    #[inline(always)]
    fn read<H: Header>(&self, offset: u32) -> Option<H> {
        let start = self.start + offset as usize;
        if start + size_of::<H>() > self.end {
            return None;
        }
        // SAFETY: the header lies inside the linear part of the packet, as the verifier sees.
        // The kernel keeps the IP header aligned to four bytes, and so what follows it.
        Some(unsafe { *(start as *const H) })
    }

    #[inline(always)]
    fn len(&self) -> u32 {
        self.bytes
    }
}

/// First and end address of the linear part of the packet.
///
/// The context has them as 32 bits, which the kernel rewrites into loads of pointers. Were the
/// compiler to know, it would compare their lower halves only, and the verifier does not take that
/// for a check of the bounds. Hence the assembly.
#[inline(always)]
fn bounds(ctx: &TcContext) -> (usize, usize) {
    #[cfg(target_arch = "bpf")]
    {
        use aya_ebpf::bindings::__sk_buff;

        let (start, end): (usize, usize);
        // SAFETY: reads two fields of the context.
        unsafe {
            core::arch::asm!(
                "{start} = *(u32 *)({skb} + {data})",
                "{end} = *(u32 *)({skb} + {data_end})",
                skb = in(reg) ctx.skb.skb,
                start = out(reg) start,
                end = lateout(reg) end,
                data = const core::mem::offset_of!(__sk_buff, data),
                data_end = const core::mem::offset_of!(__sk_buff, data_end),
                options(pure, readonly, nostack),
            );
        }
        (start, end)
    }
    #[cfg(not(target_arch = "bpf"))]
    (ctx.data(), ctx.data_end())
}

/// The same number, of which the verifier knows only that it is below 64.
///
/// It goes through all that follows once for each value that it knows a number may have. What is
/// added and taken away again here is the packet's length, of which it knows nothing.
#[inline(always)]
pub fn forget(ctx: &TcContext, number: u32) -> u32 {
    let (mut number, unknown) = (u64::from(number), u64::from(ctx.len()));
    #[cfg(target_arch = "bpf")]
    // SAFETY: arithmetic on registers.
    unsafe {
        core::arch::asm!(
            "{number} ^= {unknown}",
            "{number} ^= {unknown}",
            number = inout(reg) number,
            unknown = in(reg) unknown,
            options(pure, nomem, nostack),
        );
    }
    #[cfg(not(target_arch = "bpf"))]
    {
        number = number ^ unknown ^ unknown;
    }
    (number & 63) as u32
}

impl Packet for SkbPacket<'_> {
    #[inline(always)]
    fn read<H: Header>(&self, offset: u32) -> Option<H> {
        let offset = (self.base + offset) as usize;
        let (start, end) = bounds(self.ctx);
        let start = start + offset;
        if start + size_of::<H>() <= end {
            // SAFETY: the header lies inside the linear part of the packet, as the verifier sees.
            // The kernel keeps the IP header aligned to four bytes, and so what follows it.
            return Some(unsafe { *(start as *const H) });
        }
        // The rest of the packet may lie in fragments of the socket buffer.
        self.ctx.load(offset).ok()
    }

    #[inline(always)]
    fn len(&self) -> u32 {
        self.ctx.len().saturating_sub(self.base)
    }
}
