//! What outlives the daemon: its spool and its pins.

use super::Finding;
use crate::{
    capture::{self, Kept, MapSizes, OtherGateway, Pins},
    config::{CaptureSettings, SpoolSettings},
    spool::survey::Survey,
    telemetry::with_causes,
};

/// Looks at the spool and the pins, if there are to be any.
pub(super) fn findings(
    settings: &SpoolSettings,
    capture: &CaptureSettings,
    gateway: &str,
) -> Vec<Finding> {
    let Some(directory) = &settings.spool else {
        let none = "none: a crash loses each count that is not stored yet (--spool keeps it)";
        return vec![Finding::sound("spool", none)];
    };
    let name = directory.display();
    let mut findings = match Survey::of(directory) {
        Ok(survey) => spool(&name.to_string(), &survey, settings.spool_max_bytes),
        Err(error) => vec![Finding::failed(
            "spool",
            with_causes(&error),
            "name a directory on a local disk that flowlog can write to",
        )],
    };
    findings.extend(pins(capture, gateway));
    findings
}

fn spool(name: &str, survey: &Survey, limit: u64) -> Vec<Finding> {
    const MIB: u64 = 1 << 20;
    let Survey { exists, bytes, free, damaged } = survey;
    let is_new = if *exists { "" } else { " is made at the start" };
    let mut detail = format!(
        "{name}{is_new}: {} of {} MiB used, {} MiB free on its disk",
        bytes / MIB,
        limit / MIB,
        free / MIB
    );
    let left = limit.saturating_sub(*bytes);
    let mut findings = vec![if left < MIB {
        let remedy = "check that the store takes files, or raise spool_max_bytes";
        Finding::failed("spool", detail + ": it is full", remedy)
    } else if *free < MIB {
        Finding::failed("spool", detail + ": the disk is full", "free some space there")
    } else {
        if *free < left {
            detail += ", and the disk will be full before the spool is";
        }
        Finding::sound("spool", detail)
    }];
    if let Some(first) = damaged.first() {
        findings.push(Finding::failed(
            "damaged runs",
            format!("{} damaged files moved aside, the first is {}", damaged.len(), first.display()),
            "test the disk; the counts in these files may be missing in the store: move the files to another place",
        ));
    }
    findings
}

fn pins(settings: &CaptureSettings, gateway: &str) -> Vec<Finding> {
    let kept = match capture::reachable_as_it_is(&settings.pins) {
        Ok(None) => {
            let none = "none: counting begins with the start, which mounts the BPF file system";
            return vec![Finding::sound("pins", none)];
        }
        Ok(Some(base)) => Pins::new(base, gateway.to_owned()).kept(MapSizes::configured(settings)),
        Err(error) => Err(error),
    };
    let Kept { goes_on, has_other_sizes, unreadable, others } = match kept {
        Ok(kept) => kept,
        Err(error) => {
            let remedy = "mount the BPF file system, and name a directory in it with --pins";
            return vec![Finding::failed("pins", with_causes(&error), remedy)];
        }
    };
    let of_this = if let Some(newer) = unreadable.iter().find(|folder| capture::is_newer(folder)) {
        let layout = newer.file_name().unwrap_or_default().to_string_lossy();
        Finding::failed(
            "pins",
            format!("pins of a newer version of flowlog ({layout}): this version does not start"),
            "start the newer version again; to count with this version, first stop the newer version and run its `flowlog uninstall`",
        )
    } else if let Some(first) = unreadable.first() {
        let layout = first.file_name().unwrap_or_default().to_string_lossy();
        Finding::failed(
            "pins",
            format!(
                "pins of another version ({layout}): their counts will be lost, with a gap in the ledger"
            ),
            "start the version that made the pins, stop it, and start this version at once: then the gap is short",
        )
    } else {
        Finding::sound(
            "pins",
            match (goes_on, has_other_sizes) {
                (true, _) => "pins of a flowlog before: counting goes on without a gap",
                (false, true) => {
                    "pins of a flowlog with other sizes of its maps: flowlog drains them, and counting goes on without a gap"
                }
                (false, false) => "none: counting begins with the start",
            },
        )
    };
    let mut findings = vec![of_this];
    findings.extend(others.iter().map(|OtherGateway { name, is_running }| {
        if *is_running {
            Finding::sound("other gateway", format!("a flowlog runs here for gateway {name} too"))
        } else {
            Finding::failed(
                "other gateway",
                format!("gateway {name} has programs and counters in the kernel that no flowlog drains"),
                format!("to save its flows, run flowlog as --gateway {name} once more and stop it; then `flowlog uninstall --gateway {name}`"),
            )
        }
    }));
    findings
}
