//! A bit that flips: in a store it is named by `flowlog verify --deep`, or readers read the same rows
//! as before; in a spool it is named, or nothing is lost.

#[path = "spool_flips.rs"]
mod spool;

use std::{
    fs::{self, File},
    io::{BufRead as _, BufReader, Write as _},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, ChildStdout, Stdio},
    time::{Duration, SystemTime},
};

use flowlog::record::clock::Utc;
use flowlog_tests::{Random, files_under, flowlog, python, synthetic};

use super::times;

/// 2025-01-01T00:00:00Z.
const FIRST_MS: i64 = 1_735_689_600_000;
const HOURS: u64 = 4;
const MEMBERS: u16 = 40;

/// Stores that are damaged at the same time: an audit waits before it names what may be in the making.
const STORES: usize = 8;

#[test]
fn a_bit_that_flips_in_a_store_is_named_or_changes_no_row() {
    let directory = tempfile::tempdir().unwrap();
    let stores: Vec<PathBuf> =
        (0..STORES).map(|number| directory.path().join(format!("store-{number}"))).collect();
    synthetic::write_hours(&stores[0], "soak", Utc::from_ms(FIRST_MS), HOURS, MEMBERS);
    for store in &stores {
        if !store.exists() {
            copy_directory(&stores[0], store);
        }
        // Nobody is writing here any more.
        for file in files_under(store) {
            set_modified(&file, an_hour_ago());
        }
    }
    let tries = times(2_000, 100).next_multiple_of(STORES);
    let outcomes: Vec<Outcome> = std::thread::scope(|scope| {
        let seeds = (1..).map(|number| 0x2545_f491_4f6c_dd1d ^ (number << 32));
        let workers: Vec<_> = stores
            .iter()
            .zip(seeds)
            .map(|(store, seed)| {
                scope.spawn(move || flip_bits(store, tries / STORES, Random(seed)))
            })
            .collect();
        workers.into_iter().map(|worker| worker.join().unwrap()).collect()
    });
    let named: usize = outcomes.iter().map(|outcome| outcome.named).sum();
    let unnoticed: Vec<String> =
        outcomes.into_iter().flat_map(|outcome| outcome.unnoticed).collect();
    println!("{named} of {tries} flips are named, {} change rows unnoticed", unnoticed.len());
    let some = &unnoticed[..unnoticed.len().min(10)];
    assert!(unnoticed.is_empty(), "{} of {tries} unnoticed: {some:#?}", unnoticed.len());
    // What changes nothing must be rare: a file has few bits that mean nothing.
    assert!(named > tries / 2, "only {named} of {tries} are named");
}

/// What became of the bits that flipped.
struct Outcome {
    named: usize,
    unnoticed: Vec<String>,
}

fn flip_bits(store: &Path, tries: usize, mut random: Random) -> Outcome {
    let files = files_under(store);
    let mut readers = Readers::start();
    let sound = readers.read(store);
    let rows = HOURS * (2 * u64::from(MEMBERS) + 2);
    assert!(sound.iter().all(|read| read.starts_with(&format!("{rows} rows"))), "{sound:?}");
    let (code, said) = deep(store);
    assert_eq!(code, 0, "{said}");
    let mut outcome = Outcome { named: 0, unnoticed: vec![] };
    for _ in 0..tries {
        let file = &files[random.below(files.len())];
        let flip = Flip::at_random(file, &mut random);
        let (code, said) = deep(store);
        let object = file.strip_prefix(store).unwrap().to_str().unwrap();
        if matches!(code, 1 | 3) && said.contains(object) {
            outcome.named += 1;
        } else {
            let rows = readers.read(store);
            if rows != sound {
                outcome.unnoticed.push(format!("{flip:?}: exit code {code}, {rows:?}, {said}"));
            }
        }
        flip.take_back();
    }
    assert_eq!(readers.read(store), sound);
    outcome
}

fn an_hour_ago() -> SystemTime {
    SystemTime::now() - Duration::from_hours(1)
}

fn set_modified(file: &Path, at: SystemTime) {
    File::options().append(true).open(file).unwrap().set_modified(at).unwrap();
}

/// Exit code and output of a thorough audit.
fn deep(store: &Path) -> (i32, String) {
    let ended = flowlog(&["verify", "--deep", "--store", store.to_str().unwrap()]);
    (ended.code, [ended.stdout, ended.stderr].concat())
}

fn copy_directory(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    fs::set_permissions(to, from.metadata().unwrap().permissions()).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let (from, to) = (entry.path(), to.join(entry.file_name()));
        if from.is_dir() {
            copy_directory(&from, &to);
        } else {
            fs::copy(&from, &to).unwrap();
        }
    }
}

/// A bit of a file that is not as it was.
#[derive(Debug)]
pub struct Flip {
    file: PathBuf,
    byte: usize,
    bit: u8,
}

impl Flip {
    pub fn at_random(file: &Path, random: &mut Random) -> Self {
        let length = usize::try_from(file.metadata().unwrap().len()).unwrap();
        let bit = u8::try_from(random.below(8)).unwrap();
        let flip = Self { file: file.to_owned(), byte: random.below(length), bit };
        flip.apply();
        flip
    }

    /// The file is as old as before: a disk does not tell.
    fn apply(&self) {
        let modified = self.file.metadata().unwrap().modified().unwrap();
        let mut bytes = fs::read(&self.file).unwrap();
        bytes[self.byte] ^= 1 << self.bit;
        fs::write(&self.file, bytes).unwrap();
        set_modified(&self.file, modified);
    }

    fn take_back(&self) {
        self.apply();
    }
}

/// DuckDB and pyarrow, in a process that goes on.
struct Readers {
    child: Child,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
}

impl Readers {
    fn start() -> Self {
        let mut command = python();
        command.arg("rows.py").stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let stdin = child.stdin.take().unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        Self { child, stdin, stdout }
    }

    /// What each of them reads from a store.
    fn read(&mut self, store: &Path) -> Vec<String> {
        writeln!(self.stdin, "{}", store.display()).unwrap();
        let mut line = String::new();
        self.stdout.read_line(&mut line).unwrap();
        let answers: serde_json::Value =
            serde_json::from_str(&line).expect("DuckDB and pyarrow; run `cargo xtask setup`");
        ["duckdb", "pyarrow"].map(|reader| answers[reader].as_str().unwrap().to_owned()).to_vec()
    }
}

impl Drop for Readers {
    fn drop(&mut self) {
        self.child.kill().unwrap_or_default();
        self.child.wait().map(|_| ()).unwrap_or_default();
    }
}
