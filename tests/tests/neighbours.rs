//! Programs and filters of others at the same hooks, which pass, drop, redirect or rewrite packets,
//! before and behind flowlog, and come and go while it counts: the ledger agrees with the interface's
//! own counters as far as both count the same, or names the gap; and the neighbour loses nothing.

#[path = "neighbours/cable.rs"]
mod cable;
#[path = "neighbours/taken_away.rs"]
mod taken_away;

use std::time::Duration;

use flowlog_tests::{Counter, Daemon, Place, Side, Verdict, has_tcx};

use cable::{Cable, NEAR, Row, next_multiple, two_drains};

/// Datagrams that are sent each way at a time.
const SENT: u64 = 100;

const VERDICTS: [Verdict; 5] =
    [Verdict::Next, Verdict::Pass, Verdict::Drop, Verdict::Redirect, Verdict::Rewrite];

fn send_both_ways(cable: &Cable) {
    cable.send_up(SENT);
    cable.send_down(SENT);
}

/// Sends before a neighbour comes, when it has just come, when flowlog has noticed, and when it has
/// gone.
fn with_neighbour<N>(
    cable: &Cable,
    daemon: Daemon,
    come: impl FnOnce() -> N,
    go: impl FnOnce(N),
) -> flowlog_tests::Ended {
    send_both_ways(cable);
    let neighbour = come();
    send_both_ways(cable);
    two_drains();
    send_both_ways(cable);
    two_drains();
    go(neighbour);
    send_both_ways(cable);
    two_drains();
    cable.end(daemon)
}

/// The ledger has what the interface has, or more of what is dropped on its way out, or a gap.
fn assert_agrees(cable: &Cable, case: &str) {
    let [up, down] = cable.ledger();
    let gaps = cable.gaps();
    let is_known = |row: &Row| row.on_interface.is_some_and(|packets| packets > 0);
    assert!(is_known(&up) && is_known(&down), "{case}: {up:?} {down:?}");
    let agrees = Some(up.seen) == up.on_interface && Some(down.seen) >= down.on_interface;
    let is_named = gaps.iter().any(|(reason, _)| reason == "not_reached" || reason == "detached");
    assert!(agrees || is_named, "{case}: {up:?} {down:?} {gaps:?}");
    // All but what was sent when the neighbour had just come.
    assert!(up.seen >= 3 * SENT, "{case}: {up:?}");
}

#[test]
fn whatever_a_program_of_another_does_the_ledger_agrees_or_names_the_gap() {
    VERDICTS.into_iter().for_each(beside_programs);
}

/// One verdict, for machines that are slow.
#[test]
fn beside_a_program_that_drops_packets_the_ledger_agrees_or_names_the_gap() {
    beside_programs(Verdict::Drop);
}

fn beside_programs(verdict: Verdict) {
    if !has_tcx() {
        return;
    }
    for place in [Place::First, Place::Last] {
        let case = format!("{verdict:?} {place:?}");
        let cable = Cable::new();
        let daemon = cable.start(&[]);
        let come = || {
            [Side::Ingress, Side::Egress]
                .map(|side| Counter::attach(&cable.gateway, NEAR, side, place, verdict))
        };
        let go = |neighbours: [Counter; 2]| {
            let passed = neighbours.each_ref().map(|neighbour| neighbour.passed().buffers);
            assert_eq!(passed, [2 * SENT; 2], "{case}");
        };
        let ended = with_neighbour(&cable, daemon, come, go);
        assert_agrees(&cable, &case);
        let is_reported = ended.stderr.contains("before flowlog");
        assert_eq!(is_reported, place == Place::First, "{case}: {}", ended.stderr);
        let lets_all_by = matches!(verdict, Verdict::Next | Verdict::Rewrite);
        if lets_all_by || place == Place::Last {
            assert_eq!(cable.gaps(), [], "{case}: {}", ended.stderr);
        }
    }
}

#[test]
fn whatever_a_filter_of_another_does_the_ledger_agrees_or_names_the_gap() {
    for attach in ["auto", "clsact"] {
        for verdict in VERDICTS {
            beside_filters(attach, verdict);
        }
    }
}

/// One verdict, for machines that are slow.
#[test]
fn beside_a_filter_that_drops_packets_the_ledger_agrees_or_names_the_gap() {
    beside_filters("clsact", Verdict::Drop);
}

