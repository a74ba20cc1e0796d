use crate::{
    flow::{FlowKey, detail},
    fragment::FragmentKey,
    packet::{Datagram, Fragment, Part, Transport},
};

#[test]
fn no_key_and_no_packet_is_printed_with_an_address() {
    let (one, other) = ([177; 16], [188; 16]);
    let key = FlowKey {
        member: one,
        remote: other,
        member_port: [1, 2],
        remote_port: [3, 4],
        interface: 5,
        protocol: 6,
        detail: detail::FULL,
    };
    let fragment = FragmentKey {
        source: one,
        destination: other,
        identification: [1; 4],
        interface: 5,
        protocol: 6,
        reserved: 0,
    };
    let datagram = Datagram {
        source: one,
        destination: other,
        bytes: 7,
        header_bytes: 8,
        transport: Transport {
            protocol: 6,
            ports: [9; 4],
            tcp_flags: 0,
            partial: 0,
            header_bytes: 0,
        },
        fragment: Fragment { part: Part::Whole, identification: [0; 4] },
    };
    for printed in [
        format!("{key:?} {key:#?} {key:x?}"),
        format!("{fragment:?} {fragment:#?} {fragment:x?}"),
        format!("{datagram:?} {datagram:#?} {datagram:x?}"),
    ] {
        for marker in ["177", "188", "b1", "bc"] {
            assert!(!printed.contains(marker), "{printed}");
        }
        assert!(printed.contains("[address]") && printed.contains("protocol: 6"), "{printed}");
    }
}
