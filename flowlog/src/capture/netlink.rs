//! What is asked of the kernel's routing subsystem: interfaces, their counters, queueing disciplines, filters.

pub(super) mod clsact;
pub(super) mod filter;
pub mod interface;
pub mod watch;
pub mod witness;

pub(super) use crate::netlink::Netlink;
use crate::netlink::{Message, Request, attribute, attributes, text, word};
