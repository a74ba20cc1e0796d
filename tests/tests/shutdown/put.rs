//! Told to end while a file is on its way to a store that does not answer, or not soon.

use std::{
    net::SocketAddr,
    path::Path,
    sync::{Arc, mpsc},
    time::Duration,
};

use flowlog_tests::{
    Ended, HangingDisk, files_under,
    stores::{Backend, Fault, FaultProxy},
    wait_for,
};
use tokio::{runtime::Builder, sync::oneshot};

use super::rig::{GRACE, Rig, TIMEOUT, last_line, terminate};

/// The request that puts flow rows.
const PUT: &str = "PUT /flowlog/store/flows";

/// S3, and a faulty way to it, both on the gateway's loopback.
struct FaultyS3 {
    rig: Rig,
    moto: Backend,
    proxy: FaultProxy,
    /// What the end may take.
    limit: Duration,
    /// Dropped to end the thread of the proxy.
    _end: oneshot::Sender<()>,
}

impl FaultyS3 {
    /// Does something with one, on a thread within the gateway: the server ends with it.
    fn with(test: fn(&mut Self)) {
        let rig = Rig::new();
        rig.netns.ip(&["link", "set", "lo", "up"]).unwrap();
        let gateway = Arc::clone(&rig.netns);
        let work = move || {
            let moto = Backend::moto();
            let (proxy, end) = start_proxy(moto.address.unwrap());
            test(&mut Self { rig, moto, proxy, limit: TIMEOUT + GRACE, _end: end });
            Ok(())
        };
        gateway.run(work).unwrap();
    }

    /// Tells a daemon to end while it puts flow rows of so many packets to which this happens.
    fn end_during_put(&mut self, packets: u32, fault: Fault, spool: Option<&str>) -> Ended {
        self.rig.variables.clone_from(&self.moto.variables);
        self.rig.variables.push(("AWS_ENDPOINT_URL".to_owned(), self.proxy.url()));
        let mut daemon = self.rig.start(&self.moto.location, spool);
        daemon.wait_for("attached");
        self.proxy.inject(PUT, 0, 1, fault);
        self.rig.send(packets);
        wait_for("a put", || self.proxy.pending() == 0);
        let ended = terminate(daemon, self.limit);
        self.rig.variables.clone_from(&self.moto.variables);
        ended
    }
}

/// Starts a proxy on a thread of its own.
fn start_proxy(server: SocketAddr) -> (FaultProxy, oneshot::Sender<()>) {
    let (end, ended) = oneshot::channel();
    let (to, from) = mpsc::channel();
    std::thread::spawn(move || {
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async move {
            to.send(FaultProxy::start(server).await).unwrap();
            ended.await.unwrap_or_default();
        });
    });
    (from.recv().unwrap(), end)
}

fn assert_reports(ended: &Ended, reported: &[&str]) {
    assert_eq!(ended.code, 3, "{ended:?}");
    for words in reported {
        assert!(last_line(ended).contains(words), "{words:?} is not in {}", ended.stderr);
    }
}

#[test]
fn a_put_that_hangs_does_not_hold_up_the_end() {
    FaultyS3::with(|s3| {
        let spool = s3.rig.path("spool");
        let ended = s3.end_during_put(10, Fault::Hang, Some(&spool));
        assert_reports(&ended, &[" flow rows", &spool, "stored when flowlog starts again"]);
        s3.rig.assert_stored_in(&s3.moto.location, 10);
    });
}

#[test]
fn without_a_spool_the_end_during_a_put_that_hangs_reports_what_is_lost() {
    FaultyS3::with(|s3| {
        let ended = s3.end_during_put(10, Fault::Hang, None);
        assert_reports(&ended, &[" windows with 1 flow rows are lost"]);
    });
}

/// It comes to the store when the next daemon has stored the same long since.
#[test]
fn a_put_that_is_slower_than_the_end_may_be_doubles_nothing_when_it_comes() {
    FaultyS3::with(|s3| {
        let spool = s3.rig.path("spool");
        let ended = s3.end_during_put(10, Fault::Slow(3 * TIMEOUT), Some(&spool));
        assert_reports(&ended, &[" flow rows", &spool, "stored when flowlog starts again"]);
        s3.rig.assert_stored_in(&s3.moto.location, 10);
        std::thread::sleep(3 * TIMEOUT);
        s3.rig.assert_stored_in(&s3.moto.location, 10);
    });
}

#[test]
fn a_put_that_is_slow_is_waited_for_at_the_end() {
    FaultyS3::with(|s3| {
        let spool = s3.rig.path("spool");
        // Whatever else the machine has to do.
        s3.limit = Duration::from_secs(30);
        s3.rig.configure(s3.limit);
        let ended = s3.end_during_put(10, Fault::Slow(TIMEOUT), Some(&spool));
        assert_eq!(ended.code, 0, "{ended:?}");
        s3.rig.assert_in_store(&s3.moto.location, 10, &ended);
    });
}

#[test]
fn a_disk_that_hangs_during_a_put_does_not_hold_up_the_end() {
    let rig = Rig::new();
    let disk = HangingDisk::new();
    let (store, spool) = (disk.path().join("store").display().to_string(), rig.path("spool"));
    let mut daemon = rig.start(&store, Some(&spool));
    daemon.wait_for("attached");
    let ledger = Path::new(&store).join("ledger");
    wait_for("a file in the store", || !files_under(&ledger).is_empty());
    disk.hang();
    rig.send(10);
    // Long enough for the window's file to be on its way.
    std::thread::sleep(Duration::from_secs(2));
    let ended = terminate(daemon, TIMEOUT + GRACE);
    assert_reports(&ended, &[" flow rows", &spool, "stored when flowlog starts again"]);
    disk.go_on();
    rig.assert_stored_in(&store, 10);
}
