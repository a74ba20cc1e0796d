//! The headers as they lie in the packet. Integers are in network order until converted.

/// A header that may be copied out of a packet.
///
/// # Safety
///
/// Every pattern of bytes must be a value of the type, and the type must have no padding.
pub unsafe trait Header: Copy {}

macro_rules! headers {
    ($($(#[$doc:meta])* $name:ident, size $size:literal { $($field:ident: $type:ty),+ $(,)? })+) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy)]
        #[repr(C)]
        pub struct $name { $(pub(crate) $field: $type),+ }

        const _: () = {
            assert!(size_of::<$name>() == $size);
            assert!(0 $(+ size_of::<$type>())+ == $size);
        };

        // SAFETY: integers and arrays of them, without padding as asserted above.
        unsafe impl Header for $name {}
    )+};
}

headers! {
    /// The first byte of an IP packet: the version is its upper half.
    FirstByte, size 1 { version_and_more: u8 }

    /// Ethernet II.
    LinkHeader, size 14 { destination: [u16; 3], source: [u16; 3], ethertype: u16 }

    /// 802.1Q, after the type that announces it.
    VlanTag, size 4 { control: u16, ethertype: u16 }

    /// RFC 791, without options.
    Ipv4, size 20 {
        version_ihl: u8,
        tos: u8,
        total_length: u16,
        identification: u16,
        fragment: u16,
        ttl: u8,
        protocol: u8,
        checksum: u16,
        source: u32,
        destination: u32,
    }

    /// RFC 8200. Addresses are read by words of four bytes, to which the header is aligned.
    Ipv6, size 40 {
        version_class_label: u32,
        payload_length: u16,
        next_header: u8,
        hop_limit: u8,
        source: [u32; 4],
        destination: [u32; 4],
    }

    /// What all extension headers of RFC 8200 begin with, in the least size that one has.
    Extension, size 8 {
        next_header: u8,
        length: u8,
        fragment: u16,
        identification: u32,
    }

    /// Source and destination port, which TCP, UDP, UDP-Lite, SCTP and DCCP all begin with.
    Ports, size 4 { ports: u32 }

    /// The part of a TCP header (RFC 9293) that ends with the flags.
    TcpFlags, size 2 { data_offset: u8, flags: u8 }

    /// What ICMP and ICMPv6 begin with.
    Icmp, size 2 { kind: u8, code: u8 }
}

impl FirstByte {
    /// The IP version that the packet claims.
    #[inline(always)]
    #[must_use]
    pub const fn version(self) -> u8 {
        self.version_and_more >> 4
    }
}

impl LinkHeader {
    /// What the frame carries.
    #[inline(always)]
    #[must_use]
    pub const fn ethertype(self) -> u16 {
        u16::from_be(self.ethertype)
    }
}

impl VlanTag {
    /// What the frame carries behind this tag.
    #[inline(always)]
    #[must_use]
    pub const fn ethertype(self) -> u16 {
        u16::from_be(self.ethertype)
    }
}
