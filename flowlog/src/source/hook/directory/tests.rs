use std::{
    fs,
    os::unix::fs::{PermissionsExt as _, symlink},
};

use super::*;
use crate::source::hook::leave;

struct Rig {
    base: tempfile::TempDir,
}

impl Rig {
    fn new() -> Self {
        let rig = Self { base: tempfile::tempdir().unwrap() };
        rig.directory(Kind::Lease, None, true).prepare().unwrap();
        rig
    }

    fn path(&self) -> PathBuf {
        self.base.path().join("hook")
    }

    fn directory(&self, kind: Kind, server: Option<&str>, takes_unnamed: bool) -> Directory {
        Directory::new(self.path(), kind, server.map(str::to_owned), takes_unnamed)
    }

    fn leave(&self, kind: Kind, server: Option<&str>, stamp: Stamp, value: &str) {
        let fields = Fields::default().with("value", Some(value));
        leave(&self.path(), kind, server, stamp, &fields).unwrap();
    }

    fn names(&self) -> usize {
        fs::read_dir(self.path()).unwrap().count()
    }
}

fn values(scan: &Scan) -> Vec<&str> {
    let notes: Vec<&Note> = scan.found.iter().filter_map(|f| f.note.as_ref().ok()).collect();
    assert!(notes.is_sorted_by_key(|note| note.stamp));
    notes.iter().map(|note| note.fields.of("value").unwrap()).collect()
}

fn refusals(scan: &Scan) -> Vec<String> {
    let mut errors: Vec<String> =
        scan.found.iter().filter_map(|f| f.note.as_ref().err().map(ToString::to_string)).collect();
    errors.sort();
    errors
}

fn before_now(time: Duration) -> Stamp {
    let Stamp { since_boot, utc } = Stamp::now();
    Stamp { since_boot: since_boot.saturating_sub(time), utc: utc.minus(time) }
}

#[test]
fn notes_are_read_in_the_order_of_their_times_by_whom_they_are_for() {
    let rig = Rig::new();
    for (server, age, value) in [
        (Some("udp"), 3, "second"),
        (Some("udp"), 5, "first"),
        (None, 1, "third"),
        (Some("tcp"), 4, "another server's"),
    ] {
        rig.leave(Kind::Openvpn, server, before_now(Duration::from_secs(age)), value);
    }
    rig.leave(Kind::Lease, None, Stamp::now(), "a lease");
    let none = BTreeSet::new();
    let udp = rig.directory(Kind::Openvpn, Some("udp"), true);
    let scan = udp.scan(&none).unwrap();
    assert_eq!((values(&scan), refusals(&scan)), (vec!["first", "second", "third"], vec![]));
    let tcp = rig.directory(Kind::Openvpn, Some("tcp"), false).scan(&none).unwrap();
    assert_eq!(values(&tcp), ["another server's"]);

    let taken: BTreeSet<CString> = scan.found.into_iter().map(|found| found.name).collect();
    assert_eq!(udp.scan(&taken).unwrap().found.len(), 0);
    udp.remove(&taken).unwrap();
    udp.remove(&taken).unwrap();
    assert_eq!(rig.names(), 2);
}

