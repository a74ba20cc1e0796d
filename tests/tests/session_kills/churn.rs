//! Sessions that come and go, all of them known: each has an address of its own.

use std::{
    fmt::Write as _,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use fastrand::Rng;
use flowlog::source::hook::{Fields, Kind, Stamp, leave};

use super::{
    rig::{Rig, now_ms},
    uapi::{self, Handle},
};

/// So often something happens.
const STEP: Duration = Duration::from_millis(120);

/// A session as it was.
#[derive(Clone, Debug)]
pub struct Truth {
    /// The instance of its source.
    pub instance: &'static str,
    pub prefix: String,
    /// No certain time begins earlier, or ends later.
    pub bounds: (u64, u64),
    /// All of this time is certain, but for gaps.
    pub held: (u64, u64),
}

pub struct Churn {
    is_over: Arc<AtomicBool>,
    thread: JoinHandle<(Vec<Truth>, Vec<u32>)>,
    wireguard: Handle,
}

/// What is open, and until when.
#[derive(Default)]
struct Open {
    notes: Vec<(u32, u64, u64)>,
    peers: Vec<(u32, u64)>,
    /// Lines of the file: they stay in it.
    lines: String,
    number: u32,
    truths: Vec<Truth>,
    seen_peers: Vec<u32>,
}

impl Churn {
    pub fn start(rig: &Rig) -> Self {
        let is_over = Arc::new(AtomicBool::new(false));
        let (over, wireguard) = (Arc::clone(&is_over), rig.wireguard.handle.clone());
        let hook = PathBuf::from(rig.path("hook"));
        let file = PathBuf::from(rig.path("leases.csv"));
        let run = move || {
            let mut random = Rng::with_seed(7);
            let mut open = Open { lines: "name,prefix,from,to\n".to_owned(), ..Open::default() };
            while !over.load(Ordering::Relaxed) {
                let at = now_ms();
                let length = random.u64(20..6_000);
                match random.u8(..3) {
                    0 => open.note(&hook, at, length),
                    // One between two looks only is not seen.
                    1 => open.line(&file, at + 300, length + 3_000),
                    _ => open.peer(&wireguard, at, length, random.bool()),
                }
                open.close(&hook, &wireguard, now_ms());
                thread::sleep(STEP);
            }
            open.close(&hook, &wireguard, u64::MAX);
            (open.truths, open.seen_peers)
        };
        Self { is_over, thread: thread::spawn(run), wireguard: rig.wireguard.handle.clone() }
    }

    /// Ends it, and returns what was; the peers by the answers that had them.
    pub fn stop(self) -> Vec<Truth> {
        self.is_over.store(true, Ordering::Relaxed);
        let (mut truths, peers) = self.thread.join().unwrap();
        // The last lines are over then.
        thread::sleep(Duration::from_secs(10));
        let answers = self.wireguard.answers();
        for peer in peers {
            let has = |answer: &&uapi::Answer| answer.peers.contains(&peer);
            let Some(first) = answers.iter().position(|answer| has(&answer)) else { continue };
            let seen: Vec<u64> = answers.iter().filter(has).map(|answer| answer.at).collect();
            let last = seen[seen.len() - 1];
            let before = first.checked_sub(1).map_or(0, |before| answers[before].at);
            truths.push(Truth {
                instance: super::rig::WIREGUARD,
                prefix: uapi::prefix(peer),
                bounds: (before, last),
                // The first answer was read some time after it was given, and the last one asked for before.
                held: (seen[1.min(seen.len() - 1)], seen[seen.len().saturating_sub(2)]),
            });
        }
        truths
    }
}

impl Open {
    fn next(&mut self) -> u32 {
        self.number += 1;
        self.number
    }

    /// Somebody calls the hook.
    fn note(&mut self, hook: &std::path::Path, at: u64, length: u64) {
        let number = self.next();
        report(hook, "open", number, at);
        self.notes.push((number, at, at + length));
    }

    /// A control plane writes a line ahead of its time.
    fn line(&mut self, file: &std::path::Path, from: u64, length: u64) {
        let (number, to) = (self.next(), from + length);
        let prefix = prefix(2, number);
        let utc = |ms: u64| {
            jiff::Timestamp::from_millisecond(i64::try_from(ms).unwrap()).unwrap().to_string()
        };
        writeln!(self.lines, "l{number},{prefix},{},{}", utc(from), utc(to)).unwrap();
        let other = file.with_extension("new");
        std::fs::write(&other, &self.lines).unwrap();
        std::fs::rename(&other, file).unwrap();
        let held = (from, to);
        self.truths.push(Truth { instance: "leases.csv", prefix, bounds: held, held });
    }

    fn peer(&mut self, wireguard: &Handle, at: u64, length: u64, has_tunnel: bool) {
        let number = self.next();
        wireguard.change(|peers| {
            peers.insert(number, has_tunnel.then_some(at));
        });
        self.peers.push((number, at + length));
        self.seen_peers.push(number);
    }

    /// Ends what is over at an instant.
    fn close(&mut self, hook: &std::path::Path, wireguard: &Handle, at: u64) {
        let over: Vec<_> = self.notes.extract_if(.., |(_, _, end)| *end <= at).collect();
        for (number, from, _) in over {
            let to = now_ms();
            report(hook, "close", number, to);
            let (prefix, held) = (prefix(1, number), (from, to));
            self.truths.push(Truth { instance: "hook", prefix, bounds: held, held });
        }
        for (number, _) in self.peers.extract_if(.., |(_, end)| *end <= at) {
            wireguard.change(|peers| {
                peers.remove(&number);
            });
        }
    }
}

fn prefix(network: u8, number: u32) -> String {
    format!("10.{network}.{}.{}/32", number / 250, number % 250)
}

fn report(hook: &std::path::Path, action: &str, number: u32, at: u64) {
    let (name, prefix, ns) =
        (format!("h{number}"), prefix(1, number), (u128::from(at) * 1_000_000).to_string());
    let fields = Fields::default()
        .with("action", Some(action))
        .with("name", Some(&name))
        .with("prefix", Some(&prefix))
        .with("at", Some(&ns));
    leave(hook, Kind::Lease, None, Stamp::now(), &fields).unwrap();
}
