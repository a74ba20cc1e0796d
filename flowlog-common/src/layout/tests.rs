use crate::{
    LAYOUT,
    control::{self, Control, Held},
    flow::{FlowCounters, FlowKeyV4, FlowKeyV6},
    total::{Count, Totals},
};

/// What the layout assertion of a type says.
pub(crate) trait Described {
    const LAYOUT: &str;
}

#[test]
fn another_layout_has_another_number() {
    let maps = [
        FlowKeyV4::LAYOUT,
        FlowKeyV6::LAYOUT,
        FlowCounters::LAYOUT,
        Count::LAYOUT,
        Totals::LAYOUT,
        Held::LAYOUT,
        Control::LAYOUT,
    ];
    let sizes = [control::MAX_SLOTS, control::NAME_SIZE, crate::interface::TABLE_SIZE];
    let described = format!("{} {sizes:?}", maps.join("\n"));
    assert_eq!(
        (LAYOUT, fingerprint(&described)),
        (1, 0x1aee_9ae4_0366_651b),
        "a daemon would misread the maps of the one before: change LAYOUT, and then this line\n{described}"
    );
}

/// FNV-1a.
fn fingerprint(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}
