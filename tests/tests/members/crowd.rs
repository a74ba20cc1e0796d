//! Many members, who come and go: whoever is identified is the one, and nearly everyone is.

use std::{
    fmt::Write as _,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    thread,
    time::{Duration, Instant},
};

use flowlog::{
    demo::GATEWAY,
    record::clock::{self, Utc},
};
use flowlog_tests::{KernelClock, Random, Seen, wants_the_kernels};
use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use super::{
    journal::Journal,
    site::{Answer, Name, POLL, Site},
};

const GATEWAYS: &[Name] = &[("gw1", "default")];
/// One turn of traffic and changes.
const TURN: Duration = Duration::from_secs(1);
/// Changes in a turn.
const CHANGES: usize = 3;
/// So long a member is left alone after a change.
const REST: Duration = Duration::from_secs(6);
/// A packet that comes out of a tunnel is captured so much later at most.
const CAPTURED: Duration = Duration::from_millis(500);
/// Whoever sends has keys that live so much longer: new ones are made when they are two minutes old.
const ALIVE: Duration = Duration::from_secs(50);
/// What a daemon knows is in the store so much later.
const PUBLISHED: Duration = Duration::from_secs(10);
/// For so long nobody looks: the daemon is killed meanwhile.
const ABSENCE: Duration = Duration::from_secs(2);

/// How much of it there is.
#[derive(Clone, Copy)]
struct Size {
    members: usize,
    turns: usize,
    questions: usize,
    /// Questions about an address that somebody held, away from a change: no fewer prove anything; of those afterwards, and of
    /// those beside the daemon.
    held: [usize; 2],
}

const LARGE: Size = Size { members: 200, turns: 55, questions: 2_000, held: [1_000, 13] };
/// Where a machine with the kernel's WireGuard is emulated.
const SMALL: Size = Size { members: 20, turns: 20, questions: 120, held: [30, 2] };

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Up,
    /// Its process is gone; its gateway does not know that.
    Crashed,
    /// Its gateway does not know it.
    Removed,
}

struct Crowd {
    size: Size,
    site: Site,
    journal: Journal,
    random: Random,
    members: Vec<Member>,
    next_port: usize,
}

struct Member {
    state: State,
    prefixes: Vec<IpNet>,
    rests_until: Instant,
}

#[derive(Clone, Copy, Debug)]
struct Question {
    address: IpAddr,
    /// What its holder holds.
    prefix: IpNet,
    at: Utc,
    /// Who sent a packet from it, captured at that instant.
    sender: Option<usize>,
}

/// The time in which there was no daemon, and all that there was.
#[derive(Clone, Copy)]
struct Times {
    all: (Utc, Utc),
    absence: (Utc, Utc),
    /// When a daemon looked again.
    back: Utc,
}

/// Questions whose answer should be certain, and those of which it was.
#[derive(Debug, Default)]
struct Score {
    held: [usize; 2],
    free: [usize; 2],
    of_networks: usize,
}

#[test]
fn whoever_is_identified_among_many_members_is_the_one_and_nearly_everyone_is() {
    let clock = KernelClock::good();
    let started = Instant::now();
    let size = if wants_the_kernels() { SMALL } else { LARGE };
    let mut crowd = Crowd::new(size);
    let capture = crowd.site.members.capture(0, &crowd.site.directory().join("members.pcap"));
    crowd.site.run();
    let begin = clock::now();
    crowd.connect_all();
    let (mut live, mut handshakes) = (vec![], vec![]);
    let mut absence = (begin, begin, begin);
    for turn in 0..size.turns {
        let next = Instant::now() + TURN;
        if turn == size.turns / 2 {
            absence = crowd.site.restart_after(0, ABSENCE);
        }
        crowd.send_all();
        if turn == 0 {
            handshakes = crowd.handshakes();
        }
        (0..CHANGES).for_each(|_| crowd.change());
        // A daemon that runs is asked too.
        let question = crowd.question((begin, clock::now().minus(PUBLISHED)));
        live.push((question, question.answer(&crowd.site.path("store"))));
        thread::sleep(next.saturating_duration_since(Instant::now()));
    }
    let end = clock::now();
    thread::sleep(3 * POLL);
    crowd.site.finish();
    drop(clock);
    let run = started.elapsed();
    let seen = Seen::all(capture);

    let (from, to, back) = absence;
    let times = Times { all: (begin, end), absence: (from, to), back };
    crowd.compare_with_capture(&seen);
    let mut score = Score::default();
    for (question, answer) in &crowd.ask_all(times, &seen) {
        crowd.judge(question, answer, times);
        crowd.rate(question, answer, times, &seen, &mut score);
    }
    let mut of_live = Score::default();
    for (question, answer) in &live {
        crowd.judge(question, answer, times);
        crowd.rate(question, answer, times, &seen, &mut of_live);
    }
    crowd.compare_with_handshakes(&handshakes);
    crowd.ask_outside(times);
    let (given, cut) = crowd.journal.counts();
    println!(
        "{} members, {} packets, {given} changes of an address, {cut} of a tunnel in {run:?}; {} questions: {score:?}; \
         beside a daemon that ran: {of_live:?}; {:?} in all",
        size.members,
        seen.len(),
        size.questions,
        started.elapsed()
    );
    assert!(score.free[0] > 0 && score.of_networks > 0, "{score:?}");
    score.assert_good(size.held[0]);
    of_live.assert_good(size.held[1]);
}

