use std::path::Path;

use super::*;

fn of(store: &Path) -> Targets {
    let store = Location::from(store.to_str().unwrap());
    let target = Target { store, gateway: "gw".to_owned(), is_durable: true };
    Targets::new(target, None, Store::create)
}

fn run<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work)
}

#[test]
fn a_store_is_opened_once_whichever_of_its_names_comes_first() {
    let directory = tempfile::tempdir().unwrap();
    let store = directory.path().join("store");
    let link = directory.path().join("link");
    std::fs::create_dir(&store).unwrap();
    std::os::unix::fs::symlink(&store, &link).unwrap();
    let [path, linked] = [&store, &link].map(|path| path.to_str().unwrap());
    let names = [
        None,
        Some(format!("file://{path}/")),
        Some(format!("file://{path}")),
        Some(format!("file://{linked}/")),
        Some(path.to_owned()),
    ];
    for first in &names {
        for second in &names {
            let mut targets = of(&store);
            let [first, second] = [first, second].map(|name| name.clone().map(Location::from));
            let mut urls = vec![];
            for name in [&first, &second, &first, &None] {
                match run(targets.open(name.as_ref(), "gw")) {
                    Ok((_, url)) => urls.push(url),
                    Err(error) => panic!("{first:?}, then {second:?}: {error:?}"),
                }
            }
            urls.dedup();
            assert_eq!(urls.len(), 1, "{urls:?}");
        }
    }
}

#[test]
fn a_store_that_was_locked_early_is_not_locked_again_by_a_file_that_goes_there() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().to_str().unwrap();
    run(async {
        let store = Store::create(path).unwrap();
        let lock = store.lock("gw").await.unwrap();
        let mut targets = of(directory.path());
        targets.early = Some(Early { store, lock, is_probed: false });
        let url = Location::from(format!("file://{path}/"));
        targets.open(Some(&url), "gw").await.unwrap();
        targets.open(None, "gw").await.unwrap();
    });
}

#[test]
fn a_store_of_which_another_daemon_has_the_lock_stays_locked() {
    let directory = tempfile::tempdir().unwrap();
    run(async {
        let other = Store::create(directory.path().to_str().unwrap()).unwrap();
        let _lock = other.lock("gw").await.unwrap();
        let error = of(directory.path()).open(None, "gw").await.unwrap_err();
        assert_eq!(error.kind(), Kind::Locked);
    });
}
