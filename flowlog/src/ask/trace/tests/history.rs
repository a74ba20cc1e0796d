//! Random histories: whoever held the address, cut into rows as a gateway writes them, and the answer of a model that
//! knows nothing of rows.

use super::*;

/// How many histories: `FLOWLOG_HISTORIES`, or as many as CI has time for.
fn histories() -> u64 {
    std::env::var("FLOWLOG_HISTORIES").ok().and_then(|n| n.parse().ok()).unwrap_or(5_000)
}

/// A time in which a member had the address from one endpoint, as one who polls knows it: the claims of one session
/// follow each other without a pause.
struct Stay {
    member: u8,
    session: u64,
    segment: u32,
    state: State,
    held: Held,
    clock_error_ms: u32,
}

/// Instants are milliseconds after the beginning of a day that has two days around it.
const DAY_MS: i64 = 86_400_000;

fn at(ms: i64) -> Utc {
    Utc::from_ms(utc("2026-11-26T00:00:00Z").ms() + ms)
}

/// Stays that follow each other, of sessions one after the other; some overlap by their slack.
fn stays(random: &mut fastrand::Rng) -> Vec<Stay> {
    let (mut stays, mut now) = (vec![], DAY_MS - random.i64(0..20_000));
    for session in 0..random.u64(1..5) {
        let member = random.u8(1..4);
        let clock_error_ms = random.u32(0..500);
        let mut slack = if random.bool() { 0 } else { random.u32(0..3_000) };
        for segment in 0..random.u32(1..4) {
            let end = now + random.i64(0..15_000);
            let end_slack_ms = if random.bool() { 0 } else { random.u32(0..3_000) };
            let held = Held { start: at(now), end: at(end), start_slack_ms: slack, end_slack_ms };
            let state = if random.u8(0..5) == 0 { State::Assigned } else { State::Tunnel };
            stays.push(Stay { member, session, segment, state, held, clock_error_ms });
            // The next endpoint is seen a poll later.
            now = end + i64::from(end_slack_ms);
            slack = end_slack_ms;
        }
        now += random.i64(-2_000..4_000).max(0);
    }
    stays
}

fn rows(stays: &[Stay]) -> Vec<SessionRow> {
    let row = |(place, stay): (usize, &Stay)| {
        let goes_on = stays.get(place + 1).is_some_and(|next| next.session == stay.session);
        let peer = Peer::of(&[stay.member; 32]);
        let first = stays.iter().find(|first| first.session == stay.session).unwrap();
        let name = format!("wg{}", stay.session);
        SessionRow {
            session: SessionId::of(&name, &wg0(), peer, first.held.start),
            segment: stay.segment,
            state: stay.state,
            held: stay.held,
            session_start: first.held.start,
            clock_error_ms: stay.clock_error_ms,
            end_reason: Some(if goes_on { EndReason::Roamed } else { EndReason::Removed }),
            ..held(stay.member, "10:00:00", "10:00:01")
        }
    };
    stays.iter().enumerate().flat_map(|(place, stay)| row((place, stay)).slices()).collect()
}

/// The model: each stay that may have been around the instant, and whether its session's tunnel was up all that time.
fn model(stays: &[Stay], at: Utc, error_ms: u32) -> Vec<(u64, u32, Certainty)> {
    let ms = |utc: Utc| utc.ms();
    let meets = |of: &Stay| {
        let error = i64::from(error_ms + of.clock_error_ms);
        let (from, to) = (ms(of.held.possible_start()), ms(of.held.possible_end()));
        from < to && from <= ms(at) + error && to > ms(at) - error
    };
    let is_up = |session: u64, ms_: i64| {
        let mut tunnels =
            stays.iter().filter(|of| of.session == session && of.state == State::Tunnel);
        tunnels.any(|of| {
            let certain = ms(of.held.start) <= ms_ && ms_ < ms(of.held.end);
            let next = stays.iter().find(|n| n.session == session && n.segment == of.segment + 1);
            let until_next = next.is_some_and(|next| {
                next.state == State::Tunnel
                    && ms(of.held.end) <= ms_
                    && ms_ < ms(next.held.start)
                    && ms(of.held.start) < ms(of.held.end)
                    && ms(next.held.start) < ms(next.held.end)
            });
            certain || until_next
        })
    };
    let certainty = |of: &Stay| {
        let error = i64::from(error_ms + of.clock_error_ms);
        let is_held = (ms(at) - error..=ms(at) + error).all(|ms_| is_up(of.session, ms_));
        if of.state == State::Tunnel && is_held { Certainty::Certain } else { Certainty::Possible }
    };
    stays.iter().filter(|of| meets(of)).map(|of| (of.session, of.segment, certainty(of))).collect()
}

#[test]
fn trace_answers_as_a_model_that_knows_the_whole_history() {
    let coverage = polls("2026-11-26T23:50:00Z", "2026-11-27T00:10:00Z");
    let mut recorded = [gateway("gw1", vec![], coverage)];
    for seed in 0..histories() {
        let mut random = fastrand::Rng::with_seed(seed);
        let stays = stays(&mut random);
        let rows = rows(&stays);
        recorded[0].sessions.clone_from(&rows);
        let (first, last) = (stays[0].held.start, stays[stays.len() - 1].held.possible_end());
        for _ in 0..4 {
            let instant = Utc::from_ms(random.i64(first.ms() - 3_000..last.ms() + 3_000));
            let error_ms = if random.bool() { 0 } else { random.u32(0..1_500) };
            let question = Question { at: instant, error_ms, ..question("10:00:00", 0) };
            let answer = judge(&question, &recorded);
            let mut expected = model(&stays, instant, error_ms);
            expected.sort_unstable();
            let session = |of: &Candidate| {
                let is_of = |row: &&SessionRow| row.session == of.session;
                let peer = rows.iter().find(is_of).unwrap();
                let start = peer.session_start;
                let is_first = |stay: &&Stay| {
                    stay.segment == 0
                        && stay.held.start == start
                        && Peer::of(&[stay.member; 32]) == of.peer
                };
                stays.iter().filter(is_first).map(|stay| stay.session).find(|session| {
                    let name = format!("wg{session}");
                    SessionId::of(&name, &wg0(), of.peer, start) == of.session
                })
            };
            let mut found: Vec<_> = answer
                .candidates
                .iter()
                .map(|of| (session(of).unwrap(), of.segment, of.certainty))
                .collect();
            found.sort_unstable();
            assert_eq!(found, expected, "seed {seed}, {instant}, {error_ms} ms");
            let members: std::collections::BTreeSet<u8> = expected
                .iter()
                .filter_map(|(session, ..)| stays.iter().find(|of| of.session == *session))
                .map(|of| of.member)
                .collect();
            let is_certain =
                expected.iter().any(|(.., certainty)| *certainty == Certainty::Certain);
            let outcome = match members.len() {
                0 => Outcome::None,
                1 if is_certain => Outcome::Identified,
                1 => Outcome::Undetermined,
                _ => Outcome::Ambiguous,
            };
            assert_eq!(answer.outcome, outcome, "seed {seed}, {instant}, {error_ms} ms");
        }
    }
}
