//! Disks for tests: one in memory, on which everything can go wrong, and a real one beside it.

#[cfg_attr(not(feature = "capture"), expect(dead_code, reason = "the histories need the daemon"))]
pub(crate) mod disk;
#[cfg_attr(not(feature = "capture"), expect(dead_code, reason = "the histories need the daemon"))]
pub(crate) mod real;
