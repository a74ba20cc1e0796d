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

impl Packet for SkbPacket<'_> {
    #[inline(always)]
    fn read<H: Header>(&self, offset: u32) -> Option<H> {
        let offset = (self.base + offset) as usize;
        let start = self.ctx.data() + offset;
        if start + size_of::<H>() <= self.ctx.data_end() {
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
