use std::{fs, net::IpAddr, path::Path, time::Duration};

use flowlog_common::flow::{Direction, partial};
use proptest::prelude::*;

use super::*;
use crate::{
    ask::open::Times,
    record::{
        clock::Utc,
        epoch_set::EpochSet,
        flow::{Activity, FlowRecord},
        order,
    },
    store::Store,
    table::{FLOWS, FlowsWriter, Layout, ObjectName, metadata::Description},
};

/// 2026-01-01, 00:00 UTC.
const MIDNIGHT_MS: i64 = 1_767_225_600_000;
const HOUR_MS: i64 = 3_600_000;
const HOUR: Duration = Duration::from_hours(1);

/// Few of each, so that questions find some.
const MEMBERS: [&str; 6] =
    ["10.0.0.7", "10.0.0.70", "10.1.0.7", "100.0.0.7", "2001:db8::7", "2001:db80::7"];
const REMOTES: [&str; 5] = ["192.0.2.1", "192.0.2.10", "198.51.100.1", "2001:db8:1::1", "::1"];
const PORTS: [u16; 3] = [53, 443, 8080];
const PROTOCOLS: [u8; 4] = [1, 6, 17, 47];
const GATEWAYS: [&str; 2] = ["gw-1", "gw-2"];

/// A flow, by numbers that choose each of its fields; minutes after midnight.
#[derive(Clone, Debug)]
struct Made {
    gateway: usize,
    member: usize,
    remote: Option<usize>,
    port: usize,
    protocol: usize,
    minute: i64,
    lasts_ms: i64,
    bytes: u32,
}

impl Made {
    fn start_ms(&self) -> i64 {
        MIDNIGHT_MS + self.minute * 60_000
    }

    fn hour(&self) -> i64 {
        self.minute.div_euclid(60)
    }

    fn record(&self) -> FlowRecord<'static> {
        let address = |text: &str| text.parse::<IpAddr>().unwrap().into();
        FlowRecord {
            interface: if self.port == 0 { "wg1" } else { "wg0" },
            member: address(MEMBERS[self.member]),
            remote: self.remote.map(|remote| address(REMOTES[remote])),
            member_port: 2_048,
            remote_port: PORTS[self.port],
            protocol: PROTOCOLS[self.protocol],
            activity: Activity {
                start_ms: self.start_ms(),
                end_ms: self.start_ms() + self.lasts_ms,
                packets_up: 1,
                bytes_up: self.bytes.into(),
                packets_down: self.bytes.into(),
                bytes_down: 7,
                tcp_flags_up: 3,
                tcp_flags_down: 1,
                partial: if self.remote.is_some() { 0 } else { partial::OVERFLOW },
                initiator: Direction::Up,
            },
        }
    }
}

fn made() -> impl Strategy<Value = Made> {
    let numbers = (0..2_usize, 0..6_usize, prop::option::weighted(0.9, 0..5_usize), 0..3_usize);
    let times = (0..4_usize, -90..200_i64, 0..400_000_i64, any::<u32>());
    (numbers, times).prop_map(
        |((gateway, member, remote, port), (protocol, minute, lasts_ms, bytes))| {
            // Windows cut flows: none lasts beyond its hour.
            let left_ms = (60 - minute.rem_euclid(60)) * 60_000 - 1;
            let lasts_ms = lasts_ms.min(left_ms);
            Made { gateway, member, remote, port, protocol, minute, lasts_ms, bytes }
        },
    )
}

