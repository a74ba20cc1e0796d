//! Who stands at the hooks of an interface, in the order in which packets meet them.

use std::io;

use flowlog_common::flow::Direction;
use serde::Serialize;

use super::{
    clsact::{self, Discipline},
    filter::Filter,
    hook::ENTRY_POINTS,
    interface::Link,
    netlink::Netlink,
    tcx,
};

/// How somebody is attached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum By {
    /// By TCX, whose programs run before all filters.
    Tcx,
    /// As a filter of a queueing discipline, with its preference.
    Filter {
        /// The lower it is, the earlier the filter runs.
        preference: u16,
    },
}

/// Somebody at a hook.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Standing {
    /// How it is attached.
    pub by: By,
    /// The kernel's number of the program; `None` where it is a filter without one.
    pub program: Option<u32>,
    /// The kernel's number of its link, where it has one.
    pub link: Option<u32>,
    /// The program's name, or the filter's kind; `None` where it has none or the process may not ask.
    pub name: Option<String>,
}

impl Standing {
    pub(super) fn of_tcx(attached: tcx::Attached) -> Self {
        Self {
            by: By::Tcx,
            program: Some(attached.program),
            link: Some(attached.link).filter(|link| *link != 0),
            name: tcx::program_name(attached.program),
        }
    }

    fn of_filter(filter: Filter) -> Self {
        let name = Some(filter.name).filter(|name| !name.is_empty());
        // The name of a filter need not be that of its program.
        let name = filter.program.and_then(tcx::program_name).or(name);
        let by = By::Filter { preference: filter.priority };
        Self { by, program: filter.program, link: None, name }
    }

    /// Whether it is this filter.
    pub(super) fn is_filter(&self, filter: &Filter) -> bool {
        self.by == By::Filter { preference: filter.priority } && self.program == filter.program
    }
}

impl std::fmt::Display for Standing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (&self.name, self.program) {
            (Some(name), Some(program)) => write!(f, "{name} (program {program}")?,
            (None, Some(program)) => write!(f, "a program without a name (program {program}")?,
            (name, None) => write!(f, "{} (a filter", name.as_deref().unwrap_or("unknown"))?,
        }
        match self.by {
            By::Tcx => write!(f, ", TCX)"),
            By::Filter { preference } => write!(f, ", preference {preference})"),
        }
    }
}

/// A hook of an interface.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Hook {
    /// Those that a packet meets before flowlog, the first one first; everybody where flowlog is not
    /// there.
    pub before: Vec<Standing>,
    /// Flowlog, where it is there.
    pub ours: Option<Standing>,
    /// Those that a packet meets afterwards, as far as it gets.
    pub behind: Vec<Standing>,
}

/// Both hooks of an interface.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Survey {
    /// The discipline that filters hang from.
    pub discipline: Option<Discipline>,
    /// Where packets from members come by.
    pub up: Hook,
    /// Where packets to members come by.
    pub down: Hook,
}

impl Survey {
    /// Looks at an interface of this network namespace, and changes nothing. Flowlog is known by the
    /// names of its programs; those are told to who has `CAP_SYS_ADMIN`.
    pub fn of(link: &Link) -> io::Result<Self> {
        let kernel = Netlink::open()?;
        let is_ours = |standing: &Standing| {
            standing.name.as_deref().is_some_and(|name| ENTRY_POINTS.contains(&name))
        };
        Ok(Self {
            discipline: clsact::discipline(&kernel, link.kernel_index)?,
            up: Hook::of(&kernel, link.kernel_index, Direction::Up, is_ours)?,
            down: Hook::of(&kernel, link.kernel_index, Direction::Down, is_ours)?,
        })
    }

    /// The hook of a direction.
    #[must_use]
    pub const fn hook(&self, direction: Direction) -> &Hook {
        match direction {
            Direction::Up => &self.up,
            Direction::Down => &self.down,
        }
    }
}

impl Hook {
    /// Looks at a hook, where `is_ours` knows flowlog.
    pub(super) fn of(
        kernel: &Netlink,
        kernel_index: u32,
        direction: Direction,
        is_ours: impl Fn(&Standing) -> bool,
    ) -> io::Result<Self> {
        let programs = tcx::programs(kernel_index, direction)?;
        let filters = Filter::at(kernel, kernel_index, direction)?;
        let mut before: Vec<Standing> = programs.into_iter().map(Standing::of_tcx).collect();
        before.extend(filters.into_iter().map(Standing::of_filter));
        let Some(place) = before.iter().position(is_ours) else {
            return Ok(Self { before, ours: None, behind: vec![] });
        };
        let behind = before.split_off(place + 1);
        let ours = before.pop();
        Ok(Self { before, ours, behind })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_is_told_by_name_number_and_place() {
        let standing = |by, program, name: Option<&str>| {
            Standing { by, program, link: None, name: name.map(str::to_owned) }.to_string()
        };
        assert_eq!(standing(By::Tcx, Some(7), Some("other")), "other (program 7, TCX)");
        assert_eq!(
            standing(By::Filter { preference: 3 }, None, Some("u32")),
            "u32 (a filter, preference 3)"
        );
        assert_eq!(standing(By::Tcx, Some(7), None), "a program without a name (program 7, TCX)");
    }
}
