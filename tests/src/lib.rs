//! What the tests on real interfaces have in common.
//!
//! They need root, and fail without it: a test that cannot run must not look like one that passed.

mod capture;
mod daemon;
mod oracle;
mod rig;

pub use capture::{Capture, Replay, replay_into_interface, replay_into_tun};
pub use daemon::{Daemon, Ended, flowlog, flowlog_binary};
pub use oracle::{
    FLOWS_AS_THE_ORACLE_SEES_THEM, assert_equal_to_oracle, captures, normalise, own_cases,
};
pub use rig::{
    duckdb, duckdb_cli, has_tcx, python, quiet_tun, set_ipv6, silence, veth_pair, wait_for,
};
