use super::{
    super::{
        event::Event,
        tracker::{
            ClockState, Tracker,
            tests::{peer, report, second, wg0},
        },
    },
    *,
};
use crate::record::session::{Content, CoverageReason, EndReason, Entry, Since};

const POLL: Duration = Duration::from_secs(5);

struct World {
    tracker: Tracker,
    fold: Fold,
    /// All that was written down.
    written: Vec<(u64, Utc, Event)>,
}

impl World {
    fn new() -> Self {
        Self { tracker: Tracker::new("gw1".to_owned()), fold: Fold::default(), written: vec![] }
    }

    fn look(&mut self, at: i64, entries: &[Entry]) {
        self.take(at, Content::Listing(entries.to_vec()));
    }

    fn take(&mut self, at: i64, content: Content) {
        let report = report(at, content);
        let events = self.tracker.take(report, POLL, ClockState::default());
        self.write(at, events);
    }

    fn write(&mut self, at: i64, events: Vec<Event>) {
        for event in events {
            let number = self.written.len() as u64 + 1;
            let (kind, body) = event.write();
            assert_eq!(Event::read(kind, &body).unwrap(), event);
            self.written.push((number, second(at), event.clone()));
            self.fold.take(("s1", number, second(at)), event);
        }
    }

    /// As if the daemon had been killed, and the events up to a number were in the store.
    fn restart(&mut self, released: u64) {
        self.fold = Fold::default();
        for (number, time, event) in &self.written {
            if *number > released {
                self.fold.take(("s1", *number, *time), event.clone());
            }
        }
        let (day, looked, rows) = self.fold.standing();
        self.tracker = Tracker::new("gw1".to_owned());
        self.tracker.restore(day, looked, rows);
        self.tracker.restore_ended(self.fold.ended());
    }

    fn files(&mut self, day: i64) -> DayFiles {
        self.fold.files(second(day * 86_400)).unwrap()
    }
}

/// Seconds of the rows of a day, and whether they go on.
fn shown(files: &DayFiles) -> Vec<(i64, i64, bool)> {
    let seconds = |at: Utc| (at.ms() - second(0).ms()) / 1_000;
    let rows = files.sessions.iter();
    rows.map(|row| (seconds(row.held.start), seconds(row.held.end), row.continues)).collect()
}

#[test]
fn an_open_row_ends_at_the_last_look_and_a_day_at_midnight() {
    let mut world = World::new();
    let ada = peer(1, 0, &["10.0.0.1/32"]);
    world.look(0, std::slice::from_ref(&ada));
    world.look(5, std::slice::from_ref(&ada));
    assert_eq!(shown(&world.files(0)), [(0, 5, true)]);
    assert!(world.fold.changed().is_empty());
    world.look(86_398, std::slice::from_ref(&ada));
    assert!(world.fold.over().is_empty());
    world.look(86_402, std::slice::from_ref(&ada));
    world.look(86_407, &[]);
    // A silence of a day came before: nothing was taken for granted.
    assert_eq!(shown(&world.files(0)), [(0, 5, false), (86_398, 86_400, true)]);
    assert_eq!(shown(&world.files(1)), [(86_400, 86_402, false)]);
    let day = second(0);
    let [(over, last)] = world.fold.over()[..] else { panic!("{:?}", world.fold.over()) };
    assert_eq!(over, day);
    // The events of the next day are enough to go on, and the day before is not touched.
    world.restart(last);
    assert_eq!(shown(&world.files(1)), [(86_400, 86_402, false)]);
    assert!(world.fold.files(day).is_none());
    assert!(world.fold.take_late().is_empty());
}

#[test]
fn an_end_that_comes_after_its_day_was_stored_for_good_is_counted() {
    let mut world = World::new();
    let ada = peer(1, 0, &["10.0.0.1/32"]);
    world.look(86_398, std::slice::from_ref(&ada));
    world.look(86_402, std::slice::from_ref(&ada));
    world.fold.forget(second(0));
    let ended = Content::Ended { key: ada.key, reason: EndReason::Disconnected, bytes: None };
    let events = world.tracker.take(report(86_399, ended), POLL, ClockState::default());
    for (number, event) in (world.written.len() as u64 + 1..).zip(events) {
        world.fold.take(("s1", number, second(86_403)), event);
    }
    assert_eq!(world.fold.take_late(), BTreeMap::from([(wg0(), 1)]));
    assert!(world.fold.take_late().is_empty(), "it was reported");
}

#[test]
fn a_kill_at_any_event_gives_the_same_rows_as_none() {
    let ada = peer(1, 0, &["10.0.0.1/32", "2001:db8:1::/56"]);
    let looks: Vec<i64> = (0..8).map(|look| 86_380 + look * 5).collect();
    let play = |killed: Option<usize>| {
        let mut world = World::new();
        for (place, at) in looks.iter().enumerate() {
            if killed == Some(place) {
                world.restart(0);
            }
            world.look(*at, std::slice::from_ref(&ada));
        }
        let files = [world.files(0), world.files(1)];
        files.map(|files| {
            (shown(&files), files.coverage.iter().filter_map(|row| row.gap).collect::<Vec<_>>())
        })
    };
    let undisturbed = play(None);
    for killed in 1..looks.len() {
        let killed_here = play(Some(killed));
        for (day, (rows, gaps)) in killed_here.iter().enumerate() {
            assert_eq!(*rows, undisturbed[day].0);
            assert!(
                undisturbed[day].1.is_empty()
                    && gaps.iter().all(|gap| gap.reason == CoverageReason::Down)
            );
        }
        let gaps: usize = killed_here.iter().map(|(_, gaps)| gaps.len()).sum();
        // The absence at midnight is a gap on each side of it.
        assert!((1..=2).contains(&gaps), "{gaps}");
    }
}

