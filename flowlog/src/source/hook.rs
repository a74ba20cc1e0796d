//! Notes that hooks leave in a directory: a server or a control plane calls `flowlog hook`, which writes one file and
//! ends, whether a daemon runs or not. The daemon reads the notes in the order of their times.
//!
//! Each note is a file of its own, whole or not there. Its name has its time by the machine's clock that nobody sets,
//! its time in UTC, something random, and whom it is for:
//!
//! ```text
//! 00000000123456789012-01790000000000000000-0123456789abcdef.openvpn.server-udp
//! ```

mod directory;
mod leave;
mod note;
mod notes;

pub use directory::{Directory, Found, Refused, Scan};
pub use leave::{leave, leave_within};
pub use note::{BadNote, Fields, Kind, Note, Stamp};
pub(super) use notes::Notes;

/// Where notes are left.
pub const DIRECTORY: &str = "/run/flowlog/hook";
/// Beginning of the name of a file in which the daemon remembers the process of a server.
pub(super) const SERVER: &str = "server.";
/// Who may leave notes besides root.
pub const GROUP: &str = "flowlog-hook";