/// Writes flows as the files of their hours, in row groups of a few rows.
fn write(store: &Path, flows: &[Made]) {
    let layout = Layout { row_group: 4, ..Layout::default() };
    for (number, gateway) in GATEWAYS.into_iter().enumerate() {
        for hour in -2..4 {
            let is_of = |made: &&Made| made.gateway == number && made.hour() == hour;
            let mut records: Vec<_> = flows.iter().filter(is_of).map(Made::record).collect();
            if records.is_empty() {
                continue;
            }
            let mut file = FlowsWriter::with_layout(vec![], &layout).unwrap();
            order::sorted(&mut records).for_each(|record| file.push(record).unwrap());
            let start = Utc::from_ms(MIDNIGHT_MS + hour * HOUR_MS);
            let description = Description {
                lineage: "x",
                gateway,
                policy: "",
                start,
                window_ms: 300_000,
                epochs: EpochSet::default(),
                numbering: "x",
            };
            let file = file.finish(description.pairs(&FLOWS, records.len() as u64)).unwrap();
            let path = store.join(ObjectName::new(&FLOWS, gateway, start, HOUR).path().as_ref());
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, file).unwrap();
        }
    }
}

fn consultation(store: &Path) -> Consultation {
    Consultation::begin(&Store::open(store.to_str().unwrap()).unwrap()).unwrap()
}

/// A question, and what a flow of the answer has, in the plainest words.
#[derive(Clone, Debug)]
struct Asked {
    gateway: Option<usize>,
    member: Option<(&'static str, &'static [usize])>,
    remote: Option<(&'static str, &'static [usize])>,
    port: Option<usize>,
    protocol: Option<usize>,
    /// Minutes after midnight: an instant, or a time.
    when: Option<(i64, Option<i64>)>,
}

fn asked() -> impl Strategy<Value = Asked> {
    let members = prop::sample::select(vec![
        ("10.0.0.7", &[0_usize][..]),
        ("::ffff:10.0.0.70", &[1]),
        ("10.0.0.0/8", &[0, 1, 2]),
        ("10.0.0.0/24", &[0, 1]),
        ("2001:DB8:0::/32", &[4]),
        ("2001:db80::0007", &[5]),
        ("0.0.0.0/0", &[0, 1, 2, 3]),
        ("203.0.113.1", &[]),
    ]);
    let remotes = prop::sample::select(vec![
        ("192.0.2.1", &[0_usize][..]),
        ("192.0.2.0/24", &[0, 1]),
        ("2001:db8:1:0::1", &[3]),
        ("0:0:0:0:0:0:0:1", &[4]),
        ("::/0", &[3, 4]),
        ("203.0.113.1", &[]),
    ]);
    let when = (-100..250_i64, prop::option::of(1..200_i64));
    let [gateway, number] = [0..2_usize, 0..3];
    (
        prop::option::of(gateway),
        prop::option::of(members),
        prop::option::of(remotes),
        prop::option::of(number),
        prop::option::of(0..4_usize),
        prop::option::of(when),
    )
        .prop_map(|(gateway, member, remote, port, protocol, when)| Asked {
            gateway,
            member,
            remote,
            port,
            protocol,
            when,
        })
}

impl Asked {
    fn question(&self) -> Question {
        let minute = |minute: i64| Utc::from_ms(MIDNIGHT_MS + minute * 60_000);
        let lasts = self.when.map(|(from, length)| match length {
            None => Lasts::at(minute(from)),
            Some(length) => Lasts::within(Times::new(minute(from), minute(from + length))),
        });
        let addresses = |of: Option<(&str, _)>| of.map(|(text, _)| text.parse().unwrap());
        let filter = Filter {
            member: addresses(self.member),
            remote: addresses(self.remote),
            port: self.port.map(|port| PORTS[port]),
            protocol: self.protocol.map(|protocol| PROTOCOLS[protocol]),
            lasts,
        };
        let gateway = self.gateway.map(|gateway| GATEWAYS[gateway].parse().unwrap());
        Question { filter, gateway, outage: OUTAGE }
    }

