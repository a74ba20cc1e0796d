//! What this process has computed, in seconds of a processor.

use std::time::Duration;

/// Seconds in user space.
pub fn user() -> f64 {
    seconds(usage().ru_utime)
}

/// Seconds in the kernel.
pub fn system() -> f64 {
    seconds(usage().ru_stime)
}

fn usage() -> libc::rusage {
    // SAFETY: a usage is numbers, for which zeros are a value, and the kernel writes no more than one.
    unsafe {
        let mut usage = std::mem::zeroed();
        libc::getrusage(libc::RUSAGE_SELF, &raw mut usage);
        usage
    }
}

fn seconds(time: libc::timeval) -> f64 {
    let seconds = Duration::from_secs(time.tv_sec.unsigned_abs());
    (seconds + Duration::from_micros(time.tv_usec.unsigned_abs())).as_secs_f64()
}
