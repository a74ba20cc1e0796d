//! OpenVPN: a server tells of its clients by its hooks, its status file and its management socket.

mod call;
mod client;
mod file;
mod management;
mod server;
mod status;
mod watch;

pub use call::{Calls, call_fields};
pub(super) use file::StatusFile;
pub(super) use server::Memory;
pub(super) use watch::{CallWatch, Watch};
