//! What the tests on real interfaces have in common.
//!
//! They need root, and fail without it: a test that cannot run must not look like one that passed.

mod capture;
mod corpus;
mod counter;
mod daemon;
mod disk;
mod effort;
mod given;
pub mod holders;
mod kernel;
mod kernel_clock;
mod members;
mod offload;
mod openvpn;
mod oracle;
mod pinned;
mod random;
mod rig;
mod sources;
pub mod stores;
pub mod synthetic;
mod transfer;
mod virtio;
mod wall_clock;
mod wire;
mod wireguard;

pub use capture::{Capture, Layer, Replay, replay_into_interface, replay_into_tun};
pub use corpus::corpus;
pub use counter::{Counter, Passed, Place, Side, Verdict};
pub use daemon::{Daemon, Ended, flowlog, flowlog_binary, flowlog_with};
pub use disk::{HangingDisk, SmallDisk, files_under};
pub use effort::times;
pub use given::{EntryPoint, Given, assert_given_equal_to_oracle};
pub use kernel::{Loaded, store_epoch};
pub use kernel_clock::KernelClock;
pub use members::{Members, Seen};
pub use offload::{allow_super_packets_of, offload};
pub use openvpn::{LoggedSession, OpenVpn, OpenVpnClient, logged_sessions};
pub use oracle::{
    FLOWS_AS_THE_ORACLE_SEES_THEM, Summary, assert_equal_to_oracle,
    assert_tcp_and_udp_equal_to_oracle, captures, normalise, own_cases,
};
pub use pinned::PinnedMap;
pub use random::Random;
pub use rig::{
    Bpffs, SMALL, ask_duckdb, cable, duckdb, duckdb_cli, duckdbs, has_tcx, newest_duckdb,
    oldest_duckdb_cli, python, quiet_tun, root, set_ipv6, silence, try_duckdb, veth_pair, wait_for,
};
pub use sources::SessionGateway;
pub use stores::HungServer;
pub use transfer::{Bursts, TcpSent, tcp_both_ways, udp_both_ways};
pub use virtio::{Cut, CutKind, send_frames, tunnel_of_super_packets};
pub use wall_clock::WallClock;
pub use wire::{Counted, Recording, record, sysctl};
pub use wireguard::{WireGuard, wants_the_kernels, wg};