impl Crowd {
    fn new(size: Size) -> Self {
        let site = Site::new(GATEWAYS, size.members);
        let member = |number| Member {
            state: State::Up,
            prefixes: networks(number),
            rests_until: Instant::now(),
        };
        let members: Vec<Member> = (0..site.members.count()).map(member).collect();
        let (journal, random) = (Journal::default(), Random(0x9e37_79b9_7f4a_7c15));
        let mut crowd = Self { size, site, journal, random, members, next_port: 31_000 };
        let given: Vec<(usize, String)> =
            crowd.members.iter().map(|member| joined(&member.prefixes)).enumerate().collect();
        let Self { site, journal, members, .. } = &mut crowd;
        journal.give([], None, || site.members.assign(0, &given));
        for (number, member) in members.iter().enumerate() {
            journal.give(member.prefixes.clone(), Some(number), || ());
        }
        crowd
    }

    fn connect_all(&mut self) {
        for member in 0..self.members.len() {
            self.connect(member);
        }
    }

    fn connect(&mut self, member: usize) {
        let Self { site, journal, .. } = self;
        journal.cut(member, || site.members.connect(member, 0));
        self.send(member);
    }

    /// A member sends from one of its addresses.
    fn send(&mut self, member: usize) {
        let prefixes = &self.members[member].prefixes;
        if prefixes.is_empty() || self.members[member].state != State::Up {
            return;
        }
        let prefix = prefixes[self.random.below(prefixes.len())];
        let from = address_in(&prefix, &mut self.random);
        self.site.members.send(member, from, GATEWAY[usize::from(from.is_ipv6())]);
    }

    fn send_all(&mut self) {
        for member in 0..self.members.len() {
            self.send(member);
        }
    }

    /// Something happens to somebody who was left alone for a while.
    fn change(&mut self) {
        let Some(member) = self.rested() else { return };
        match (self.members[member].state, self.random.below(4)) {
            (State::Removed, _) => self.admit(member),
            (State::Crashed, _) => {
                self.site.members.start_again(member);
                self.members[member].state = State::Up;
                self.connect(member);
            }
            (State::Up, 0) => self.hand_over(member),
            (State::Up, 1) => self.remove(member),
            (State::Up, 2) => {
                self.site.members.crash(member);
                self.members[member].state = State::Crashed;
            }
            (State::Up, _) => {
                self.next_port += 1;
                self.site.members.roam(member, self.next_port);
                self.send(member);
            }
        }
        self.members[member].rests_until = Instant::now() + REST;
    }

    fn rested(&mut self) -> Option<usize> {
        let count = self.members.len();
        let mut choices = (0..20).map(|_| self.random.below(count));
        choices.find(|choice| self.members[*choice].rests_until <= Instant::now())
    }

    /// One of the addresses of a member is another one's from now on.
    fn hand_over(&mut self, from: usize) {
        let Some(to) = self.rested() else { return };
        let is_possible = to != from && self.members[to].state == State::Up;
        let Some(prefix) = self.members[from].prefixes.last().copied().filter(|_| is_possible)
        else {
            return;
        };
        self.members[from].prefixes.pop();
        self.members[to].prefixes.push(prefix);
        let Self { site, journal, members, .. } = self;
        let prefixes = joined(&members[to].prefixes);
        journal.give([prefix], Some(to), || site.members.assign(0, &[(to, prefixes)]));
        self.members[to].rests_until = Instant::now() + REST;
        self.send(to);
    }

    fn remove(&mut self, member: usize) {
        let Self { site, journal, members, .. } = self;
        let prefixes = members[member].prefixes.clone();
        journal.give(prefixes, None, || site.members.remove(0, member));
        journal.cut(member, || ());
        members[member].state = State::Removed;
    }