fn beside_filters(attach: &str, verdict: Verdict) {
    // Of a preference that flowlog comes before, and of its own, which the newest comes first of.
    for preference in [1, 20] {
        let case = format!("{attach} {preference} {verdict:?}");
        let cable = Cable::new();
        let daemon = cable.start(&["--attach", attach]);
        let come = || {
            if !cable.tc(&format!("qdisc show dev {NEAR}")).contains("clsact") {
                cable.tc(&format!("qdisc add dev {NEAR} clsact"));
            }
            let place = |hook| (hook, preference);
            let directory = cable.bpffs.base();
            let directory = directory.parent().unwrap();
            ["ingress", "egress"]
                .map(|hook| Counter::hang(&cable.gateway, NEAR, place(hook), verdict, directory))
        };
        let go = |neighbours: [Counter; 2]| {
            let passed = neighbours.map(|neighbour| neighbour.passed().buffers);
            assert_eq!(passed, [2 * SENT; 2], "{case}");
            if preference != 1 {
                for hook in ["ingress", "egress"] {
                    cable.tc(&format!("filter del dev {NEAR} {hook} pref {preference}"));
                }
            }
        };
        let ended = with_neighbour(&cable, daemon, come, go);
        assert_agrees(&cable, &case);
        let is_before = preference == 1 && (attach == "clsact" || !has_tcx());
        let lets_all_by = matches!(verdict, Verdict::Next | Verdict::Rewrite);
        if !is_before || lets_all_by {
            assert_eq!(cable.gaps(), [], "{case}: {}", ended.stderr);
        }
    }
}

/// A neighbour that insists on being first, too, is answered a few times, and not for ever.
#[test]
fn a_fight_over_the_first_place_ends() {
    if !has_tcx() {
        return;
    }
    let cable = Cable::new();
    let daemon = cable.start(&[]);
    let mut neighbours = vec![];
    for _ in 0..6 {
        let first = Place::First;
        neighbours.push(Counter::attach(&cable.gateway, NEAR, Side::Ingress, first, Verdict::Next));
        std::thread::sleep(Duration::from_millis(700));
        cable.send_up(10);
    }
    let ended = cable.end(daemon);
    let moves = ended.stderr.matches("is the first again").count();
    assert_eq!(moves, 2, "{}", ended.stderr);
    assert_eq!(ended.stderr.matches("again and again").count(), 1, "{}", ended.stderr);
    let [up, _] = cable.ledger();
    assert_eq!((up.seen, up.on_interface, cable.gaps()), (60, Some(60), vec![]));
}

/// As `order = "last"` has it, what another program passes for good does not reach flowlog: the
/// interface's own counters show it.
#[test]
fn what_never_reaches_flowlog_is_a_gap_and_one_warning() {
    if !has_tcx() {
        return;
    }
    let cable = Cable::new();
    let neighbour =
        Counter::attach(&cable.gateway, NEAR, Side::Egress, Place::First, Verdict::Pass);
    let daemon = cable.start(&["--order", "last"]);
    for _ in 0..4 {
        cable.send_down(10);
        std::thread::sleep(Duration::from_millis(600));
    }
    two_drains();
    // The kernel detaches a moment later.
    drop(neighbour);
    two_drains();
    cable.send_down(5);
    two_drains();
    let ended = cable.end(daemon);
    let [_, down] = cable.ledger();
    assert_eq!((down.seen, down.on_interface), (5, Some(45)));
    let gaps = cable.gaps();
    assert!(!gaps.is_empty() && gaps.iter().all(|(reason, _)| reason == "not_reached"), "{gaps:?}");
    let warnings = ended.stderr.matches("did not reach flowlog").count();
    assert_eq!(warnings, 1, "{}", ended.stderr);
}

/// Bursts that end at any instant about a drain, between the readings of the two counters, too.
#[test]
fn a_burst_that_ends_at_a_drain_is_no_gap() {
    let cable = Cable::new();
    let daemon = cable.start(&["--drain-interval", "20ms"]);
    for trial in 0..250 {
        // Every second drain, so that nothing but the end of the burst is in the next.
        let drain = next_multiple(Duration::from_millis(40));
        let end = drain + trial % 100 * Duration::from_micros(60);
        cable.send_up_between(drain.saturating_sub(Duration::from_micros(500)), end);
    }
    two_drains();
    let ended = cable.end(daemon);
    let [up, _] = cable.ledger();
    assert_eq!(Some(up.seen), up.on_interface, "{}", ended.stderr);
    assert_eq!(cable.gaps(), [], "{}", ended.stderr);
}

/// Nothing is said of an interface on which nothing happens, or everything is counted.
#[test]
fn the_ledger_has_what_the_interface_counted_itself() {
    for attach in ["auto", "clsact"] {
        let cable = Cable::new();
        let daemon = cable.start(&["--attach", attach]);
        for _ in 0..5 {
            send_both_ways(&cable);
            std::thread::sleep(Duration::from_millis(230));
        }
        two_drains();
        let ended = cable.end(daemon);
        let [up, down] = cable.ledger();
        assert_eq!(Some(up.seen), up.on_interface, "{attach}: {}", ended.stderr);
        assert_eq!(Some(down.seen), down.on_interface, "{attach}: {}", ended.stderr);
        assert!(up.seen >= 5 * SENT && down.seen >= 5 * SENT, "{attach}");
        assert_eq!(cable.gaps(), [], "{attach}");
        // What another test killed, this daemon cleans up, and says so.
        let is_ours = |line: &&str| !line.contains("flows that a killed flowlog without --spool");
        let mut warnings = ended.stderr.lines().filter(|line| line.contains("WARN"));
        assert_eq!(warnings.find(is_ours), None, "{}", ended.stderr);
    }
}
