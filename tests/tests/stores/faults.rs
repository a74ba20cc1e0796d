//! Publishing through every fault of a store: in the end exactly the right objects, and none twice.

use std::{cell::Cell, sync::Arc, time::Duration};

use bytes::Bytes;
use flowlog::store::{Created, Error, Kind, Retry, Store};
use flowlog_tests::stores::{Backend, Fault, FaultProxy, path, pattern};
use tokio::sync::Notify;

/// The daemon's policy, in milliseconds.
const QUICK: Retry =
    Retry { first: Duration::from_millis(1), longest: Duration::from_millis(10), ..Retry::DAEMON };

/// A faulty way to a store, and a straight one beside it.
struct Rig {
    proxy: FaultProxy,
    straight: Store,
    moto: Backend,
}

impl Rig {
    async fn new() -> Self {
        let moto = Backend::moto();
        let proxy = FaultProxy::start(moto.address.unwrap()).await;
        Self { proxy, straight: moto.open(), moto }
    }

    fn faulty(&self) -> Store {
        // Long enough for any answer, short enough to wait for one that does not come.
        self.moto.open_with(&[("AWS_ENDPOINT_URL", &self.proxy.url()), ("AWS_TIMEOUT", "5s")])
    }

    /// Publishes the files of a gateway through the proxy, and checks what the store has then.
    /// Returns the failures on the way.
    async fn publish(&self, gateway: &str) -> Vec<Kind> {
        self.publish_noting(gateway, |_| ()).await
    }

    async fn publish_noting(&self, gateway: &str, mut noted: impl FnMut(usize)) -> Vec<Kind> {
        let store = &self.faulty();
        let files = files();
        let mut failures = vec![];
        for (part, file) in (0..).zip(&files) {
            let object = &path(gateway, part);
            let put = || put_and_confirm(store, object, file);
            let failed = |error: Error, _| {
                failures.push(error.kind());
                noted(failures.len());
            };
            QUICK.run(put, failed).await.unwrap();
        }
        assert_eq!(self.proxy.pending(), 0, "{gateway}: every fault has happened");
        let stored = self.straight.list().await.unwrap();
        let of_gateway = format!("flows/gateway={gateway}/");
        let stored = stored.iter().filter(|meta| meta.location.as_ref().starts_with(&of_gateway));
        assert_eq!(stored.count(), files.len(), "nothing twice, nothing missing");
        for (part, file) in (0..).zip(&files) {
            self.straight.confirm(&path(gateway, part), file, true).await.unwrap();
        }
        let unfinished = self.moto.ask("/flowlog?uploads");
        assert!(!unfinished.contains("<Upload>"), "{gateway}: {unfinished}");
        failures
    }
}

/// Small ones and one that goes in parts.
fn files() -> Vec<Bytes> {
    let sizes = [10, 100_000, 9 << 20, 10];
    sizes.iter().zip(1..).map(|(size, seed)| pattern(*size, seed)).collect()
}

async fn put_and_confirm(
    store: &Store,
    object: &object_store::path::Path,
    file: &Bytes,
) -> Result<(), Error> {
    let created = store.create_object(object, file).await?;
    assert_ne!(created, Created::Taken, "nobody else writes here");
    store.confirm(object, file, true).await
}

#[tokio::test]
async fn every_request_may_fail_in_every_way() {
    const BROKEN: Fault = Fault::Answer(500, "InternalError");
    const THROTTLED: Fault = Fault::Answer(503, "SlowDown");
    let rig = Rig::new().await;
    let faults = [
        (1, BROKEN),
        (7, THROTTLED),
        (5, Fault::ResetBefore),
        (1, Fault::ResetAfter),
        (4, Fault::ResetAfter),
    ];
    // Requests by a part of their first line, and how many of them are left in peace.
    for (what, line, skip) in [
        ("a-file", "parquet HTTP", 0),
        ("another-file", "parquet HTTP", 3),
        ("the-beginning-of-an-upload", "?uploads", 0),
        ("a-part", "partNumber=2", 0),
        ("the-end-of-an-upload", "POST /flowlog/store/flows", 1),
    ] {
        for (number, (times, fault)) in faults.iter().enumerate() {
            let cannot_happen = match (what, fault) {
                // An upload that was begun without our being told cannot be ended by us.
                ("the-beginning-of-an-upload", Fault::ResetAfter) => true,
                // What has ended is there, and is not begun again.
                ("the-end-of-an-upload", Fault::ResetAfter) => *times > 1,
                _ => false,
            };
            if cannot_happen {
                continue;
            }
            rig.proxy.inject(line, skip, *times, fault.clone());
            let failures = rig.publish(&format!("{what}-{number}")).await;
            let is_away = failures.iter().all(|kind| *kind == Kind::Away);
            assert!(is_away, "{what} {fault:?}: {failures:?}");
        }
    }
}

