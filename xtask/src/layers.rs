//! The floors of `flowlog/src`: no import goes up, and none goes in a circle.
//!
//! A file is a room's part, a room is a module of `lib.rs`. A module and those inside it are one family:
//! what they take from each other is no import here. Code of tests is left out.

mod imports;
#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use anyhow::ensure;
use imports::Imports;

/// The rooms, floor by floor: each may use those of the floors below it. `main` and `cli` are the binary.
const FLOORS: [&[&str]; 7] = [
    &["record", "telemetry", "durable", "netlink", "demo"],
    &["config", "status", "store"],
    &["capture", "source", "table"],
    &["spool", "keep", "ask"],
    &["service"],
    &["cli"],
    &["lib", "main"],
];

/// Checks the floors of the crate whose sources are in a folder.
pub fn check(sources: &Path) -> anyhow::Result<()> {
    let imports = Imports::read(sources)?;
    let mut faults = upward(&imports);
    faults.extend(circles(&imports));
    ensure!(faults.is_empty(), "{} of flowlog/src:\n{}", plural(faults.len()), faults.join("\n"));
    eprintln!("{} files, no import goes up or in a circle", imports.files.len());
    Ok(())
}

fn plural(faults: usize) -> String {
    if faults == 1 { "1 fault".to_owned() } else { format!("{faults} faults") }
}

fn floor(room: &str) -> Option<usize> {
    FLOORS.iter().position(|floor| floor.contains(&room))
}

/// Imports of a room on the same floor, or on one above.
fn upward(imports: &Imports) -> Vec<String> {
    let mut faults = BTreeSet::new();
    for (from, to, name) in imports.all() {
        let (room, other) = (imports::room(from), imports::room(to));
        if room == other {
            continue;
        }
        match (floor(room), floor(other)) {
            (Some(here), Some(there)) if there < here => {}
            (Some(here), Some(there)) => {
                let direction = if here == there { "on the same floor" } else { "upstairs" };
                faults.insert(format!("{from} uses {name} of {to}, {direction}"));
            }
            _ => {
                faults.insert(format!("{from} uses {name} of {to}: a room without a floor; name it in FLOORS of xtask/src/layers.rs"));
            }
        }
    }
    faults.into_iter().collect()
}

/// Files that use each other in a circle.
fn circles(imports: &Imports) -> Vec<String> {
    let mut uses: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for (from, to, _) in imports.all() {
        uses.entry(from).or_default().insert(to);
    }
    prune(&mut uses);
    let mut faults = vec![];
    while let Some(start) = uses.keys().next().copied() {
        let circle = circle_from(start, &uses);
        let shown: Vec<&str> = circle.iter().copied().chain(circle.first().copied()).collect();
        faults.push(format!("a circle: {}", shown.join(" -> ")));
        for file in circle {
            uses.remove(file);
        }
        prune(&mut uses);
    }
    faults
}

/// What nobody that is left uses, or what uses nobody that is left, is in no circle.
fn prune(uses: &mut BTreeMap<&str, BTreeSet<&str>>) {
    loop {
        let left: BTreeSet<&str> = uses.keys().copied().collect();
        for others in uses.values_mut() {
            others.retain(|other| left.contains(other));
        }
        let wanted: BTreeSet<&str> = uses.values().flatten().copied().collect();
        let before = uses.len();
        uses.retain(|file, others| !others.is_empty() && wanted.contains(file));
        if uses.len() == before {
            return;
        }
    }
}

/// Where every file uses another one, following them comes back to one that was passed.
fn circle_from<'a>(start: &'a str, uses: &BTreeMap<&'a str, BTreeSet<&'a str>>) -> Vec<&'a str> {
    let mut passed = vec![start];
    loop {
        let Some(next) = passed.last().and_then(|last| uses.get(last)?.first().copied()) else {
            return passed;
        };
        if let Some(place) = passed.iter().position(|file| *file == next) {
            return passed.split_off(place);
        }
        passed.push(next);
    }
}
