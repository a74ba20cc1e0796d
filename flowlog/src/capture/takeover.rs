//! Going on where the daemon before stopped, or was stopped.
//!
//! Its programs are still attached and count. Each is replaced in its place by that of this daemon, so
//! that no packet goes by uncounted, none is counted twice, and the order at the hook stays.

use std::collections::HashSet;

use flowlog_common::flow::Direction;

use super::{
    Capture, Changes, Error,
    filter::Filter,
    hook::Before,
    interface::Link,
    pins::{self, LinkPin},
};
use crate::config::InterfacePattern;

impl Capture {
    /// Goes on with the interfaces that are still wanted, and detaches from the others.
    pub(super) fn take_over(
        &mut self,
        links: &[Link],
        patterns: &[InterfacePattern],
        changes: &mut Changes,
    ) -> Result<(), Error> {
        let Some(pinned) = &mut self.program.pinned else { return Ok(()) };
        let mut pins = std::mem::take(&mut pinned.links);
        let programs = std::mem::take(&mut pinned.programs_before);
        self.remember_clsacts(links)?;
        for link in links {
            let before = left_on(link, &mut pins, &programs);
            if before.is_empty() {
                continue;
            }
            let is_wanted = patterns.iter().any(|pattern| pattern.matches(&link.name));
            match self.go_on(link, before, is_wanted) {
                Ok(true) => changes.attached.push(link.name.clone()),
                Ok(false) => {}
                Err(error) => tracing::warn!(
                    interface = link.name,
                    "cannot go on where the daemon before stopped: {}",
                    crate::telemetry::with_causes(&error)
                ),
            }
        }
        // Of interfaces that are gone.
        for pin in pins {
            pins::remove(&pin.path)?;
        }
        self.forget_others();
        self.forget_programs(&programs)
    }

    /// Which queueing disciplines the daemon before made, and forgets those that are gone.
    fn remember_clsacts(&mut self, links: &[Link]) -> Result<(), Error> {
        let Some(pinned) = &self.program.pinned else { return Ok(()) };
        for kernel_index in pins::own_clsacts(&pinned.directory)? {
            if links.iter().any(|link| link.kernel_index == kernel_index) {
                self.own_clsacts.insert(kernel_index);
            } else {
                pins::forget_clsact(&pinned.directory, kernel_index)?;
            }
        }
        Ok(())
    }

    /// Whether it goes on, rather than that it is to be attached to anew, or not at all.
    fn go_on(&mut self, link: &Link, before: Vec<Before>, is_wanted: bool) -> Result<bool, Error> {
        let (mut kept, mut removed): (Vec<_>, Vec<_>) =
            before.into_iter().partition(|before| is_wanted && before.fits(self.mode));
        // All of one kind, of which links come first, and one for each direction.
        if let Some(Before::Tcx(..)) = kept.first() {
            removed.extend(kept.extract_if(.., |before| matches!(before, Before::Filter(_))));
        }
        let mut directions = HashSet::new();
        removed.extend(kept.extract_if(.., |before| !directions.insert(before.direction())));
        if directions.len() != Direction::ALL.len() {
            removed.append(&mut kept);
        }
        for before in removed {
            before.remove(&link.name)?;
        }
        if kept.is_empty() {
            self.remove_clsact(&link.name, link.kernel_index);
            return Ok(false);
        }
        let places = kept.iter().map(Before::place).collect::<Vec<_>>();
        let outcome = self.attach(link, kept);
        if outcome.is_err() {
            // Beside what is attached anew, it would count a second time.
            for place in places {
                place.remove(&link.name)?;
            }
        }
        outcome.map(|()| true)
    }

    /// Of what the daemon before counted, clears what is not counted any more.
    fn forget_others(&mut self) {
        for counted in self.program.control.counted() {
            let is_ours = |a: &super::Attached| a.kernel_index == counted.kernel_index;
            let goes_on = self.attached.iter().any(|(name, attached)| {
                is_ours(attached) && self.presence.slot(name) == Some(counted.slot)
            });
            if !goes_on {
                self.program.ignore_interface(counted.kernel_index);
            }
        }
        let counted: HashSet<u16> =
            self.attached.keys().filter_map(|name| self.presence.slot(name)).collect();
        for slot in (0..self.presence.limit()).filter(|slot| !counted.contains(slot)) {
            if self.presence.is_attached(slot) {
                self.presence.detached(slot);
            }
        }
    }

    /// No filter is a program of the daemon before any more.
    fn forget_programs(&self, programs: &HashSet<u32>) -> Result<(), Error> {
        let Some(pinned) = &self.program.pinned else { return Ok(()) };
        programs.iter().try_for_each(|id| pins::forget_program(&pinned.directory, *id))
    }
}

/// What the daemon before left on an interface, links first.
fn left_on(link: &Link, pins: &mut Vec<LinkPin>, programs: &HashSet<u32>) -> Vec<Before> {
    let of_index = pins.extract_if(.., |pin| pin.kernel_index == link.kernel_index);
    let mut before = vec![];
    let mut others = vec![];
    for pin in of_index {
        match Before::tcx(&pin, link) {
            Some(tcx) => before.push(tcx),
            None => others.push(pin),
        }
    }
    pins.extend(others);
    match Filter::list_of(link.kernel_index, programs) {
        Ok(filters) => before.extend(filters.into_iter().map(Before::Filter)),
        Err(error) => {
            tracing::warn!(interface = link.name, "its filters cannot be listed: {error}");
        }
    }
    before
}
