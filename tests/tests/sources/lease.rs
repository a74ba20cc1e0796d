//! Leases: a file, and the hook of a control plane.

use flowlog::{
    config::SourceOrigin,
    demo::Netns,
    record::session::{Content, Source},
};
use flowlog_tests::flowlog;

use super::reports::{Reports, entry, prefixes};

#[test]
fn a_file_of_leases_is_listed_and_looked_at_again() {
    let directory = tempfile::tempdir().unwrap();
    let (path, next) = (directory.path().join("leases.csv"), directory.path().join("next"));
    let write = |lines: &str| {
        std::fs::write(&next, format!("name,prefix,from,to\n{lines}")).unwrap();
        std::fs::rename(&next, &path).unwrap();
    };
    write("ada,10.0.0.7,2026-03-01T00:00:00Z,\n");
    let netns = Netns::new().unwrap();
    let reports = Reports::of(&netns, SourceOrigin::Lease { file: Some(path.clone()) });
    let listed = reports.listing("ada", |entries| !entries.is_empty());
    assert_eq!(prefixes(entry(&listed, Source::Lease, "ada")), ["10.0.0.7/32"]);
    let unchanged = reports.wait("no change", |report| report.content == Content::Unchanged);
    assert_eq!(unchanged.instance.name, "leases.csv");
    write("ada,10.0.0.7,yesterday,\n");
    reports.wait("a bad file", |report| report.content == Content::Failed { is_answered: true });
    write("bob,10.0.0.8,2026-03-01T00:00:00Z,\n");
    let listed = reports.listing("bob", |entries| !entries.is_empty());
    entry(&listed, Source::Lease, "bob");
}

#[test]
fn a_control_plane_opens_and_closes_leases_also_while_no_daemon_runs() {
    let directory = tempfile::tempdir().unwrap();
    let notes = directory.path().join("hook");
    let netns = Netns::new().unwrap();
    let origin = SourceOrigin::Lease { file: None };
    let reports = Reports::with_hooks(&netns, origin.clone(), notes.clone());
    reports.wait("a look", |report| report.content == Content::Unchanged);
    drop(reports);

    let call = |action: &str, more: &[&str]| {
        let dir = notes.to_str().unwrap();
        let arguments =
            ["hook", "lease", action, "--name", "ada", "--prefix", "10.0.0.7", "--dir", dir];
        let called = flowlog(&[&arguments, more].concat());
        assert_eq!((called.code, called.stderr.as_str()), (0, ""));
    };
    call("open", &["--at", "2026-03-01T01:00:00+01:00"]);
    call("close", &[]);
    let before = std::fs::read_dir(&notes).unwrap().count();
    assert_eq!(before, 2);
    let reports = Reports::with_hooks(&netns, origin, notes.clone());
    let opened =
        reports.wait("its beginning", |report| matches!(report.content, Content::Began(_)));
    let Content::Began(entry) = opened.content else { unreachable!() };
    assert_eq!(opened.at.to_string(), "2026-03-01T00:00:00Z");
    let closed = reports.wait("its end", |report| matches!(report.content, Content::Ended { .. }));
    let Content::Ended { key, .. } = closed.content else { unreachable!() };
    assert_eq!(key, entry.key);
    flowlog_tests::wait_for("the notes to go", || std::fs::read_dir(&notes).unwrap().count() == 0);
}
