use super::*;

/// The faults of a crate of these files.
fn faults(files: &[(&str, &str)]) -> Vec<String> {
    let directory = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let file = directory.path().join(name);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, text).unwrap();
    }
    let imports = Imports::read(directory.path()).unwrap();
    [upward(&imports), circles(&imports)].concat()
}

const LIB: (&str, &str) = ("lib.rs", "mod record;\nmod store;\nmod spool;\nmod service;\n");
const SERVICE: (&str, &str) = ("service.rs", "use crate::{record::Flow, spool};\n");
const SPOOL: (&str, &str) = ("spool.rs", "mod run;\nmod merge;\nuse crate::record;\n");
const RUN: (&str, &str) = ("spool/run.rs", "use super::Spool;\n");
const STORE: (&str, &str) = ("store.rs", "pub struct Store;\n");

#[test]
fn imports_that_go_down_are_right() {
    let merge = ("spool/merge.rs", "use super::run::Run;\nfn merge() { crate::store::put(); }\n");
    assert_eq!(faults(&[LIB, ("record.rs", ""), SERVICE, SPOOL, RUN, STORE, merge]), [""; 0]);
}

#[test]
fn an_import_that_goes_up_is_found() {
    for (text, found) in [
        ("use crate::{record, service::{self, Daemon}};\n", 2),
        ("fn stop() { crate::service::stop(); }\n", 1),
        ("fn stop() -> Vec<super::super::service::Error> { vec![] }\n", 1),
        ("mod inner { use super::super::super::service::Error; }\n", 1),
        ("#[cfg(test)]\nmod tests { use crate::service::Error; }\n", 0),
    ] {
        let merge = ("spool/merge.rs", text);
        let faults = faults(&[LIB, ("record.rs", ""), SERVICE, SPOOL, RUN, STORE, merge]);
        let up: Vec<_> = faults.iter().filter(|fault| fault.contains("upstairs")).collect();
        assert_eq!(up.len(), found, "{text} {faults:?}");
    }
}

#[test]
fn rooms_of_one_floor_know_nothing_of_each_other() {
    let lib = ("lib.rs", "mod capture;\nmod table;\n");
    let faults = faults(&[lib, ("capture.rs", "use crate::table::Column;\n"), ("table.rs", "")]);
    assert_eq!(faults, ["capture uses table::Column of table, on the same floor"]);
}

#[test]
fn a_room_that_has_no_floor_is_reported() {
    let lib = ("lib.rs", "mod attic;\nmod record;\n");
    let faults = faults(&[lib, ("attic.rs", "use crate::record::Flow;\n"), ("record.rs", "")]);
    assert_eq!(faults.len(), 1, "{faults:?}");
    assert!(faults[0].contains("a room without a floor"), "{faults:?}");
}

#[test]
fn a_circle_is_found() {
    let lib = ("lib.rs", "mod spool;\n");
    let spool = ("spool.rs", "mod run;\nmod header;\nmod merge;\n");
    let run = ("spool/run.rs", "use super::header::Header;\n");
    let header = ("spool/header.rs", "use super::merge::Merge;\n");
    let merge = ("spool/merge.rs", "fn merge(run: super::run::Run) {}\n");
    assert_eq!(
        faults(&[lib, spool, run, header, merge]),
        ["a circle: spool::header -> spool::merge -> spool::run -> spool::header"]
    );
}

#[test]
fn the_floors_of_the_product_are_right() {
    check(&crate::shell::root().join("flowlog/src")).unwrap();
}
