//! The model test: random histories of all that can befall a spool, on a disk and with stores in memory.
//!
//! Whatever happens, the stores hold every drained epoch once, or the ledger states a gap there.

pub(crate) mod disk;
mod history;
mod real;
mod store;
#[cfg(test)]
mod tests;
mod world;