#[test]
fn what_somebody_else_put_there_is_refused_and_stays() {
    let rig = Rig::new();
    let stamp = before_now(Duration::from_secs(1));
    let of = |random: u64| {
        let name = NoteName::new(stamp, random, Kind::Lease, None);
        rig.path().join(name.text())
    };
    let elsewhere = rig.base.path().join("secret");
    fs::write(&elsewhere, "flowlog-hook 1\nvalue=secret\n").unwrap();
    symlink(&elsewhere, of(1)).unwrap();
    nix::unistd::mkfifo(&of(2), Mode::S_IRUSR).unwrap();
    fs::create_dir(of(3)).unwrap();
    fs::hard_link(&elsewhere, of(4)).unwrap();
    fs::write(of(5), vec![b'x'; 70_000]).unwrap();
    fs::write(of(6), "flowlog-hook 1\nvalue=open to all\n").unwrap();
    fs::set_permissions(of(6), fs::Permissions::from_mode(0o666)).unwrap();
    fs::write(of(7), "value=1\n").unwrap();
    let ahead = Stamp { utc: Stamp::now().utc.plus(Duration::from_mins(6)), ..Stamp::now() };
    rig.leave(Kind::Lease, None, ahead, "tomorrow");
    fs::write(rig.path().join("ada"), "x").unwrap();
    let scan = rig.directory(Kind::Lease, None, true).scan(&BTreeSet::new()).unwrap();
    assert_eq!(values(&scan), Vec::<&str>::new());
    let refused = refusals(&scan);
    let expected = [
        "it has 70000 bytes; a note has at most 65536",
        "it has several names",
        "it is not a file",
        "it is not a file",
        "it is not a file",
        "its first line is not `flowlog-hook 1`",
        "its name is not the name of a note",
        "its time is more than 300s ahead",
        "others may write to it (mode 666)",
    ];
    assert_eq!(refused, expected);
    assert_eq!(rig.names(), 9);
}

#[test]
fn a_note_that_is_being_written_holds_back_how_far_all_notes_are_known() {
    let rig = Rig::new();
    let directory = rig.directory(Kind::Lease, None, true);
    let none = BTreeSet::new();
    let before = Stamp::now().utc;
    let until = directory.scan(&none).unwrap().until;
    assert!(
        before.distance(until) < Duration::from_secs(1)
            && until < before.plus(Duration::from_secs(1))
    );

    let age = Duration::from_secs(4);
    let begun = before_now(age);
    let temporary =
        |stamp| rig.path().join(format!(".{}", NoteName::new(stamp, 1, Kind::Lease, None).text()));
    fs::write(temporary(begun), "flowlog-").unwrap();
    assert_eq!(directory.scan(&none).unwrap().until, begun.utc);

    // Its hook was killed.
    fs::remove_file(temporary(begun)).unwrap();
    fs::write(temporary(before_now(Duration::from_secs(6))), "flowlog-").unwrap();
    let scan = directory.scan(&none).unwrap();
    assert!(scan.until > begun.utc);
    assert_eq!(refusals(&scan), ["its hook was ended while it wrote the note, which is lost"]);
    assert_eq!(rig.names(), 0);
}

#[test]
fn a_directory_that_anybody_may_write_to_is_not_read() {
    let rig = Rig::new();
    let mode = fs::metadata(rig.path()).unwrap().permissions().mode();
    assert_eq!(mode & 0o7777, 0o1730);
    rig.leave(Kind::Lease, None, Stamp::now(), "x");
    fs::set_permissions(rig.path(), fs::Permissions::from_mode(0o1733)).unwrap();
    let directory = rig.directory(Kind::Lease, None, true);
    let error = directory.scan(&BTreeSet::new()).err().unwrap();
    assert_eq!(error.kind(), io::ErrorKind::PermissionDenied);
    assert!(directory.prepare().unwrap(), "one that is there is left as it is");
}

#[test]
fn a_flood_of_notes_is_read_piece_by_piece() {
    let rig = Rig::new();
    for n in 0..u64::try_from(MOST_NOTES).unwrap() + 5 {
        rig.leave(Kind::Lease, None, before_now(Duration::from_millis(60_000 - n)), "x");
    }
    let directory = rig.directory(Kind::Lease, None, true);
    let scan = directory.scan(&BTreeSet::new()).unwrap();
    assert!(scan.has_more && scan.found.len() == MOST_NOTES);
    let known: BTreeSet<CString> = scan.found.into_iter().map(|found| found.name).collect();
    let rest = directory.scan(&known).unwrap();
    assert!(!rest.has_more && rest.found.len() == 5 && rest.until > scan.until);
}
