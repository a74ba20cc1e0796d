//! OpenVPN: a server tells of its clients by its hooks, its status file and its management socket.

mod call;

pub use call::call_fields;
