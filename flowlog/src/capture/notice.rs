//! What somebody should know of the hooks, though counting goes on.

use std::{fmt, time::Duration};

use flowlog_common::flow::Direction;

use super::Error;
use super::survey::Standing;

/// What a scan found changed.
#[derive(Debug, Default)]
pub struct Changes {
    /// Names of the interfaces that are counted from now on.
    pub attached: Vec<String>,
    /// Names of the interfaces that are gone.
    pub detached: Vec<String>,
    /// Interfaces that match but cannot be counted.
    pub failed: Vec<Error>,
    /// What else somebody should know.
    pub notices: Vec<Notice>,
}

/// What was noticed at the hooks of an interface.
#[derive(Debug)]
#[non_exhaustive]
pub enum Notice {
    /// An interface that is counted has another name.
    Renamed {
        /// The name before.
        from: String,
        /// Its name.
        to: String,
    },
    /// The program was taken away from a hook, and is there again.
    AttachedAgain {
        /// Name of the interface.
        interface: String,
        /// Which hook.
        direction: Direction,
    },
    /// Somebody comes before flowlog.
    Overtaken {
        /// Name of the interface.
        interface: String,
        /// Which hook.
        direction: Direction,
        /// Who.
        by: Vec<Standing>,
    },
    /// Flowlog is in front again.
    InFront {
        /// Name of the interface.
        interface: String,
        /// Which hook.
        direction: Direction,
    },
    /// Flowlog cannot come before those who are there.
    Stuck {
        /// Name of the interface.
        interface: String,
        /// Which hook.
        direction: Direction,
        /// Why.
        source: std::io::Error,
    },
    /// Somebody comes in front again and again, and so does flowlog, less and less often.
    Contested {
        /// Name of the interface.
        interface: String,
        /// Which hook.
        direction: Direction,
        /// When flowlog moves again.
        pause: Duration,
    },
    /// Somebody comes before flowlog, which is to be the last.
    Preceded {
        /// Name of the interface.
        interface: String,
        /// Which hook.
        direction: Direction,
        /// Who.
        by: Vec<Standing>,
    },
    /// Somebody removed what outlives the daemon, and it was made again.
    PinnedAgain,
    /// Somebody removed what outlives the daemon, and it cannot be made again.
    NotPinned {
        /// Why.
        source: Error,
    },
}

impl Notice {
    /// Whether packets may have gone by uncounted, or may yet.
    #[must_use]
    pub const fn is_warning(&self) -> bool {
        !matches!(self, Self::Renamed { .. } | Self::Preceded { .. } | Self::InFront { .. })
    }
}

impl fmt::Display for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Renamed { from, to } => {
                write!(f, "{from} is now {to}, and is counted under this name")
            }
            Self::AttachedAgain { interface, direction } => write!(
                f,
                "{interface}: somebody took flowlog away from the hook for packets {}; flowlog is attached again, and the ledger has a gap",
                side(*direction)
            ),
            Self::Overtaken { interface, direction, by } => write!(
                f,
                "{interface}: {} before flowlog at the hook for packets {}: the packets that it takes are not counted",
                Names(by),
                side(*direction)
            ),
            Self::InFront { interface, direction } => write!(
                f,
                "{interface}: flowlog is the first again at the hook for packets {}",
                side(*direction)
            ),
            Self::Stuck { interface, direction, source } => write!(
                f,
                "{interface}: flowlog cannot be the first at the hook for packets {} ({source}); give the other filter a preference above 1",
                side(*direction)
            ),
            Self::Contested { interface, direction, pause } => write!(
                f,
                "{interface}: somebody comes before flowlog again and again at the hook for packets {}; flowlog moves in front again in {pause:?}: `flowlog check` lists the other programs; move them, or set order = \"last\"",
                side(*direction)
            ),
            Self::Preceded { interface, direction, by } => write!(
                f,
                "{interface}: {} before flowlog at the hook for packets {}: with order = \"last\", packets that it does not let pass with \"next\" are not counted",
                Names(by),
                side(*direction)
            ),
            Self::PinnedAgain => f.write_str(
                "somebody removed pins of flowlog from the BPF file system; flowlog made the pins again",
            ),
            Self::NotPinned { source } => write!(
                f,
                "somebody removed pins of flowlog from the BPF file system, and flowlog cannot make them again ({source}): counting stops when this process ends; restart flowlog"
            ),
        }
    }
}

struct Names<'a>(&'a [Standing]);

impl fmt::Display for Names<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, standing) in self.0.iter().enumerate() {
            let separator = if place == 0 { "" } else { ", " };
            write!(f, "{separator}{standing}")?;
        }
        f.write_str(if self.0.len() == 1 { " comes" } else { " come" })
    }
}

const fn side(direction: Direction) -> &'static str {
    match direction {
        Direction::Up => "from members",
        Direction::Down => "to members",
    }
}