#[tokio::test]
async fn a_store_that_lies_about_success_is_found_out() {
    let rig = Rig::new().await;
    rig.proxy.inject("PUT /flowlog/store/flows", 1, 2, Fault::Lie);
    let failures = rig.publish("lies").await;
    assert_eq!(failures, [Kind::Unfaithful; 2]);
    // The end of an upload has an answer that says more than "200 OK".
    rig.proxy.inject("POST /flowlog/store/flows", 1, 1, Fault::Lie);
    assert_eq!(rig.publish("lies-at-the-end").await, [Kind::Away]);
    // A part that is lost.
    rig.proxy.inject("partNumber=1", 0, 1, Fault::Lie);
    assert_eq!(rig.publish("lies-about-a-part").await.len(), 1);
}

#[tokio::test]
async fn credentials_that_expire_are_tried_until_they_are_renewed() {
    let rig = Rig::new().await;
    // As S3 says it, and as others do.
    for status in [400, 403] {
        rig.proxy.inject("PUT", 1, 5, Fault::Answer(status, "ExpiredToken"));
        assert_eq!(rig.publish(&format!("expired-{status}")).await, [Kind::Expired; 5]);
    }
    // What does not pass by itself is tried too, when a daemon asks.
    rig.proxy.inject("PUT", 1, 2, Fault::Answer(403, "AccessDenied"));
    assert_eq!(rig.publish("denied").await, [Kind::Denied; 2]);
    rig.proxy.inject("PUT", 1, 1, Fault::Answer(403, "RequestTimeTooSkewed"));
    assert_eq!(rig.publish("clock").await, [Kind::Clock]);
}

#[tokio::test]
async fn an_outage_ends() {
    let rig = Rig::new().await;
    rig.proxy.leave().await;
    let failed = Cell::new(0);
    let publish = rig.publish_noting("outage", |failures| failed.set(failures));
    let outage = async {
        while failed.get() < 6 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        assert_eq!(rig.straight.list().await.unwrap(), []);
        rig.proxy.come_back().await;
    };
    let (failures, ()) = futures::future::join(publish, outage).await;
    assert!(failures.len() >= 6 && failures.iter().all(|kind| *kind == Kind::Away), "{failures:?}");
    // A command does not wait for it.
    rig.proxy.leave().await;
    let limited = Retry { attempts: Some(2), ..QUICK };
    let faulty = rig.faulty();
    let ended = limited.run(|| faulty.list(), |_, _| ()).await.unwrap_err();
    assert_eq!(ended.kind(), Kind::Away);
}

#[tokio::test]
async fn a_store_that_hangs_does_not_hang_us_and_one_that_is_slow_is_waited_for() {
    let rig = Rig::new().await;
    rig.proxy.inject("PUT", 1, 1, Fault::Hang);
    assert_eq!(rig.publish("hangs").await, [Kind::Away]);
    rig.proxy.inject("PUT", 0, 3, Fault::Slow(Duration::from_millis(300)));
    assert_eq!(rig.publish("slow").await, []);
}

#[tokio::test]
async fn a_put_that_comes_late_cannot_undo_a_later_one() {
    let rig = Rig::new().await;
    let (store, object) = (rig.faulty(), path("late", 0));
    let versions = ["first", "second", "third"].map(Bytes::from);
    store.replace(&object, &versions[0]).await.unwrap();
    // The second is given up and put again, but the first attempt is still under way.
    let late = Arc::new(Notify::new());
    rig.proxy.inject("PUT", 0, 1, Fault::Late(Arc::clone(&late)));
    QUICK.run(|| store.replace(&object, &versions[1]), |_, _| ()).await.unwrap();
    rig.straight.confirm(&object, &versions[1], true).await.unwrap();
    store.replace(&object, &versions[2]).await.unwrap();
    late.notify_one();
    while rig.proxy.late().is_empty() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert!(rig.proxy.late()[0].contains(" 412 "), "{:?}", rig.proxy.late());
    rig.straight.confirm(&object, &versions[2], true).await.unwrap();
}

#[tokio::test]
async fn a_store_that_overwrites_what_it_must_not_is_named() {
    let rig = Rig::new().await;
    let store = rig.faulty();
    store.probe("gw-1").await.unwrap();
    rig.proxy.inject("PUT", 0, usize::MAX, Fault::Without("if-none-match"));
    let careless = store.probe("gw-1").await.unwrap_err();
    assert!(matches!(careless, Error::Unconditional), "{careless:?}");
    assert_eq!(careless.kind(), Kind::Setup);
    assert_eq!(rig.straight.list().await.unwrap(), []);
}

#[tokio::test]
async fn nobody_at_the_endpoint_is_no_reason_to_wait_long() {
    let moto = Backend::moto();
    let proxy = FaultProxy::start(moto.address.unwrap()).await;
    let store = moto.open_with(&[("AWS_ENDPOINT_URL", &proxy.url())]);
    proxy.leave().await;
    let away = store.probe("gw-1").await.unwrap_err();
    assert_eq!(away.kind(), Kind::Away);
    assert_eq!(proxy.lines().len(), 0);
}
