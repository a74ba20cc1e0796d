//! How keys and packets are printed: without the addresses in them.

use core::fmt;

use crate::{flow::FlowKey, fragment::FragmentKey, packet::Datagram};

/// What is printed in place of an address.
struct Address;

impl fmt::Debug for Address {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("[address]")
    }
}

impl<const A: usize> fmt::Debug for FlowKey<A> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { member: _, remote: _, member_port, remote_port, interface, protocol, detail } =
            self;
        formatter
            .debug_struct("FlowKey")
            .field("member", &Address)
            .field("remote", &Address)
            .field("member_port", member_port)
            .field("remote_port", remote_port)
            .field("interface", interface)
            .field("protocol", protocol)
            .field("detail", detail)
            .finish()
    }
}

impl<const A: usize> fmt::Debug for FragmentKey<A> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { source: _, destination: _, identification, interface, protocol, reserved: _ } =
            self;
        formatter
            .debug_struct("FragmentKey")
            .field("source", &Address)
            .field("destination", &Address)
            .field("identification", identification)
            .field("interface", interface)
            .field("protocol", protocol)
            .finish()
    }
}

impl<const A: usize> fmt::Debug for Datagram<A> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { source: _, destination: _, bytes, header_bytes, transport, fragment } = self;
        formatter
            .debug_struct("Datagram")
            .field("source", &Address)
            .field("destination", &Address)
            .field("bytes", bytes)
            .field("header_bytes", header_bytes)
            .field("transport", transport)
            .field("fragment", fragment)
            .finish()
    }
}

#[cfg(test)]
mod tests;
