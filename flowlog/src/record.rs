//! The things that flowlog records, without any of the machinery that counts, keeps or reads them.
//!
//! Everything here is pure: times and packets are arguments. The one exception is [`clock`], which can
//! also read the machine's clocks.

pub mod address;
pub mod clock;
pub mod dated;
pub mod epoch;
pub mod epoch_set;
pub mod flow;
pub mod gateway;
pub mod ledger;
pub mod lines;
pub mod location;
pub mod order;
pub mod pattern;
pub mod period;
pub mod policy;
pub mod redacted;
pub mod session;
pub mod subscriber;
pub mod times;
pub mod window;
