//! The model test: random histories of all that can befall a spool, on a disk and with stores in memory.
//!
//! Whatever happens, the stores hold every drained epoch once, or the ledger states a gap there; and every event that
//! was safe is read back once until it is released, or named as lost.

mod events;
mod halves;
mod history;
pub(super) mod store;
mod tests;
mod world;
