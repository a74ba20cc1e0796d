//! Whether this machine can do the job: kernel, capabilities, interfaces, store, spool, pins, clock.
//!
//! It changes nothing on the machine, but for what the write test of the store puts and deletes where
//! that is asked for.

mod interfaces;
mod kept;
mod retention;
mod sources;
mod store;

use std::time::Duration;

use serde::Serialize;

use crate::{
    capture::{MapSizes, Program, drain},
    config::{CaptureSettings, Config},
    record::{
        clock,
        policy::{AttachMode, Policy},
    },
    telemetry::with_causes,
};

/// How to look.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// How `flowlog run` is to attach.
    pub attach: AttachMode,
    /// Put, read and delete an object in the store.
    pub probe: bool,
}

/// What was looked at, and how it is.
#[derive(Clone, Debug, Serialize)]
pub struct Finding {
    /// What was looked at.
    pub name: &'static str,
    /// What was found.
    pub detail: String,
    /// What to do, where it is not as it must be.
    pub remedy: Option<String>,
    /// Whose matter it is: the configuration's, or the machine's.
    #[serde(skip)]
    pub at_fault: Fault,
}

/// Whose matter a failure is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Fault {
    /// The machine's.
    #[default]
    Machine,
    /// The configuration's.
    Configuration,
}

impl Finding {
    /// Whether it is as it must be.
    #[must_use]
    pub const fn is_sound(&self) -> bool {
        self.remedy.is_none()
    }

    fn sound(name: &'static str, detail: impl Into<String>) -> Self {
        Self { name, detail: detail.into(), remedy: None, at_fault: Fault::Machine }
    }

    fn failed(name: &'static str, detail: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { remedy: Some(remedy.into()), ..Self::sound(name, detail) }
    }
}

/// Looks at everything that `flowlog run` needs with this configuration.
pub async fn check(config: &Config, options: Options) -> Vec<Finding> {
    let Options { attach, probe } = options;
    let Config {
        gateway,
        policy,
        interfaces,
        capture,
        store,
        times: _,
        spool,
        status: _,
        retention,
        sources,
        subscribers,
    } = config;
    let mut findings = vec![kernel(), capabilities(), program(capture, policy), attachment(attach)];
    findings.extend(drain_findings());
    findings.extend(interfaces::findings(interfaces));
    findings.push(store::finding(store, gateway, probe).await);
    findings.extend(kept::findings(spool, capture, gateway));
    findings.extend(sources::findings(sources, subscribers.as_ref()).await);
    findings.push(clock_finding(&clock::quality()));
    findings.extend(retention::finding(retention.as_ref(), store.in_clear()).await);
    findings
}

/// The oldest kernel that flowlog is tested on, Debian 12's; no part of it needs a later one.
const OLDEST_KERNEL: (u32, u32) = (6, 1);
const TCX_KERNEL: (u32, u32) = (6, 6);

fn kernel() -> Finding {
    let release = kernel_release();
    if kernel_version(&release) >= OLDEST_KERNEL {
        Finding::sound("kernel", release)
    } else {
        let (major, minor) = OLDEST_KERNEL;
        Finding::failed("kernel", release, format!("boot Linux {major}.{minor} or later"))
    }
}

fn kernel_release() -> String {
    std::fs::read_to_string("/proc/sys/kernel/osrelease")
        .map_or_else(|_| "unknown".to_owned(), |text| text.trim().to_owned())
}

fn kernel_version(release: &str) -> (u32, u32) {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(|n| n.parse().unwrap_or(0));
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0))
}

const CAPABILITIES: [(&str, u32); 3] =
    [("CAP_NET_ADMIN", 12), ("CAP_PERFMON", 38), ("CAP_BPF", 39)];
const CAP_SYS_ADMIN: u32 = 21;

fn capabilities() -> Finding {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let effective = status
        .lines()
        .find_map(|line| u64::from_str_radix(line.strip_prefix("CapEff:")?.trim(), 16).ok())
        .unwrap_or(0);
    let has = |bit: u32| effective & (1 << bit) != 0;
    let missing: Vec<&str> = CAPABILITIES
        .iter()
        .filter(|(name, bit)| !has(*bit) && (*name == "CAP_NET_ADMIN" || !has(CAP_SYS_ADMIN)))
        .map(|(name, _)| *name)
        .collect();
    if missing.is_empty() {
        Finding::sound("capabilities", "CAP_BPF, CAP_NET_ADMIN, CAP_PERFMON")
    } else {
        let detail = format!("without {}", missing.join(", "));
        Finding::failed(
            "capabilities",
            detail,
            "run as root, or give the service these capabilities",
        )
    }
}

fn program(settings: &CaptureSettings, policy: &Policy) -> Finding {
    let sizes = MapSizes { interfaces: 1, ..MapSizes::configured(settings) };
    match Program::load(sizes, policy, None) {
        Ok(_) => {
            let mib = sizes.kernel_bytes() >> 20;
            Finding::sound("kernel program", format!("loads; its maps take {mib} MiB"))
        }
        Err(error) => Finding::failed(
            "kernel program",
            with_causes(&error),
            "see kernel and capabilities above; a kernel built without CONFIG_BPF_SYSCALL cannot run flowlog",
        ),
    }
}

fn attachment(mode: AttachMode) -> Finding {
    let has_tcx = kernel_version(&kernel_release()) >= TCX_KERNEL;
    match mode {
        AttachMode::Auto if has_tcx => Finding::sound("attachment", "TCX"),
        AttachMode::Auto => Finding::sound("attachment", "clsact (TCX needs Linux 6.6)"),
        AttachMode::Clsact => Finding::sound("attachment", "clsact, as asked for"),
        AttachMode::Tcx if has_tcx => Finding::sound("attachment", "TCX, as asked for"),
        AttachMode::Tcx => {
            Finding::failed("attachment", "no TCX, which needs Linux 6.6", "use --attach auto")
        }
    }
}

fn drain_findings() -> Option<Finding> {
    let error = drain::can_settle().err()?;
    Some(Finding::failed(
        "membarrier",
        error.to_string(),
        "boot without nohz_full, and allow membarrier in the seccomp filter",
    ))
}

fn clock_finding(quality: &clock::ClockQuality) -> Finding {
    let bound = rounded(quality.max_error);
    if quality.synchronised {
        Finding::sound("clock", format!("synchronised; off by at most {bound:?}"))
    } else {
        Finding::failed(
            "clock",
            format!("not synchronised; may be off by up to {bound:?}"),
            "install and start chrony: times that are wrong name the wrong subscriber",
        )
    }
}

fn rounded(duration: Duration) -> Duration {
    Duration::from_millis(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernel_versions_compare_by_number() {
        assert!(kernel_version("6.18.44-generic") > kernel_version("6.6.0"));
        assert!(kernel_version("6.1.0-18-amd64") >= OLDEST_KERNEL);
        assert!(kernel_version("5.15.0") < OLDEST_KERNEL);
        assert_eq!(kernel_version("unknown"), (0, 0));
    }

    #[test]
    fn a_clock_that_nothing_keeps_comes_with_a_remedy() {
        let quality =
            clock::ClockQuality { synchronised: false, max_error: Duration::from_secs(16) };
        let finding = clock_finding(&quality);
        assert!(!finding.is_sound());
        assert!(finding.remedy.unwrap().contains("chrony"));
    }
}
