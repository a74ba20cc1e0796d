use flowlog_common::flow::{Direction, FlowKeyV4, FlowKeyV6, detail};

use super::*;
use crate::record::flow::Activity;

#[test]
fn members_are_in_the_order_of_their_texts_in_both_families() {
    let mut random = Random(7);
    let mut members: Vec<IpAddr> = ["10.0.0.1", "10.0.0.10", "10.0.0.9", "1.1.1.1", "::1", "100::"]
        .map(|text| text.parse().unwrap())
        .to_vec();
    for _ in 0..5_000 {
        // Few distinct octets and groups, so that one text is often the beginning of another.
        members
            .push(IpAddr::from([0; 4].map(|_: u8| [0, 1, 2, 10, 19, 100, 255][random.below(7)])));
        members.push(IpAddr::from([0; 8].map(|_: u16| [0, 0, 1, 0x10, 0xdb8][random.below(5)])));
    }
    members.sort_by_key(|member| MemberText::from(*member));
    let texts: Vec<_> = members.iter().map(ToString::to_string).collect();
    assert!(texts.is_sorted());
}

#[test]
fn keys_are_permuted_as_a_naive_sort_of_texts_would() {
    let mut random = Random(11);
    let v4: Vec<FlowKeyV4> = (0..20_000).map(|_| key(&mut random)).collect();
    let v6: Vec<FlowKeyV6> = (0..20_000).map(|_| key(&mut random)).collect();
    assert_eq!(permutation(&v4), naive(&v4));
    assert_eq!(permutation(&v6), naive(&v6));
    assert_eq!(permutation::<4>(&[]), Vec::<u32>::new());
}

#[test]
fn equal_keys_keep_their_order() {
    let mut random = Random(13);
    let keys = [key::<16>(&mut random); 100];
    assert!(permutation(&keys).is_sorted());
}

#[test]
fn rows_are_sorted_as_their_keys_are_and_then_by_start() {
    let mut random = Random(17);
    let mut keys: Vec<FlowKeyV4> = (0..5_000).map(|_| key(&mut random)).collect();
    for key in &mut keys {
        if key.detail != detail::FULL {
            // As the kernel leaves it.
            key.detail = detail::OVERFLOW;
            key.remote = [0; 4];
        }
    }
    keys.sort_unstable();
    keys.dedup();
    let names: Vec<String> = (0..3).map(|slot| format!("wg{slot}")).collect();
    let record = |key: &FlowKeyV4, start_ms| FlowRecord {
        interface: &names[usize::from(key.interface)],
        member: key.member.into(),
        remote: (key.detail == detail::FULL).then(|| key.remote.into()),
        member_port: u16::from_be_bytes(key.member_port),
        remote_port: u16::from_be_bytes(key.remote_port),
        protocol: key.protocol,
        activity: Activity { start_ms, ..IDLE },
    };
    let mut records: Vec<_> =
        [9, 5].iter().flat_map(|start| keys.iter().map(|key| record(key, *start))).collect();
    let expected: Vec<_> = permutation(&keys)
        .into_iter()
        .flat_map(|index| [5, 9].map(|start| record(&keys[index as usize], start)))
        .collect();
    assert!(sorted(&mut records).eq(&expected));
}

const IDLE: Activity = Activity {
    start_ms: 0,
    end_ms: 0,
    packets_up: 0,
    bytes_up: 0,
    packets_down: 0,
    bytes_down: 0,
    tcp_flags_up: 0,
    tcp_flags_down: 0,
    partial: 0,
    initiator: Direction::Up,
};

fn naive<const A: usize>(keys: &[FlowKey<A>]) -> Vec<u32>
where
    IpAddr: From<[u8; A]>,
{
    let mut order: Vec<u32> = (0..20_000).collect();
    order.sort_by_key(|index| {
        let key = keys[*index as usize];
        let text = IpAddr::from(key.member).to_string();
        let ports = (key.remote_port, key.remote, key.member_port);
        (text, key.protocol, ports, key.interface, key.detail)
    });
    order
}

/// Few distinct values of every part, so that each of them decides somewhere.
fn key<const A: usize>(random: &mut Random) -> FlowKey<A> {
    let mut address = [0; A];
    address[0] = [1, 10, 32][random.below(3)];
    address[A - 1] = [0, 1, 9, 10][random.below(4)];
    let mut remote = [8; A];
    remote[A - 1] = low(random.below(3));
    let port = |random: &mut Random| [[0, 53], [1, 0xbb], [0x80, 0]][random.below(3)];
    FlowKey {
        member: address,
        remote,
        member_port: port(random),
        remote_port: port(random),
        interface: u16::from(low(random.below(3))),
        protocol: [1, 6, 17][random.below(3)],
        detail: low(random.below(3)),
    }
}

fn low(number: usize) -> u8 {
    u8::try_from(number).unwrap()
}

struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 33).unwrap() % bound
    }
}
