//! kill -9 at random instants, while sessions come and go: each is in the store once, none is longer than it was
//! confirmed, and each absence of the daemon is one gap of each source.

#[path = "session_kills/churn.rs"]
mod churn;
#[path = "session_kills/judge.rs"]
mod judge;
#[path = "session_kills/rig.rs"]
mod rig;
#[path = "session_kills/uapi.rs"]
mod uapi;

use std::{path::Path, time::Duration};

use fastrand::Rng;
use flowlog_tests::{flowlog, times};
use nix::sys::signal::Signal;

use churn::Churn;
use judge::Stored;
use rig::{Life, Rig, now_ms};

/// Each so many kills the daemon stays away for longer than a source may be silent.
const LONG: usize = 20;

#[test]
fn kills_at_random_instants_leave_every_session_once_and_each_absence_as_one_gap() {
    let kills = times(200, 20);
    let rig = Rig::new();
    // Sources are looked at before sessions begin.
    let mut daemon = rig.start();
    daemon.wait_for("attached");
    std::thread::sleep(Duration::from_secs(2));
    let churn = Churn::start(&rig);
    let mut random = Rng::with_seed(12);
    let (mut lives, mut began) = (vec![], now_ms());
    for kill in 0..kills {
        // Also while it starts.
        std::thread::sleep(Duration::from_millis(random.u64(0..3_500)));
        daemon.signal(Signal::SIGKILL);
        daemon.end();
        lives.push(Life { began, dead: now_ms() });
        if kill % LONG == LONG / 2 {
            std::thread::sleep(Duration::from_secs(17));
        }
        began = now_ms();
        daemon = rig.start();
    }
    daemon.wait_for("attached");
    let truths = churn.stop();
    std::thread::sleep(Duration::from_secs(5));
    let ended = daemon.terminate();
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    lives.push(Life { began, dead: u64::MAX });

    let store = rig.path("store");
    let verified = flowlog(&["verify", "--store", &store]);
    assert_eq!(verified.code, 0, "{}{}", verified.stdout, verified.stderr);
    let stored = Stored::read(Path::new(&store));
    stored.assert_gaps(&lives);
    stored.assert_sessions(&truths);
    println!("{kills} kills, {} sessions, {} rows", truths.len(), stored.rows());
}
