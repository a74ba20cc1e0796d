//! Flows that are made up: members and remotes are chosen unevenly, one flow in seven is IPv6, counters
//! and times spread as on a busy gateway.

use flowlog::record::flow::Activity;
use flowlog_common::flow::Direction;

use super::Table;

const FLOWS: usize = 1_000_000;
const MEMBERS: u64 = 2_000;
const REMOTES: u64 = 200_000;
/// 2026-09-21, in the middle of an hour, and five minutes.
const BEGINS_MS: i64 = 1_790_000_100_000;
const LASTS_MS: u64 = 290_000;

pub fn table() -> anyhow::Result<Table> {
    let mut random = Random(42);
    let mut table = Table::default();
    for _ in 0..FLOWS {
        let member = low_bytes(random.uneven(MEMBERS));
        // Addresses of remotes are scattered over the whole space.
        let remote = low_bytes(random.uneven(REMOTES).wrapping_mul(2_654_435_761));
        let is_udp = random.below(4) == 0;
        let activity = activity(&mut random, is_udp);
        let member_port = 0x8000 | u16::try_from(random.below(1 << 15))?;
        let (protocol, remote_port) = if is_udp { (17, 53) } else { (6, 443) };
        let ports = [member_port, remote_port];
        if random.below(7) == 0 {
            let mut addresses = [[0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]; 2];
            addresses[0][12..].copy_from_slice(&member);
            addresses[1][4..8].copy_from_slice(&remote);
            table.v6.push(&addresses[0], &addresses[1], ports, protocol, activity)?;
        } else {
            let member = [10, member[1], member[2], member[3]];
            table.v4.push(&member, &remote, ports, protocol, activity)?;
        }
    }
    Ok(table)
}

fn activity(random: &mut Random, is_udp: bool) -> Activity {
    let packets_up = if is_udp { 1 } else { 3 + random.uneven(200) };
    let packets_down = if is_udp { 1 } else { 2 + random.uneven(400) };
    let start_ms = BEGINS_MS + random.below(LASTS_MS).cast_signed();
    let flags = if is_udp { 0 } else { 0x1b };
    Activity {
        start_ms,
        end_ms: start_ms + random.uneven(9_000).cast_signed(),
        packets_up,
        bytes_up: packets_up * (52 + random.below(200)),
        packets_down,
        bytes_down: packets_down * (60 + random.below(1_380)),
        tcp_flags_up: flags,
        tcp_flags_down: flags,
        partial: 0,
        initiator: Direction::Up,
    }
}

fn low_bytes(number: u64) -> [u8; 4] {
    let [.., a, b, c, d] = number.to_be_bytes();
    [a, b, c, d]
}

/// Xorshift; good enough to be uneven with.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }

    /// Small numbers far more often than large ones.
    fn uneven(&mut self, bound: u64) -> u64 {
        let (a, b) = (self.below(bound) + 1, self.below(bound) + 1);
        self.below(a.min(b))
    }
}