    fn is_answered_by(&self, flow: &Made) -> bool {
        let has_port = [6, 17].contains(&PROTOCOLS[flow.protocol]) && flow.remote.is_some();
        let (start, end) = (flow.start_ms(), flow.start_ms() + flow.lasts_ms);
        let at = |minute: i64| MIDNIGHT_MS + minute * 60_000;
        self.gateway.is_none_or(|gateway| gateway == flow.gateway)
            && self.member.is_none_or(|(_, members)| members.contains(&flow.member))
            && self.remote.is_none_or(|(_, remotes)| {
                flow.remote.is_some_and(|remote| remotes.contains(&remote))
            })
            && self.port.is_none_or(|port| has_port && port == flow.port)
            && self.protocol.is_none_or(|protocol| protocol == flow.protocol)
            && self.when.is_none_or(|(from, length)| match length {
                None => start <= at(from) + 1_000 && end >= at(from) - 1_000,
                Some(length) => start < at(from + length) && end >= at(from),
            })
    }
}

/// When a flow started, its gateway, its member, its remote and its bytes.
type Short = (i64, String, String, Option<String>, u64);

fn answer(consultation: &Consultation, asked: &Asked) -> Option<Vec<Short>> {
    let mut found = vec![];
    let report = rows(consultation, &asked.question(), |row| {
        let Row { flow_start, gateway, member_ip, remote_ip, bytes_up, .. } = row;
        let remote = remote_ip.map(str::to_owned);
        let member = (*member_ip).to_owned();
        found.push((flow_start.ms(), (*gateway).to_owned(), member, remote, *bytes_up));
        ControlFlow::Continue(())
    });
    match report {
        Err(Error::Gateway(_)) => return None,
        report => {
            let report = report.unwrap();
            assert!(report.unreadable.is_empty() && report.foreign.is_empty());
            assert_eq!(report.rows, found.len() as u64);
        }
    }
    Some(found)
}

fn expected(flows: &[Made], asked: &Asked) -> Vec<Short> {
    let short = |flow: &Made| {
        let remote = flow.remote.map(|remote| REMOTES[remote].to_owned());
        let member = MEMBERS[flow.member].to_owned();
        (flow.start_ms(), GATEWAYS[flow.gateway].to_owned(), member, remote, flow.bytes.into())
    };
    let mut expected: Vec<_> =
        flows.iter().filter(|flow| asked.is_answered_by(flow)).map(short).collect();
    expected.sort();
    expected
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// An answer has exactly the flows that have what is asked for, whatever is pruned, and by time.
    #[test]
    fn an_answer_is_that_of_a_look_at_every_flow(
        flows in prop::collection::vec(made(), 0..60),
        questions in prop::collection::vec(asked(), 12),
    ) {
        let directory = tempfile::tempdir().unwrap();
        write(directory.path(), &flows);
        let consultation = consultation(directory.path());
        for asked in questions {
            let Some(mut found) = answer(&consultation, &asked) else {
                prop_assert!(!flows.iter().any(|flow| Some(flow.gateway) == asked.gateway));
                continue;
            };
            prop_assert!(found.is_sorted_by_key(|(start, ..)| *start), "{asked:?}");
            found.sort();
            prop_assert_eq!(found, expected(&flows, &asked), "{:?}", asked);
        }
    }

    /// A ranking has the sums of the flows of the same question.
    #[test]
    fn a_ranking_adds_up_the_flows_of_its_question(
        flows in prop::collection::vec(made(), 0..60),
        asked in asked(),
    ) {
        let directory = tempfile::tempdir().unwrap();
        write(directory.path(), &flows);
        let consultation = consultation(directory.path());
        let question = asked.question();
        let of = |of, by| top(&consultation, &question, &Ranking { of, by, limit: 1_000 });
        let Ok((remotes, report)) = of(Of::Remotes, By::Flows) else { return Ok(()) };
        let of_question: Vec<&Made> =
            flows.iter().filter(|flow| asked.is_answered_by(flow)).collect();
        prop_assert_eq!(report.rows, of_question.len() as u64);
        for place in &remotes {
            let remote = place.remote_ip.clone().unwrap();
            let is_it = |flow: &&&Made| flow.remote.map(|of| REMOTES[of].to_owned()) == remote;
            let its: Vec<_> = of_question.iter().filter(is_it).collect();
            let bytes: u64 = its.iter().map(|flow| u64::from(flow.bytes) + 7).sum();
            let packets: u64 = its.iter().map(|flow| u64::from(flow.bytes) + 1).sum();
            prop_assert_eq!((place.flows, place.bytes, place.packets), (its.len() as u64, bytes, packets));
        }
        prop_assert!(remotes.is_sorted_by(|a, b| a.flows >= b.flows));
        let (members, _) = of(Of::Members, By::Bytes).unwrap();
        prop_assert!(members.is_sorted_by(|a, b| a.bytes >= b.bytes));
        let sum = |places: &[Ranked]| places.iter().map(|place| place.bytes).sum::<u64>();
        let (ports, _) = of(Of::Ports, By::Packets).unwrap();
        prop_assert!(ports.is_sorted_by(|a, b| a.packets >= b.packets));
        prop_assert_eq!([sum(&members), sum(&ports)], [sum(&remotes); 2]);
    }
}

