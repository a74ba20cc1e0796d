//! Properties of Ethernet frames.

use flowlog_common::packet::{FirstByte, LinkHeader, Packet as _, VlanTag};

use crate::{packet::hold_for_packet, recorded::Recorded};

const ETHERNET_HEADER: usize = 14;
const VLAN_TAG: usize = 4;
/// The kernel program takes frames with more of them for something else than IP.
const MAX_VLAN_TAGS: usize = 4;

/// Asserts what holds for any bytes taken for an Ethernet frame.
pub fn hold_for_frame(frame: &[u8]) {
    let Some(carried) = Carried::find(frame) else { return };
    hold_for_packet(&frame[carried.base..]);
    if carried.base < ETHERNET_HEADER + MAX_VLAN_TAGS * VLAN_TAG {
        one_more_tag_changes_nothing(frame, carried);
    }
}

/// The IP packet that a frame carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Carried {
    version: u8,
    base: usize,
}

impl Carried {
    /// The walk of the kernel program, in the words of a test.
    fn find(frame: &[u8]) -> Option<Self> {
        let mut ethertype = Recorded::new(frame, 0).read::<LinkHeader>(0)?.ethertype();
        let mut base = ETHERNET_HEADER;
        while matches!(ethertype, 0x8100 | 0x88a8 | 0x9100 | 0x9200) {
            if base == ETHERNET_HEADER + MAX_VLAN_TAGS * VLAN_TAG {
                return None;
            }
            ethertype = Recorded::new(frame, base).read::<VlanTag>(0)?.ethertype();
            base += VLAN_TAG;
        }
        let version = match ethertype {
            0x0800 => 4,
            0x86dd => 6,
            _ => return None,
        };
        let first = Recorded::new(frame, base).read::<FirstByte>(0)?;
        (first.version() == version).then_some(Self { version, base })
    }
}

/// What a frame carries does not depend on its tags.
fn one_more_tag_changes_nothing(frame: &[u8], carried: Carried) {
    let tagged = [&frame[..12], &[0x81, 0, 0xe0, 5], &frame[12..]].concat();
    let base = carried.base + VLAN_TAG;
    assert_eq!(Carried::find(&tagged), Some(Carried { base, ..carried }));
    assert_eq!(tagged[base..], frame[carried.base..]);
}
