//! Going on where the daemon before stopped, or was stopped.
//!
//! Its programs are still attached and count. Each is replaced in its place by that of this daemon, so
//! that no packet goes by uncounted, none is counted twice, and the order at the hook stays.

use std::collections::HashSet;

use flowlog_common::flow::Direction;

use super::{
    Attachment, Capture, Changes, Error,
    clsact::{self, Discipline},
    filter::Filter,
    interface::Link,
    netlink::Netlink,
    pins::{self, LinkPin},
};
use crate::record::{clock, epoch::Slot, ledger::GapReason, pattern::InterfacePattern};

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
            let existing = left_on(link, &mut pins, &programs);
            if existing.is_empty() {
                continue;
            }
            let is_wanted = patterns.iter().any(|pattern| pattern.matches(&link.name));
            match self.go_on(link, existing, is_wanted) {
                Ok(true) => changes.attached.push(link.name.clone()),
                Ok(false) => {}
                Err(error) => tracing::warn!(
                    interface = link.name,
                    "cannot continue where the previous daemon stopped: {}",
                    crate::telemetry::with_causes(&error)
                ),
            }
        }
        // Of interfaces that are gone.
        for pin in pins {
            pins::remove(&pin.path)?;
        }
        self.forget_others(links);
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
    fn go_on(
        &mut self,
        link: &Link,
        existing: Vec<Attachment>,
        is_wanted: bool,
    ) -> Result<bool, Error> {
        let index = link.kernel_index;
        let fits = |there: &Attachment| {
            let is_instead = matches!(there, Attachment::Tcx(_)) && has_ingress(index);
            is_wanted && (there.fits(self.mode) || is_instead)
        };
        let (mut kept, mut removed): (Vec<_>, Vec<_>) = existing.into_iter().partition(fits);
        // All of one kind, of which links come first, and one for each direction.
        if let Some(Attachment::Tcx(_)) = kept.first() {
            removed.extend(kept.extract_if(.., |there| matches!(there, Attachment::Filter(_))));
        }
        let mut directions = HashSet::new();
        removed.extend(kept.extract_if(.., |there| !directions.insert(there.direction())));
        let is_whole = directions.len() == Direction::ALL.len();
        if !is_whole {
            removed.append(&mut kept);
        }
        if is_wanted && kept.is_empty() {
            // Where one direction was missing nobody knows since when.
            let were: HashSet<_> = removed.iter().map(Attachment::direction).collect();
            let was_whole = were.len() == Direction::ALL.len();
            let since =
                if was_whole { clock::monotonic_coarse() } else { self.program.control.opened() };
            for counted in self.program.control.counted() {
                if counted.kernel_index == index {
                    self.presence.lost(Slot::new(counted.slot), since, GapReason::Detached);
                }
            }
        }
        for there in removed {
            there.remove(index)?;
        }
        if kept.is_empty() {
            self.remove_clsact(&link.name, index);
            return Ok(false);
        }
        let locations = kept.iter().filter_map(|there| there.location(index)).collect::<Vec<_>>();
        let outcome = self.attach(link, kept);
        if outcome.is_err() {
            // Beside what is attached anew, it would count a second time.
            for location in locations {
                location.remove(&link.name)?;
            }
        }
        outcome.map(|()| true)
    }

    /// Of what the daemon before counted, clears what is not counted any more.
    fn forget_others(&mut self, links: &[Link]) {
        for counted in self.program.control.counted() {
            let goes_on = self.attached.get(&counted.kernel_index).is_some_and(|attached| {
                self.presence.known_slot(&attached.link.name) == Some(Slot::new(counted.slot))
            });
            // The word of an interface that goes on under another name is its own already.
            if !goes_on && !self.attached.contains_key(&counted.kernel_index) {
                self.program.ignore_interface(counted.kernel_index);
            }
        }
        let counted: HashSet<Slot> = self
            .attached
            .values()
            .filter_map(|attached| self.presence.known_slot(&attached.link.name))
            .collect();
        let slots = (0..self.presence.limit()).map(Slot::new);
        for slot in slots.filter(|slot| !counted.contains(slot)) {
            if !self.presence.is_attached(slot) {
                continue;
            }
            let name = self.program.control.name(slot);
            if links.iter().any(|link| Some(&link.name) == name.as_ref()) {
                // It is there, and the program of the daemon before is not.
                let since = self.program.control.opened();
                self.presence.lost(slot, since, GapReason::Detached);
            } else {
                self.presence.detached(slot, None);
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
fn left_on(link: &Link, pins: &mut Vec<LinkPin>, programs: &HashSet<u32>) -> Vec<Attachment> {
    let of_index = pins.extract_if(.., |pin| pin.kernel_index == link.kernel_index);
    let mut existing = vec![];
    let mut others = vec![];
    for pin in of_index {
        match Attachment::pinned(&pin, link) {
            Some(tcx) => existing.push(tcx),
            None => others.push(pin),
        }
    }
    pins.extend(others);
    match Filter::list_of(link.kernel_index, programs) {
        Ok(filters) => existing.extend(filters.into_iter().map(Attachment::Filter)),
        Err(error) => {
            tracing::warn!(
                interface = link.name,
                "the filters of the interface cannot be listed: {error}"
            );
        }
    }
    existing
}

/// Whether an interface has the discipline beside which there can be no clsact.
fn has_ingress(kernel_index: u32) -> bool {
    let found = Netlink::open().and_then(|kernel| clsact::discipline(&kernel, kernel_index));
    matches!(found, Ok(Some(Discipline::Ingress)))
}