#[test]
fn coverage_has_no_hole_between_windows_and_names_a_gap_in_each_of_them() {
    let mut world = World::new();
    for at in [3_590, 3_595, 3_603, 3_608] {
        world.look(at, &[]);
    }
    world.look(3_700, &[]);
    let coverage = world.files(0).coverage;
    let seconds = |at: Utc| (at.ms() - second(0).ms()) / 1_000;
    let observed: Vec<_> = coverage
        .iter()
        .filter(|row| row.gap.is_none())
        .map(|row| (seconds(row.observed.0), seconds(row.observed.1), row.reports))
        .collect();
    assert_eq!(observed, [(3_590, 3_600, 2), (3_600, 3_700, 3)]);
    let gaps: Vec<_> = coverage
        .iter()
        .filter_map(|row| row.gap)
        .map(|gap| (seconds(gap.start), seconds(gap.end)))
        .collect();
    assert_eq!(gaps, [(3_608, 3_700)]);
    assert!(coverage.iter().all(|row| row.instance == wg0()));
}

#[test]
fn days_without_a_daemon_are_gaps_of_their_own() {
    let mut world = World::new();
    let ada = peer(1, 0, &["10.0.0.1/32"]);
    world.look(10, std::slice::from_ref(&ada));
    world.restart(0);
    world.look(2 * 86_400 + 10, &[ada]);
    for (day, hours) in [(0, 24), (1, 24), (2, 1)] {
        let files = world.files(day);
        assert_eq!(files.coverage.iter().filter(|row| row.gap.is_some()).count(), hours, "{day}");
    }
    assert!(world.files(1).events.is_empty());
    assert_eq!(world.fold.over().len(), 2);
}

#[test]
fn a_session_that_may_have_begun_at_midnight_is_in_the_file_of_its_day() {
    let mut world = World::new();
    let since = peer(1, 0, &["10.0.0.1/32"]);
    // A clock has nanoseconds, and slack whole milliseconds.
    let at = Utc::from_ns(second(500).ns() + 123_456);
    let listing = report(0, Content::Listing(vec![since]));
    let report = crate::record::session::Report { at, answered: at, ..listing };
    for (number, event) in (1..).zip(world.tracker.take(report, POLL, ClockState::default())) {
        world.fold.take(("s1", number, at), event);
    }
    let files = world.files(0);
    assert_eq!(files.sessions.len(), 1, "{files:?}");
    assert_eq!(files.sessions[0].held.start_slack_ms, 500_001);
}

/// An entry of a lease that began at a second, as a note of the hook has it.
fn lease(since: i64) -> Entry {
    let since = Since { earliest: Some(second(since)), certain: second(since) };
    Entry { since: Some(since), outer: None, ..peer(1, 0, &["10.0.0.1/32"]) }
}

#[test]
fn notes_that_come_once_more_after_a_kill_double_no_session() {
    let (key, reason) = (lease(0).key, EndReason::Disconnected);
    let ended = || Content::Ended { key, reason, bytes: None };
    let notes = [
        (3, Content::Began(lease(3))),
        (4, ended()),
        // The same member has the same address once more, within minutes.
        (6, Content::Began(lease(6))),
        (9, ended()),
        (11, Content::Began(lease(11))),
    ];
    for killed in 0..=notes.len() {
        let mut world = World::new();
        world.take(0, Content::Unchanged);
        for (at, content) in &notes[..killed] {
            world.take(*at, content.clone());
        }
        // No note was removed, and all of them are read again.
        for again in 0..=notes.len() {
            world.restart(0);
            for (at, content) in &notes[..killed.max(again)] {
                world.take(*at, content.clone());
            }
        }
        world.take(15, Content::Unchanged);
        let expected = [(3, 4, false), (6, 9, false), (11, 15, true)];
        assert_eq!(shown(&world.files(0)), expected, "killed at note {killed}");
    }
}

#[test]
fn notes_that_come_once_more_after_a_long_absence_double_no_session() {
    // Before the first look, and where there is none for too long.
    for (passed, end, slack) in [(60, 7, 0), (80, 5, 75_000)] {
        let mut world = World::new();
        world.take(0, Content::Unchanged);
        world.take(3, Content::Began(lease(3)));
        world.take(5, Content::Unchanged);
        world.restart(0);
        for at in [60, passed] {
            let events = world.tracker.pass_time(second(at));
            world.write(at, events);
        }
        world.take(3, Content::Began(lease(3)));
        let (key, reason) = (lease(3).key, EndReason::Disconnected);
        world.take(7, Content::Ended { key, reason, bytes: None });
        world.take(81, Content::Unchanged);
        let files = world.files(0);
        assert_eq!(shown(&files), [(3, end, false)]);
        assert_eq!(files.sessions[0].held.end_slack_ms, slack);
    }
}

#[test]
fn a_note_that_is_newer_than_the_first_look_after_a_long_absence_counts_as_it_is() {
    let mut world = World::new();
    world.take(0, Content::Unchanged);
    world.restart(0);
    // It was left while the directory was read, and is read with those that the look vouches for.
    world.take(30, Content::Began(lease(30)));
    world.take(29, Content::Unchanged);
    let (key, reason) = (lease(30).key, EndReason::Disconnected);
    world.take(32, Content::Ended { key, reason, bytes: None });
    let files = world.files(0);
    assert_eq!(shown(&files), [(30, 32, false)]);
    assert_eq!(files.sessions[0].held.start_slack_ms, 0);
}
