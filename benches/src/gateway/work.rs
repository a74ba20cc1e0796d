//! How long processors worked for a process.

use std::{fs, time::Duration};

use anyhow::Context as _;

/// Of `/proc/PID/stat`, in hundredths of a second, counted from behind the command's name: as the
/// process, and as the kernel for it.
const OWN: [usize; 2] = [11, 12];
/// The same, of those of its children that have ended.
const OF_CHILDREN: [usize; 2] = [13, 14];

/// How long processors worked for these processes so far, and for the children of this one that
/// have ended. What the kernel does for a packet counts for whoever it interrupts: mostly these.
pub fn so_far(processes: &[u32]) -> anyhow::Result<Duration> {
    let mut all = time("self", OF_CHILDREN)?;
    for process in processes {
        all += time(&process.to_string(), OWN)?;
    }
    Ok(all)
}

fn time(process: &str, fields: [usize; 2]) -> anyhow::Result<Duration> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat"))
        .with_context(|| format!("process {process} has ended"))?;
    let (_, behind) = stat.rsplit_once(") ").context("/proc/PID/stat has no name")?;
    let words: Vec<&str> = behind.split(' ').collect();
    let mut ticks = 0;
    for field in fields {
        ticks += words.get(field).context("/proc/PID/stat is too short")?.parse::<u64>()?;
    }
    Ok(Duration::from_millis(10 * ticks))
}