    fn admit(&mut self, member: usize) {
        let Self { site, journal, members, .. } = self;
        let prefixes = members[member].prefixes.clone();
        let given = joined(&prefixes);
        journal.give(prefixes, Some(member), || site.members.assign(0, &[(member, given)]));
        members[member].state = State::Up;
        self.connect(member);
    }

    /// Any address at any instant of a time.
    fn question(&mut self, (from, to): (Utc, Utc)) -> Question {
        let all = self.members.len();
        let prefix = match self.random.below(20) {
            // One that nobody ever has, and one of a network.
            0 => address_of(all + 7),
            1..4 => network_of(self.random.below(all / 4) * 4),
            _ => address_of(self.random.below(all)),
        };
        let length = usize::try_from((to.ns() - from.ns()).max(1)).unwrap();
        let after = u64::try_from(self.random.below(length)).unwrap();
        let at = from.plus(Duration::from_nanos(after));
        Question { address: address_in(&prefix, &mut self.random), prefix, at, sender: None }
    }

    /// Random questions, one in four of them about a packet; by the command, several at a time.
    fn ask_all(&mut self, times: Times, seen: &[Seen]) -> Vec<(Question, Answer)> {
        let questions: Vec<Question> = (0..self.size.questions)
            .map(|number| {
                let question = self.question(times.all);
                let packet = seen[self.random.below(seen.len())];
                if number % 4 > 0 { question } else { Question::about(packet) }
            })
            .collect();
        let threads = thread::available_parallelism().unwrap().get();
        let store = &self.site.path("store");
        let answers = move |part: &[Question]| -> Vec<(Question, Answer)> {
            part.iter().map(|question| (*question, question.answer(store))).collect()
        };
        thread::scope(|scope| {
            let parts = questions.chunks(questions.len().div_ceil(threads));
            let asked: Vec<_> = parts.map(|part| scope.spawn(move || answers(part))).collect();
            asked.into_iter().flat_map(|part| part.join().unwrap()).collect()
        })
    }

    /// Nothing that an answer is certain of is wrong.
    fn judge(&self, question: &Question, answer: &Answer, times: Times) {
        let Question { prefix, at, sender, .. } = question;
        let holders = self.journal.holders(prefix, *at);
        let is_during = |(from, to): (Utc, Utc)| from <= *at && *at <= to;
        let mut wrong = String::new();
        let code = match answer.outcome.as_str() {
            "identified" => {
                let member = answer.identified();
                if !holders.contains(&member) {
                    write!(wrong, "not the holder; ").unwrap();
                }
                let connected = member.and_then(|member| self.journal.last_cut(member, *at));
                if connected.is_none() {
                    write!(wrong, "not connected yet; ").unwrap();
                }
                let is_sender = sender.is_none_or(|sender| member == Some(sender));
                if !is_sender && !self.journal.is_near_change(prefix, *at, CAPTURED) {
                    write!(wrong, "not the sender; ").unwrap();
                }
                0
            }
            "none" => {
                if !holders.contains(&None) {
                    write!(wrong, "somebody had it; ").unwrap();
                }
                1
            }
            "ambiguous" => 4,
            _ => 5,
        };
        if code < 2 && is_during(times.absence) {
            write!(wrong, "nobody looked; ").unwrap();
        }
        if code != answer.code {
            write!(wrong, "another exit code; ").unwrap();
        }
        assert!(wrong.is_empty(), "{wrong}{question:?} of {holders:?}: {answer:#?}");
    }

    /// Counts an answer that should be certain.
    fn rate(
        &self,
        question: &Question,
        answer: &Answer,
        times: Times,
        seen: &[Seen],
        score: &mut Score,
    ) {
        let Question { prefix, at, .. } = question;
        let Times { absence: (from, _), back, .. } = times;
        let is_absent = from.minus(2 * POLL) <= *at && *at <= back.plus(2 * POLL);
        if is_absent || self.journal.is_near_change(prefix, *at, 2 * POLL) {
            return;
        }
        let (kept, is_certain) = match self.journal.holders(prefix, *at)[..] {
            [Some(member)] => {
                let is_new = self.journal.is_near_cut(member, *at, 2 * POLL);
                if is_new || !self.is_alive(member, *at, seen) {
                    return;
                }
                score.of_networks += usize::from(prefix.prefix_len() == 56);
                (&mut score.held, answer.identified() == Some(member))
            }
            _ => (&mut score.free, answer.outcome == "none"),
        };
        kept[0] += 1;
        kept[1] += usize::from(is_certain);
    }

