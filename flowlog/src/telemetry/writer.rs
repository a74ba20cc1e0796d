//! Log lines on their way to standard error.
//!
//! Whoever reads the log may be slow, gone, or without room on its disk: none of that may hold up or
//! end the daemon. So a thread of its own writes the lines, and lines for which its queue has no room
//! are counted instead of written. (`tracing-appender` does the same, but prints to standard error
//! itself when it ends, which blocks where nobody reads.)

use std::{
    io::{self, Write},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    time::{Duration, Instant},
};

use super::printable;

/// Lines that wait to be written at most.
const WAITING_LINES: usize = 4096;
/// How often it is looked whether all lines are written.
const LOOK: Duration = Duration::from_millis(2);

/// Takes lines, and never blocks or fails.
#[derive(Clone, Debug)]
pub struct LogWriter {
    lines: Option<SyncSender<Vec<u8>>>,
    counts: Arc<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    /// Lines that were taken.
    taken: AtomicU64,
    /// Of those, lines that were written, or could not be.
    done: AtomicU64,
    /// Lines that nobody will read, and of which no line reported yet.
    dropped: AtomicU64,
}

impl LogWriter {
    /// Writes to this from now on.
    pub fn new(to: impl Write + Send + 'static) -> Self {
        let (lines, taken) = sync_channel(WAITING_LINES);
        let counts = Arc::new(Counts::default());
        let of_thread = Arc::clone(&counts);
        let thread = std::thread::Builder::new().name("log".to_owned());
        let started = thread.spawn(move || write_lines(to, &taken, &of_thread));
        // Where there is no thread to be had, the lines are counted.
        Self { lines: started.is_ok().then_some(lines), counts }
    }

    /// Takes a line.
    pub fn line(&self, line: &str) {
        self.take(format!("{}\n", printable(line)).into_bytes());
    }

    /// Waits until all lines are written, but not for longer than this. Returns whether they are.
    pub fn flush(&self, patience: Duration) -> bool {
        let end = Instant::now() + patience;
        let taken = self.counts.taken.load(Ordering::SeqCst);
        while self.counts.done.load(Ordering::SeqCst) < taken {
            if Instant::now() >= end {
                return false;
            }
            std::thread::sleep(LOOK);
        }
        true
    }

    fn take(&self, line: Vec<u8>) {
        // Counted before, so that whoever flushes does not miss it.
        self.counts.taken.fetch_add(1, Ordering::SeqCst);
        let is_taken = self.lines.as_ref().is_some_and(|lines| lines.try_send(line).is_ok());
        if !is_taken {
            self.counts.done.fetch_add(1, Ordering::SeqCst);
            self.counts.dropped.fetch_add(1, Ordering::SeqCst);
        }
    }
}

impl Write for LogWriter {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.take(line.to_vec());
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn write_lines(mut to: impl Write, lines: &Receiver<Vec<u8>>, counts: &Counts) {
    for line in lines {
        let dropped = counts.dropped.swap(0, Ordering::SeqCst);
        if dropped > 0 {
            let report =
                format!("flowlog: {dropped} log lines before this one could not be written\n");
            if to.write_all(report.as_bytes()).is_err() {
                counts.dropped.fetch_add(dropped, Ordering::SeqCst);
            }
        }
        if to.write_all(&line).and_then(|()| to.flush()).is_err() {
            counts.dropped.fetch_add(1, Ordering::SeqCst);
        }
        counts.done.fetch_add(1, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Mutex, mpsc};

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(10);

    #[derive(Clone, Default)]
    struct Shared(Arc<Mutex<Vec<u8>>>);

    impl Write for Shared {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn lines_are_written_in_their_order() {
        let written = Shared::default();
        let mut writer = LogWriter::new(written.clone());
        writer.write_all(b"first\n").unwrap();
        writer.line("second");
        assert!(writer.flush(PATIENCE));
        assert_eq!(*written.0.lock().unwrap(), b"first\nsecond\n");
    }

    #[test]
    fn a_reader_that_does_not_read_holds_nothing_up_and_hears_of_the_lost_lines_later() {
        struct Stuck(Receiver<()>, Shared);
        impl Write for Stuck {
            fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                // Until the sender is dropped.
                self.0.recv().unwrap_or_default();
                self.1.write(bytes)
            }

            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let (stuck, until) = mpsc::channel();
        let written = Shared::default();
        let writer = LogWriter::new(Stuck(until, written.clone()));
        for number in 0..WAITING_LINES + 100 {
            writer.line(&number.to_string());
        }
        assert!(!writer.flush(Duration::from_millis(20)));
        drop(stuck);
        assert!(writer.flush(PATIENCE));
        writer.line("the last");
        assert!(writer.flush(PATIENCE));
        let written = String::from_utf8(written.0.lock().unwrap().clone()).unwrap();
        let reported = written.lines().filter(|line| line.contains("could not be written"));
        let lost: usize =
            reported.map(|line| line.split(' ').nth(1).unwrap().parse::<usize>().unwrap()).sum();
        let numbers = written.lines().filter(|line| line.parse::<usize>().is_ok()).count();
        assert_eq!(numbers + lost, WAITING_LINES + 100);
        assert!(written.ends_with("the last\n"));
    }

    #[test]
    fn a_disk_without_room_loses_lines_and_nothing_else() {
        let full = std::fs::File::create("/dev/full").unwrap();
        let writer = LogWriter::new(full);
        (0..3).for_each(|_| writer.line("a line"));
        assert!(writer.flush(PATIENCE));
    }
}
