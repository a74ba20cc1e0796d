//! What can go wrong between the kernel program and an interface.

use aya::{maps::MapError, programs::ProgramError};

/// Why packets cannot be captured.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The process lacks a capability.
    #[error(
        "no permission to {action}: run as root, or with CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON"
    )]
    Permission {
        /// What was refused.
        action: &'static str,
    },
    /// The kernel does not take the program.
    #[error("cannot load the kernel program; run `flowlog check` to find the reason")]
    Load {
        /// Why.
        source: Box<aya::EbpfError>,
    },
    /// The kernel does not take one of its entry points.
    #[error(
        "cannot load the kernel program's entry point {name}; run `flowlog check` to find the reason"
    )]
    LoadProgram {
        /// The entry point.
        name: &'static str,
        /// Why.
        source: Box<ProgramError>,
    },
    /// The BPF file system cannot be found or mounted.
    #[error(
        "there is no BPF file system to keep the counters when flowlog ends: mount one (mount -t bpf bpf /sys/fs/bpf), or name a directory in another one with --pins"
    )]
    Bpffs {
        /// Why.
        source: std::io::Error,
    },
    /// The map by which the program is told things while it runs cannot be mapped.
    #[error("cannot map the kernel program's control map into memory")]
    MapControl {
        /// Why.
        source: std::io::Error,
    },
    /// The object is not the one that this program was built with.
    #[error("the kernel program has no {name}: it was built from other sources than flowlog")]
    Missing {
        /// The map or entry point.
        name: &'static str,
    },
    /// The kernel's list of interfaces cannot be read.
    #[error("cannot list the network interfaces")]
    List {
        /// Why.
        source: std::io::Error,
    },
    /// Changes of interfaces cannot be followed.
    #[error("cannot follow changes of the network interfaces")]
    Watch {
        /// Why.
        source: std::io::Error,
    },
    /// The packets of this kind of device begin neither with an IP nor with an Ethernet header.
    #[error("interface {interface} is of a kind that flowlog cannot read (ARPHRD {kind})")]
    Kind {
        /// Name of the interface.
        interface: String,
        /// The kernel's number for its kind.
        kind: u16,
    },
    /// The kernel does not attach the program to an interface.
    #[error("cannot attach to {interface}")]
    Attach {
        /// Name of the interface.
        interface: String,
        /// Why.
        source: std::io::Error,
    },
    /// An `ingress` queueing discipline has no hook for what goes to members.
    #[error(
        "flowlog cannot be attached to {interface}: it has an `ingress` queueing discipline in the place of clsact, which has no hook for packets to members; attach its filters to clsact instead (`tc qdisc del dev {interface} ingress`, `tc qdisc add dev {interface} clsact`), or boot a kernel with TCX (Linux 6.6)"
    )]
    IngressDiscipline {
        /// Name of the interface.
        interface: String,
    },
    /// Another interface that is counted has the same name, as text.
    #[error("an interface named {interface} is counted already: rename one of them")]
    SameName {
        /// The name.
        interface: String,
    },
    /// The kernel has no TCX, and nothing else was wanted.
    #[error(
        "cannot attach to {interface}: this kernel has no TCX, which came with Linux 6.6; use --attach auto"
    )]
    NoTcx {
        /// Name of the interface.
        interface: String,
    },
    /// Two interfaces have kernel indexes that agree in the low 16 bits.
    #[error(
        "{interface} cannot be counted together with {other}: their kernel indexes collide; recreate one of them"
    )]
    Collision {
        /// Name of the interface.
        interface: String,
        /// The interface that is counted already.
        other: String,
    },
    /// More interfaces are counted at once than the totals have room for.
    #[error(
        "{interface} cannot be counted: flowlog counts {limit} interfaces already, and has no room for more; name fewer interfaces"
    )]
    TooMany {
        /// Name of the interface.
        interface: String,
        /// How many there is room for.
        limit: u16,
    },
    /// What is to outlive the process has no file system to be in.
    #[error(
        "{path} is not on a BPF file system, which keeps links and maps when flowlog ends: mount one with `mount -t bpf bpf /sys/fs/bpf`"
    )]
    NoBpffs {
        /// Where it was to be.
        path: String,
    },
    /// Another daemon has this gateway's links and maps.
    #[error(
        "another flowlog runs for gateway {gateway} and uses its links and maps: stop that one first (`systemctl stop flowlog`), or name another gateway with --gateway"
    )]
    Running {
        /// The gateway.
        gateway: String,
    },
    /// A later version made the maps, which may be counting.
    #[error(
        "a newer version of flowlog made {path}, and this version does not touch it: start the newer version again; to count with this version, first stop the newer version and run its `flowlog uninstall`"
    )]
    Newer {
        /// The directory of its layout.
        path: String,
    },
    /// A daemon without pins runs, whose filters would be removed.
    #[error("process {process} is a flowlog that counts on {interface}: stop it first")]
    RunningProcess {
        /// Its number.
        process: u32,
        /// Name of the interface.
        interface: String,
    },
    /// A file system of the kernel's objects cannot be read or changed.
    #[error("cannot {action} {path}")]
    Pins {
        /// What was being done.
        action: &'static str,
        /// To what.
        path: String,
        /// Why.
        source: std::io::Error,
    },
    /// A pinned map is not what its name says.
    #[error("{path} is not a map of flowlog; `flowlog uninstall` removes it")]
    Foreign {
        /// The pin.
        path: String,
        /// Why.
        source: Box<MapError>,
    },
    /// A map of the kernel program cannot be written.
    #[error("cannot write the kernel map {name}")]
    Map {
        /// The map.
        name: &'static str,
        /// Why.
        source: Box<MapError>,
    },
}

/// The kernel says EPERM for a capability that is lacking; EACCES is the verifier's.
pub(super) fn is_permission(error: &std::io::Error) -> bool {
    error.raw_os_error() == Some(libc::EPERM)
}

pub(super) fn failure(
    action: &'static str,
    path: &std::path::Path,
    source: std::io::Error,
) -> Error {
    if is_permission(&source) {
        return Error::Permission { action: "keep links and maps in the BPF file system" };
    }
    Error::Pins { action, path: path.display().to_string(), source }
}

pub(super) fn map_error(name: &'static str, source: MapError) -> Error {
    Error::Map { name, source: Box::new(source) }
}
