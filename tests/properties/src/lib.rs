//! What holds for every packet, whatever is in it.
//!
//! Each function takes any bytes at all and panics where a property does not hold, so that the
//! property tests beside this, the fuzzer (`cargo xtask fuzz`) and the replay of its corpus ask
//! the same of the parser. The last word on what a packet is has the oracle of `tests/oracle`, to
//! which what the kernel program makes of the same corpus is compared.

mod frame;
mod packet;
mod recorded;
mod segments;
mod walk;

pub use frame::hold_for_frame;
pub use packet::hold_for_packet;
pub use recorded::Recorded;
pub use segments::hold_for_super_packet;

#[cfg(test)]
mod tests;
