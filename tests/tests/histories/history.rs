//! Whoever held an address around a midnight.

use std::{fmt, net::IpAddr, time::Duration};

use fastrand::Rng;
use flowlog::record::{
    clock::Utc,
    session::{EndReason, Held, SessionId, SessionRow, State},
};
use flowlog_tests::holders::{session, utc, wg0};

pub const MINUTE: Duration = Duration::from_mins(1);
pub const GATEWAYS: [&str; 2] = ["gw-0", "gw-1"];

/// The midnight that all of them are around.
pub fn midnight() -> Utc {
    utc("2026-11-27T00:00:00Z")
}

/// A time in which a member held a prefix from one endpoint, as one who polls knows it.
#[derive(Debug)]
pub struct Stay {
    pub session: u64,
    pub member: u16,
    /// Its place in [`GATEWAYS`].
    pub gateway: usize,
    /// Whether the prefix is the wider one.
    pub is_wide: bool,
    pub segment: u32,
    pub state: State,
    pub held: Held,
    pub clock_error_ms: u32,
}

/// All that happened to an address.
pub struct History {
    pub number: u64,
    pub address: IpAddr,
    /// A prefix with the address, and a wider one around it.
    pub prefixes: [String; 2],
    pub stays: Vec<Stay>,
}

impl fmt::Debug for History {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "history {} of {}: {:#?}", self.number, self.address, self.stays)
    }
}

impl History {
    /// The history of a number, always the same.
    pub fn of(number: u64) -> Self {
        let mut random = Rng::with_seed(number);
        let (address, prefixes) = network(number, &mut random);
        let mut history = Self { number, address, prefixes, stays: vec![] };
        let gateway = random.usize(..2);
        history.follow(&mut random, gateway, false);
        if random.u8(..3) == 0 {
            history.follow(&mut random, gateway, true);
        }
        if random.u8(..6) == 0 {
            history.follow(&mut random, 1 - gateway, false);
        }
        history
    }

    /// Adds stays of a prefix at a gateway that follow each other, of sessions one after the other; some overlap by
    /// their slack.
    fn follow(&mut self, random: &mut Rng, gateway: usize, is_wide: bool) {
        let mut now = midnight().ms() - random.i64(0..20_000);
        for _ in 0..random.u64(1..5) {
            let session = self.stays.last().map_or(0, |stay| stay.session + 1);
            let member = random.u16(1..5);
            let clock_error_ms = random.u32(0..500);
            let mut slack = if random.bool() { 0 } else { random.u32(0..3_000) };
            for segment in 0..random.u32(1..4) {
                let end = now + random.i64(0..15_000);
                let end_slack_ms = if random.bool() { 0 } else { random.u32(0..3_000) };
                let held = Held {
                    start: Utc::from_ms(now),
                    end: Utc::from_ms(end),
                    start_slack_ms: slack,
                    end_slack_ms,
                };
                let state = if random.u8(..5) == 0 { State::Assigned } else { State::Tunnel };
                self.stays.push(Stay {
                    session,
                    member,
                    gateway,
                    is_wide,
                    segment,
                    state,
                    held,
                    clock_error_ms,
                });
                // The next endpoint is seen a poll later.
                now = end + i64::from(end_slack_ms);
                slack = end_slack_ms;
            }
            now += random.i64(-2_000..4_000).max(0);
        }
    }

    /// The rows of a gateway, not cut at midnight.
    pub fn rows(&self, gateway: usize) -> Vec<SessionRow> {
        let of_gateway = self.stays.iter().filter(|stay| stay.gateway == gateway);
        of_gateway.map(|stay| self.row(stay)).collect()
    }

    fn row(&self, stay: &Stay) -> SessionRow {
        let Stay { member, gateway, is_wide, segment, state, held, clock_error_ms, .. } = *stay;
        let prefix = &self.prefixes[usize::from(is_wide)];
        let row = session(GATEWAYS[gateway], member, prefix, held.start, held.end);
        let of_session = || self.stays.iter().filter(|of| of.session == stay.session);
        let goes_on = of_session().any(|of| of.segment > segment);
        SessionRow {
            session: self.session(stay.session),
            segment,
            // One of the members has no subscriber.
            subscriber: row.subscriber.filter(|_| member != 4),
            state,
            held,
            session_start: of_session().next().map_or(held.start, |first| first.held.start),
            session_start_slack_ms: of_session().next().map_or(0, |of| of.held.start_slack_ms),
            end_reason: Some(if goes_on { EndReason::Roamed } else { EndReason::Removed }),
            clock_error_ms,
            ..row
        }
    }

    /// The name of a session.
    pub fn session(&self, session: u64) -> SessionId {
        let stay = self.stays.iter().find(|of| of.session == session).unwrap();
        let name = format!("{} {session}", self.number);
        let row = |held: Held| super::history::session("gw", 1, "::/0", held.start, held.end);
        SessionId::of(&name, &wg0(), row(stay.held).peer, stay.held.start)
    }
}

/// Addresses that no other history has: each second one of IPv6.
fn network(number: u64, random: &mut Rng) -> (IpAddr, [String; 2]) {
    let of = |number: u64| u32::try_from(number).unwrap();
    if number.is_multiple_of(2) {
        let first = 0x0a00_0000 + of(number) * 16;
        let address = std::net::Ipv4Addr::from(first + random.u32(..16));
        let wide = std::net::Ipv4Addr::from(first);
        return (address.into(), [format!("{address}/32"), format!("{wide}/28")]);
    }
    let first = (0x2001_0db8_u128 << 96) | (u128::from(number) << 72);
    let narrow = first | (u128::from(random.u8(..)) << 64);
    let address = std::net::Ipv6Addr::from(narrow | u128::from(random.u64(..)));
    let [narrow, wide] = [narrow, first].map(std::net::Ipv6Addr::from);
    (address.into(), [format!("{narrow}/64"), format!("{wide}/56")])
}