fn some_flows() -> Vec<Made> {
    let flow = |number: usize| Made {
        gateway: 0,
        member: number % 6,
        remote: Some(number % 5),
        port: 1,
        protocol: 1,
        minute: (number % 180).try_into().unwrap(),
        lasts_ms: 10,
        bytes: number.try_into().unwrap(),
    };
    (0..900).map(flow).collect()
}

const ALL: Asked =
    Asked { gateway: None, member: None, remote: None, port: None, protocol: None, when: None };

#[test]
fn an_answer_ends_where_nobody_wants_more() {
    let directory = tempfile::tempdir().unwrap();
    write(directory.path(), &some_flows());
    let consultation = consultation(directory.path());
    for most in [1, 299, 300, 301, 899] {
        let mut count = 0;
        let report = rows(&consultation, &ALL.question(), |_| {
            count += 1;
            if count < most { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        });
        assert_eq!((count, report.unwrap().rows), (most, most));
    }
}

/// A hour that is damaged in any place is named, and all others are in the answer.
#[test]
fn a_damaged_file_is_named_and_hides_no_other() {
    let directory = tempfile::tempdir().unwrap();
    let flows = some_flows();
    write(directory.path(), &flows);
    let start = Utc::from_ms(MIDNIGHT_MS + HOUR_MS);
    let path = directory.path().join(ObjectName::new(&FLOWS, "gw-1", start, HOUR).path().as_ref());
    let whole = fs::read(&path).unwrap();
    let count = |asked: &Asked| {
        let mut count = 0;
        let report = rows(&consultation(directory.path()), &asked.question(), |_| {
            count += 1;
            ControlFlow::Continue(())
        });
        (count, report.unwrap())
    };
    let mut damaged: Vec<Vec<u8>> =
        [0, 4, whole.len() / 2, whole.len() - 1].map(|length| whole[..length].to_vec()).into();
    // Data, and a length of the footer that leads before the file.
    for (at, bits) in [(30, 0xff), (whole.len() - 5, 0x7f)] {
        let mut flipped = whole.clone();
        flipped[at] ^= bits;
        damaged.push(flipped);
    }
    damaged.push(vec![0; whole.len()]);
    for (number, bytes) in damaged.into_iter().enumerate() {
        fs::write(&path, bytes).unwrap();
        let (rows, report) = count(&ALL);
        let [Unreadable { object, .. }] = &report.unreadable[..] else { panic!("{number}") };
        assert!(object.contains("hour=01"), "{object}");
        assert!((600..900).contains(&rows), "{number}: {rows}");
        // Rows of a time are looked for an hour later, too; but where the footer shows that there are none, its rows
        // are not read.
        let (rows, report) = count(&Asked { when: Some((0, Some(1))), ..ALL });
        let is_missed = usize::from(number != 4);
        assert_eq!((rows, report.unreadable.len()), (5, is_missed), "{number}");
        let (rows, report) = count(&Asked { when: Some((130, None)), ..ALL });
        assert_eq!((rows, report.unreadable.len()), (5, 0), "{number}");
    }
}
