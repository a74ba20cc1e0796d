//! Makes the files in `tests/golden` as this version of flowlog writes them: see README.md.

mod expected;
mod files;
mod packets;
#[path = "../../../src/pinned.rs"]
mod pinned;
mod pins;
mod traffic;

use std::path::Path;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [kind, folder] = &arguments[..] else {
        panic!("usage: flowlog-golden store|spool|pins FOLDER");
    };
    let folder = Path::new(folder);
    std::fs::create_dir(folder).expect("a folder that does not exist yet");
    match kind.as_str() {
        "store" => files::make_store(folder),
        "spool" => files::make_spool(folder),
        "pins" => pins::make(folder),
        other => panic!("{other:?} is none of store, spool, pins"),
    }
}
