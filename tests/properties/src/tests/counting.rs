//! What the counts rest on: which epoch a packet belongs to, and where its totals are.

use flowlog_common::{
    epoch::EpochSwitch,
    flow::{Direction, FlowCounters, marks},
    total,
};
use proptest::prelude::*;

fn direction() -> impl Strategy<Value = Direction> {
    prop_oneof![Just(Direction::Up), Just(Direction::Down)]
}

proptest! {
    /// Every packet belongs to the epoch that was open until the announced instant, to the other
    /// one from then on, and the word in the kernel's map says the same as what it was made of.
    #[test]
    fn an_epoch_changes_once_at_its_instant(
        at: u64, near in 0..4_u64, far: u64, is_near: bool, epoch in 0..2_u32,
    ) {
        let now = if is_near { at.saturating_sub(2).saturating_add(near) } else { far };
        let switch = EpochSwitch::from_word(EpochSwitch::at(at, epoch).to_word());
        let announced = switch.switch_at_ns();
        prop_assert!(announced <= at && at - announced <= 1);
        prop_assert_eq!(switch.epoch_at(now), if now < announced { epoch } else { epoch ^ 1 });
    }

    /// Whoever still reads the old announcement after its instant and whoever reads the next one
    /// agree, as long as the next one is not yet due: no packet is between two epochs.
    #[test]
    fn the_next_announcement_moves_no_packet(
        first in 0..u64::MAX / 4, then in 2..u64::MAX / 4, after in 0..u64::MAX / 4, epoch in 0..2_u32,
    ) {
        let (now_at, next_at) = (EpochSwitch::at(first, epoch), EpochSwitch::at(first + then, epoch ^ 1));
        let now = now_at.switch_at_ns() + after % (next_at.switch_at_ns() - now_at.switch_at_ns());
        prop_assert_eq!(now_at.epoch_at(now), next_at.epoch_at(now));
        prop_assert_eq!(EpochSwitch::never(epoch ^ 1).epoch_at(now), next_at.epoch_at(now));
    }

    /// No two of interface, direction and epoch share totals, and all of them are in the table.
    #[test]
    fn totals_are_shared_by_nothing(
        interfaces in 1..=u16::MAX, a: (u16, bool, bool), b: (u16, bool, bool),
    ) {
        let index = |(interface, is_down, is_odd): (u16, bool, bool)| {
            let direction = Direction::ALL[usize::from(is_down)];
            total::index(interface % interfaces, direction, u32::from(is_odd))
        };
        let is_same = (a.0 % interfaces, a.1, a.2) == (b.0 % interfaces, b.1, b.2);
        prop_assert_eq!(index(a) == index(b), is_same);
        prop_assert!(index(a) < total::table_size(interfaces));
    }

    /// Flags of either direction, reasons and who began are kept apart, in whatever order the
    /// packets come.
    #[test]
    fn marks_of_packets_do_not_mix(
        packets in prop::collection::vec((direction(), any::<u8>(), any::<u8>()), 1..20),
    ) {
        let mut counters =
            FlowCounters { marks: marks::of_initiator(packets[0].0), ..FlowCounters::default() };
        for (direction, tcp_flags, partial) in &packets {
            counters.marks |= marks::of_packet(*direction, *tcp_flags, *partial);
        }
        let flags = |of: Direction| {
            packets.iter().filter(|(d, ..)| *d == of).fold(0, |or, (_, flags, _)| or | flags)
        };
        prop_assert_eq!(counters.tcp_flags_up(), flags(Direction::Up));
        prop_assert_eq!(counters.tcp_flags_down(), flags(Direction::Down));
        prop_assert_eq!(counters.partial(), packets.iter().fold(0, |or, (.., partial)| or | partial));
        prop_assert_eq!(counters.initiator(), packets[0].0);
    }
}
