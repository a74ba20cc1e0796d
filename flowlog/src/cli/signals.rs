//! The signals that end the daemon, and its end when it does not end by itself.

use std::{
    io,
    os::fd::AsFd as _,
    time::{Duration, Instant},
};

use flowlog::{service::Whereabouts, telemetry};
use nix::{
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::{
        signal::{SigSet, Signal},
        signalfd::{SfdFlags, SignalFd},
    },
};
use tokio::sync::watch;

/// SIGTERM, SIGINT and SIGHUP, from when this is made.
///
/// A thread of its own hears them, which is there when everything else hangs: the first is passed
/// on, and a SIGINT after it (Ctrl-C once more), or the end of the time for shutting down, ends the
/// process. That is safe at every instant, as is a power cut. A service manager may repeat SIGTERM,
/// which changes nothing.
pub struct Signals {
    descriptor: Option<SignalFd>,
    stopped: watch::Sender<bool>,
}

/// What the process has beyond the time for shutting down.
const GRACE: Duration = Duration::from_secs(1);
/// For the last line.
const FLUSH: Duration = Duration::from_millis(200);

impl Signals {
    /// Must be called before there is any other thread: it would not have them blocked.
    pub fn block() -> io::Result<Self> {
        let mut signals = SigSet::empty();
        signals.add(Signal::SIGTERM);
        signals.add(Signal::SIGINT);
        // Whoever started it with `nohup` wants it to go on.
        if !is_ignored(Signal::SIGHUP) {
            signals.add(Signal::SIGHUP);
        }
        signals.thread_block()?;
        let descriptor = SignalFd::with_flags(&signals, SfdFlags::SFD_CLOEXEC)?;
        Ok(Self { descriptor: Some(descriptor), stopped: watch::Sender::new(false) })
    }

    /// Ends the process this long after the first signal, or with a SIGINT after it.
    pub fn limit(&mut self, timeout: Duration, whereabouts: Whereabouts) -> io::Result<()> {
        let Some(descriptor) = self.descriptor.take() else { return Ok(()) };
        let stopped = self.stopped.clone();
        let limit = Limit { descriptor, timeout, whereabouts };
        std::thread::Builder::new().name("signals".to_owned()).spawn(move || {
            limit.wait(None, |_| true);
            stopped.send_replace(true);
            limit.end()
        })?;
        Ok(())
    }

    /// Returns after the first signal.
    pub async fn stopped(&self) {
        // Its sender is here.
        drop(self.stopped.subscribe().wait_for(|stopped| *stopped).await);
    }
}

struct Limit {
    descriptor: SignalFd,
    timeout: Duration,
    whereabouts: Whereabouts,
}

impl Limit {
    /// Waits for a signal that counts; returns whether there was one in time.
    fn wait(&self, until: Option<Instant>, counts: fn(Signal) -> bool) -> bool {
        let counted = || {
            let heard = self.descriptor.read_signal().ok().flatten()?;
            let signal = Signal::try_from(i32::try_from(heard.ssi_signo).ok()?).ok()?;
            Some(counts(signal))
        };
        loop {
            let timeout = until.map_or(PollTimeout::NONE, |until| {
                let left = until.saturating_duration_since(Instant::now());
                // Rounded up, so that it does not wake up too early again and again.
                PollTimeout::try_from(left + Duration::from_millis(1)).unwrap_or(PollTimeout::MAX)
            });
            let mut ready = [PollFd::new(self.descriptor.as_fd(), PollFlags::POLLIN)];
            match poll(&mut ready, timeout) {
                Ok(1..) if counted() == Some(true) => return true,
                _ if until.is_some_and(|until| Instant::now() >= until) => return false,
                // Interrupted, or the timeout is longer than can be asked for.
                _ => {}
            }
        }
    }

    fn end(&self) -> ! {
        let until = Instant::now() + self.timeout + GRACE;
        let is_interrupted = self.wait(Some(until), |signal| signal == Signal::SIGINT);
        let why = if is_interrupted {
            "ended at once by SIGINT while it was ending".to_owned()
        } else {
            format!("did not end within {:?}", self.timeout)
        };
        let log = telemetry::log();
        log.line(&format!("flowlog: {why}: {}", self.whereabouts.report()));
        log.flush(FLUSH);
        // SAFETY: it ends the process and nothing else; what is durable is so at every instant.
        unsafe { libc::_exit(3) }
    }
}

/// Whether whoever started the process made it ignore a signal.
fn is_ignored(signal: Signal) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let ignored = line.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0);
    ignored & (1 << (signal as i32 - 1)) != 0
}
