//! The kernel's word about its own clock, for tests that need a good one. The time itself is never touched.

use std::{
    fs::File,
    io::{Read as _, Seek as _, Write as _},
    sync::{
        Arc, Mutex, PoisonError, Weak,
        mpsc::{Sender, channel},
    },
    thread::JoinHandle,
    time::Duration,
};

/// So wrong is a clock that was just said to be good, in microseconds; the kernel adds 500 each second.
const GOOD_US: i64 = 1_000;
/// How often it is said again.
const AGAIN: Duration = Duration::from_secs(1);

/// The one of this process.
static SHARED: Mutex<Weak<KernelClock>> = Mutex::new(Weak::new());

/// The kernel says that its clock is good to a millisecond, to all processes of the machine, until this is dropped: then it
/// says again what it said before. A process that has one keeps others waiting.
#[derive(Debug)]
pub struct KernelClock {
    /// What the kernel said before is in it, for whoever comes after a process that was killed.
    file: File,
    before: Said,
    /// Dropped, it ends the thread that says it again and again.
    end: Option<Sender<()>>,
    again: Option<JoinHandle<()>>,
}

/// What the kernel says about its clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Said {
    status: i32,
    max_error_us: i64,
    estimated_error_us: i64,
}

impl KernelClock {
    /// Makes it good; the same for all threads that ask while one of them has it.
    pub fn good() -> Arc<Self> {
        // A test that panicked has left the place as it was.
        let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(clock) = shared.upgrade() {
            return clock;
        }
        let clock = Arc::new(Self::make_good());
        *shared = Arc::downgrade(&clock);
        clock
    }

    fn make_good() -> Self {
        let path = std::env::temp_dir().join("flowlog-tests.clock");
        let mut file =
            File::options().create(true).truncate(false).read(true).write(true).open(path).unwrap();
        file.lock().unwrap();
        let mut left = String::new();
        file.read_to_string(&mut left).unwrap();
        let before = Said::parse(&left).unwrap_or_else(Said::read);
        rewrite(&mut file, &before.text());
        let good = Said {
            status: before.status & !libc::STA_UNSYNC,
            max_error_us: GOOD_US,
            estimated_error_us: GOOD_US,
        };
        good.say();
        let (end, ended) = channel::<()>();
        let again = std::thread::spawn(move || {
            use std::sync::mpsc::RecvTimeoutError::Timeout;
            while ended.recv_timeout(AGAIN) == Err(Timeout) {
                good.say();
            }
        });
        Self { file, before, end: Some(end), again: Some(again) }
    }
}

impl Drop for KernelClock {
    fn drop(&mut self) {
        drop(self.end.take());
        // Nothing may say it after the end of this.
        self.again.take().map(JoinHandle::join).transpose().unwrap_or_default();
        self.before.say();
        rewrite(&mut self.file, "");
    }
}

impl Said {
    fn read() -> Self {
        // SAFETY: zeroes are a valid request to change nothing.
        let mut timex: libc::timex = unsafe { std::mem::zeroed() };
        // SAFETY: the argument outlives the call.
        let state = unsafe { libc::adjtimex(&raw mut timex) };
        assert!(state >= 0, "{}", std::io::Error::last_os_error());
        let libc::timex { status, maxerror, esterror, .. } = timex;
        Self { status, max_error_us: maxerror, estimated_error_us: esterror }
    }

    fn say(self) {
        // SAFETY: zeroes are a valid request to change nothing.
        let mut timex: libc::timex = unsafe { std::mem::zeroed() };
        timex.modes = libc::ADJ_STATUS | libc::ADJ_MAXERROR | libc::ADJ_ESTERROR;
        timex.status = self.status;
        timex.maxerror = self.max_error_us;
        timex.esterror = self.estimated_error_us;
        // SAFETY: the argument outlives the call.
        let state = unsafe { libc::adjtimex(&raw mut timex) };
        // The thread of a test that ends has nobody who would see a panic.
        assert!(
            state >= 0 || std::thread::panicking(),
            "cannot tell the kernel about its clock: {}",
            std::io::Error::last_os_error()
        );
    }

    fn text(self) -> String {
        format!("{} {} {}", self.status, self.max_error_us, self.estimated_error_us)
    }

    fn parse(text: &str) -> Option<Self> {
        let mut numbers = text.split_whitespace().map(str::parse::<i64>);
        let mut next = || numbers.next()?.ok();
        let (status, max_error_us, estimated_error_us) = (next()?, next()?, next()?);
        Some(Self { status: i32::try_from(status).ok()?, max_error_us, estimated_error_us })
    }
}

fn rewrite(file: &mut File, text: &str) {
    file.set_len(0).unwrap();
    file.rewind().unwrap();
    file.write_all(text.as_bytes()).unwrap();
}
