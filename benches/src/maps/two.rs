//! Two CPUs at work at the same time.

use std::{
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    thread,
    time::Instant,
};

use anyhow::{Context as _, ensure};

use crate::kernel::Runnable;

const REPEAT: u32 = 500_000;
/// Runs in a call of the CPU that works beside the one that is measured.
const CHUNK: u32 = 20_000;
const MEASURED: usize = 0;
const BESIDE: usize = 1;
/// Where the other CPU did something else for more than the rest of the time, nothing was measured.
const LEAST_OVERLAP: f64 = 0.9;
const ATTEMPTS: usize = 50;

/// A program and the packet that it is given.
#[derive(Clone, Copy)]
pub struct Load<'a> {
    pub program: &'a Runnable,
    pub packet: &'a [u8],
}

pub struct Outcome {
    /// A packet of the measured CPU, while the other one works.
    pub nanoseconds: f64,
    /// Of both CPUs, in all attempts.
    pub packets: u64,
}

/// Stays on the CPU that is measured.
pub fn stay() -> anyhow::Result<()> {
    pin(MEASURED)
}

pub fn measure(measured: Load<'_>, beside: Load<'_>) -> anyhow::Result<Outcome> {
    let mut packets = 0;
    for _ in 0..ATTEMPTS {
        let (nanoseconds, beside_packets, overlap) = attempt(measured, beside)?;
        packets += u64::from(REPEAT) + beside_packets;
        if overlap >= LEAST_OVERLAP {
            return Ok(Outcome { nanoseconds, packets });
        }
    }
    anyhow::bail!("the second CPU is never free; the machine is too busy")
}

/// Time of a packet, packets of the other CPU, and its share of the time.
fn attempt(measured: Load<'_>, beside: Load<'_>) -> anyhow::Result<(f64, u64, f64)> {
    let (is_over, chunks) = (AtomicBool::new(false), AtomicU64::new(0));
    thread::scope(|scope| {
        let other = scope.spawn(|| {
            pin(BESIDE)?;
            schedule(libc::SCHED_FIFO)?;
            let mut busy = vec![];
            while !is_over.load(Ordering::Relaxed) {
                let nanoseconds = beside.program.nanoseconds(beside.packet, CHUNK)?;
                busy.push((Instant::now(), nanoseconds * f64::from(CHUNK)));
                chunks.fetch_add(1, Ordering::Relaxed);
            }
            anyhow::Ok(busy)
        });
        while chunks.load(Ordering::Relaxed) == 0 && !other.is_finished() {
            thread::yield_now();
        }
        schedule(libc::SCHED_FIFO)?;
        let began = Instant::now();
        let outcome = measured.program.nanoseconds(measured.packet, REPEAT);
        let ended = Instant::now();
        is_over.store(true, Ordering::Relaxed);
        schedule(libc::SCHED_OTHER)?;
        let busy = other.join().ok().context("the second CPU's thread panicked")??;
        ensure!(!busy.is_empty(), "the second CPU did nothing");
        let within = busy.iter().filter(|(at, _)| *at > began && *at <= ended);
        let busy_ns: f64 = within.map(|(_, nanoseconds)| nanoseconds).sum();
        let packets = u64::try_from(busy.len())? * u64::from(CHUNK);
        Ok((outcome?, packets, busy_ns / ((ended - began).as_secs_f64() * 1e9)))
    })
}

/// In the first class no other process takes the CPU away, for the moment that it takes.
fn schedule(class: libc::c_int) -> anyhow::Result<()> {
    let priority = i32::from(class == libc::SCHED_FIFO);
    let parameters = libc::sched_param { sched_priority: priority };
    // SAFETY: the parameters outlive the call.
    let outcome = unsafe { libc::sched_setscheduler(0, class, &raw const parameters) };
    ensure!(outcome == 0, "cannot change the schedule: {}", std::io::Error::last_os_error());
    Ok(())
}

fn pin(cpu: usize) -> anyhow::Result<()> {
    // SAFETY: a set of CPUs is bits, of which none is set at first; the kernel reads as much as is
    // said.
    let outcome = unsafe {
        let mut cpus: libc::cpu_set_t = std::mem::zeroed();
        libc::CPU_SET(cpu, &mut cpus);
        libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &raw const cpus)
    };
    ensure!(outcome == 0, "cannot stay on CPU {cpu}: {}", std::io::Error::last_os_error());
    Ok(())
}