    /// Whether a member had sent something through its tunnel a while before.
    fn is_alive(&self, member: usize, at: Utc, seen: &[Seen]) -> bool {
        let Some(since) = self.journal.last_cut(member, at) else { return false };
        let since = since.max(at.minus(ALIVE));
        seen.iter().any(|of| of.member == member && since <= of.at && of.at <= at)
    }

    /// What came out of the tunnels agrees with the journal.
    fn compare_with_capture(&self, seen: &[Seen]) {
        assert!(seen.len() > self.members.len() * self.size.turns / 3, "{}", seen.len());
        for packet in seen {
            let prefix = held_prefix(packet.source);
            let [before, now] = [packet.at.minus(CAPTURED), packet.at]
                .map(|at| self.journal.holders(&prefix, at).contains(&Some(packet.member)));
            assert!(before || now, "{packet:?}");
        }
    }

    /// When some were connected, by their own account; and when they were asked.
    fn handshakes(&self) -> Vec<(usize, Utc, Utc)> {
        let some = (0..self.members.len()).step_by(self.members.len() / 20);
        let handshake = |member| Some((member, self.site.members.handshake(member)?, clock::now()));
        some.filter_map(handshake).collect()
    }

    /// A session begins with the handshake, as the member knows it.
    fn compare_with_handshakes(&self, handshakes: &[(usize, Utc, Utc)]) {
        let mut compared = 0;
        for (member, handshake, at) in handshakes {
            let answer = self.site.ask(address_of(*member).addr(), *at, &[]);
            // Some give it away a moment later.
            let Some(_) = answer.identified() else { continue };
            compared += 1;
            let candidate = &answer.whole["candidates"][0];
            let from: jiff::Timestamp = candidate["from"].as_str().unwrap().parse().unwrap();
            let apart = Utc::from(from).distance(*handshake);
            assert!(apart < Duration::from_secs(2), "{handshake} {answer:#?}");
        }
        assert!(compared >= 10, "{compared} of {handshakes:?}");
    }

    /// Before the first look and after the last one nobody is nobody.
    fn ask_outside(&self, times: Times) {
        let nobodys = address_of(self.members.len() + 7).addr();
        let hour = Duration::from_hours(1);
        for at in [times.all.0.minus(hour), times.all.1.plus(hour), times.absence.0] {
            let answer = self.site.ask(nobodys, at, &[]);
            assert_eq!(answer.outcome, "undetermined", "{at} {answer:#?}");
        }
    }
}

impl Question {
    fn about(packet: Seen) -> Self {
        let Seen { at, source, member } = packet;
        Self { address: source, prefix: held_prefix(source), at, sender: Some(member) }
    }

    fn answer(&self, store: &str) -> Answer {
        Answer::from(store, self.address, self.at, &["--error", "0s"])
    }
}

impl Score {
    /// 1,900 of 2,000, in proportion.
    fn assert_good(&self, at_least: usize) {
        assert!(self.held[0] >= at_least, "{self:?}");
        for [all, certain] in [self.held, self.free] {
            assert!(certain * 20 >= all * 19, "{self:?}");
        }
    }
}

/// What a member has in the beginning: an address, and one in four a network too.
fn networks(member: usize) -> Vec<IpNet> {
    let network = member.is_multiple_of(4).then(|| network_of(member));
    std::iter::once(address_of(member)).chain(network).collect()
}

fn address_of(member: usize) -> IpNet {
    let [high, low] = u16::try_from(member + 2).unwrap().to_be_bytes();
    Ipv4Net::from(Ipv4Addr::new(10, 66, high, low)).into()
}

fn network_of(member: usize) -> IpNet {
    let number = u16::try_from(member).unwrap();
    let address = Ipv6Addr::new(0x2001, 0xdb8, number, 0x100, 0, 0, 0, 0);
    Ipv6Net::new(address, 56).unwrap().into()
}

/// What the holder of an address holds.
fn held_prefix(address: IpAddr) -> IpNet {
    let length = if address.is_ipv4() { 32 } else { 56 };
    IpNet::new(address, length).unwrap().trunc()
}

/// Any address of a prefix.
fn address_in(prefix: &IpNet, random: &mut Random) -> IpAddr {
    match prefix {
        IpNet::V4(prefix) => prefix.addr().into(),
        IpNet::V6(prefix) => {
            let low = u128::try_from(random.below(1 << 40)).unwrap();
            let host = low << 32 | u128::try_from(random.below(1 << 30)).unwrap();
            Ipv6Addr::from_bits(prefix.addr().to_bits() | host).into()
        }
    }
}

fn joined(prefixes: &[IpNet]) -> String {
    prefixes.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
}
