//! The model test: random histories of all that can befall a spool, on a disk and with stores in memory.
//!
//! Whatever happens, the stores hold every drained epoch once, or the ledger states a gap there; and every event that
//! was safe is read back once until it is released, or named as lost.

#[cfg_attr(not(feature = "capture"), expect(dead_code, reason = "the histories need the daemon"))]
pub(crate) mod disk;
#[cfg(feature = "capture")]
mod events;
#[cfg(feature = "capture")]
mod history;
#[cfg_attr(not(feature = "capture"), expect(dead_code, reason = "the histories need the daemon"))]
mod real;
#[cfg(feature = "capture")]
mod store;
#[cfg(feature = "capture")]
mod tests;
#[cfg(feature = "capture")]
mod world;
