//! Looking at the hooks again: whether the program is still there, and who comes before it.

use std::{
    io,
    time::{Duration, Instant},
};

use super::{
    Attachment, Capture, Changes, Counted, Error, Guarded, Notice,
    interface::{Layer, Link},
    netlink::Netlink,
    survey::{By, Hook, Standing},
    tcx,
};
use crate::{
    record::{clock, epoch::Span, ledger::GapReason, policy::Order},
    telemetry::with_causes,
};

/// What is known of those who come before the program at a hook.
#[derive(Default)]
pub(super) struct Rank {
    /// Programs and filters that were reported.
    reported: Vec<Standing>,
    /// How often it moved in front lately.
    moves: u32,
    /// When it moved last.
    last: Option<Instant>,
    /// When it may move again.
    again: Option<Instant>,
    /// Whether it was reported that it cannot.
    is_stuck: bool,
}

/// So often it moves in front without a pause.
const FREE_MOVES: u32 = 3;
const FIRST_PAUSE: Duration = Duration::from_secs(30);
const LONGEST_PAUSE: Duration = Duration::from_hours(1);

impl Rank {
    fn may_move(&self) -> bool {
        self.again.is_none_or(|again| again <= Instant::now())
    }

    /// Notes a move, and returns the pause before the next one where there is one.
    fn moved(&mut self) -> Option<Duration> {
        let is_long_ago = self.last.is_some_and(|last| last.elapsed() > 2 * LONGEST_PAUSE);
        self.last = Some(Instant::now());
        self.moves = if is_long_ago { 1 } else { self.moves + 1 };
        let doublings = self.moves.checked_sub(FREE_MOVES)?;
        let pause = FIRST_PAUSE.saturating_mul(1 << doublings.min(16)).min(LONGEST_PAUSE);
        self.again = Some(Instant::now() + pause);
        Some(pause)
    }

    /// Those who were not reported before.
    fn newcomers(&mut self, before: &[Standing]) -> Vec<Standing> {
        self.reported.retain(|known| before.contains(known));
        let newcomers: Vec<_> =
            before.iter().filter(|standing| !self.reported.contains(standing)).cloned().collect();
        self.reported.extend(newcomers.iter().cloned());
        newcomers
    }
}

impl Capture {
    /// Looks at the hooks of the interfaces that are attached.
    pub(super) fn inspect(&mut self, links: &[Link], changes: &mut Changes) {
        for link in links {
            let Some(mut counted) = self.attached.remove(&link.kernel_index) else { continue };
            let mut failure = None;
            for guarded in std::mem::take(&mut counted.hooks) {
                match self.inspect_hook(link, &counted, guarded, changes) {
                    Ok(guarded) => counted.hooks.push(guarded),
                    Err(error) => failure = Some(error),
                }
            }
            self.attached.insert(link.kernel_index, counted);
            if let Some(error) = failure {
                self.lose(link, error, changes);
            }
        }
    }

    /// The program is not at one of the hooks, and cannot be attached to it for now.
    fn lose(&mut self, link: &Link, error: Error, changes: &mut Changes) {
        let Some(Counted { hooks, .. }) = self.attached.remove(&link.kernel_index) else { return };
        let since = hooks.iter().map(|guarded| guarded.seen).min();
        super::unhook(link.kernel_index, hooks);
        self.remove_clsact(&link.name, link.kernel_index);
        self.program.ignore_interface(link.kernel_index);
        if let Some(slot) = self.presence.known_slot(&link.name) {
            let since = since.unwrap_or_else(clock::monotonic_coarse);
            self.presence.lost(slot, since, GapReason::Detached);
        }
        self.refused.add(link, error, changes);
    }

    fn inspect_hook(
        &mut self,
        link: &Link,
        counted: &Counted,
        mut guarded: Guarded,
        changes: &mut Changes,
    ) -> Result<Guarded, Error> {
        let direction = guarded.direction;
        let now = clock::monotonic_coarse();
        let before = match before(link, &guarded.attachment) {
            Ok(Some(before)) => before,
            Ok(None) => {
                return self.attach_again(link, counted, guarded, changes);
            }
            Err(error) => {
                tracing::debug!(interface = link.name, "a hook cannot be looked at: {error}");
                return Ok(guarded);
            }
        };
        let since = std::mem::replace(&mut guarded.seen, now);
        let newcomers = guarded.rank.newcomers(&before);
        let interface = || link.name.clone();
        if before.is_empty() {
            return Ok(guarded);
        }
        if self.order == Order::Last {
            if !newcomers.is_empty() {
                changes.notices.push(Notice::Preceded {
                    interface: interface(),
                    direction,
                    by: newcomers,
                });
            }
            return Ok(guarded);
        }
        if !newcomers.is_empty() {
            changes.notices.push(Notice::Overtaken {
                interface: interface(),
                direction,
                by: newcomers,
            });
        }
        if guarded.rank.may_move() {
            match self.program.move_to(Order::First, link, counted.layer, guarded.attachment) {
                Ok(attachment) => {
                    guarded.attachment = attachment;
                    guarded.rank.is_stuck = false;
                    changes.notices.push(match guarded.rank.moved() {
                        None => Notice::InFront { interface: interface(), direction },
                        Some(pause) => {
                            Notice::Contested { interface: interface(), direction, pause }
                        }
                    });
                }
                Err((attachment, source)) => {
                    guarded.attachment = attachment;
                    if !std::mem::replace(&mut guarded.rank.is_stuck, true) {
                        changes.notices.push(Notice::Stuck {
                            interface: interface(),
                            direction,
                            source,
                        });
                    }
                }
            }
        }
        if let Some(slot) = self.presence.known_slot(&link.name) {
            let until = clock::monotonic_coarse();
            self.presence.overtaken(slot, Span { since, until });
        }
        Ok(guarded)
    }

    fn attach_again(
        &mut self,
        link: &Link,
        counted: &Counted,
        guarded: Guarded,
        changes: &mut Changes,
    ) -> Result<Guarded, Error> {
        let Guarded { direction, attachment, seen, rank } = guarded;
        // Its pin, and what else there may be of it.
        if let Err(error) = attachment.remove(link.kernel_index) {
            tracing::debug!(interface = link.name, "{}", with_causes(&error));
        }
        let slot = self.presence.known_slot(&link.name);
        let attached = self.hook(link, counted.layer, direction, None);
        if let (Some(slot), Ok(_)) = (slot, &attached) {
            self.presence.interrupted(slot, seen, GapReason::Detached);
            changes.notices.push(Notice::AttachedAgain { interface: link.name.clone(), direction });
        }
        let attachment = attached?;
        Ok(Guarded { rank, ..Guarded::new(direction, attachment) })
    }

    /// Where the daemon before was first and this one is to be last, moves behind those who are there.
    pub(super) fn move_last(&mut self, link: &Link, layer: Layer, there: Attachment) -> Attachment {
        let is_last = match around(link, &there) {
            // Filters are behind all of TCX, whatever the order.
            Ok(hook) => match there {
                Attachment::Tcx(_) => hook.behind.iter().all(|standing| standing.by != By::Tcx),
                Attachment::Filter(_) => hook.behind.is_empty(),
            },
            Err(error) => {
                tracing::debug!(interface = link.name, "a hook cannot be looked at: {error}");
                true
            }
        };
        if is_last {
            return there;
        }
        self.program.move_to(Order::Last, link, layer, there).unwrap_or_else(|(there, error)| {
            tracing::warn!(
                interface = link.name,
                "flowlog cannot be the last at a hook, as order = \"last\" has it: {error}"
            );
            there
        })
    }

    /// Makes pins again that somebody removed.
    pub(super) fn restore_pins(&mut self, changes: &mut Changes) {
        let Some(pinned) = &mut self.program.pinned else { return };
        let mut has_restored = match pinned.restore(&self.own_clsacts) {
            Ok(restored) => restored,
            Err(source) => {
                if !std::mem::replace(&mut pinned.is_lost, true) {
                    changes.notices.push(Notice::NotPinned { source });
                }
                return;
            }
        };
        pinned.is_lost = false;
        for guarded in self.attached.values_mut().flat_map(|counted| &mut counted.hooks) {
            let Attachment::Tcx(link) = &mut guarded.attachment else { continue };
            let Some(pin) = link.pin.clone().filter(|pin| !pin.path.exists()) else { continue };
            match link.pin(pin) {
                Ok(()) => has_restored = true,
                Err(source) => changes.notices.push(Notice::NotPinned { source }),
            }
        }
        if has_restored {
            changes.notices.push(Notice::PinnedAgain);
        }
    }
}

/// Those that come before the program at a hook; `None` where it is not there.
fn before(link: &Link, attachment: &Attachment) -> io::Result<Option<Vec<Standing>>> {
    match attachment {
        Attachment::Tcx(ours) => {
            let programs = tcx::programs(link.kernel_index, ours.direction)?;
            let place = programs.iter().position(|at| at.link == ours.id);
            Ok(place.map(|place| programs[..place].iter().copied().map(Standing::of_tcx).collect()))
        }
        Attachment::Filter(_) => {
            let hook = around(link, attachment)?;
            Ok(hook.ours.map(|_| hook.before))
        }
    }
}

/// Who is at a hook, before and behind the program.
fn around(link: &Link, attachment: &Attachment) -> io::Result<Hook> {
    let is_ours = |standing: &Standing| match attachment {
        Attachment::Tcx(ours) => standing.link == Some(ours.id),
        Attachment::Filter(ours) => standing.is_filter(ours),
    };
    Hook::of(&Netlink::open()?, link.kernel_index, attachment.direction(), is_ours)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_insists_on_being_first_is_answered_less_and_less_often() {
        let mut rank = Rank::default();
        let pauses: Vec<_> = (0..20).map(|_| rank.moved()).collect();
        assert_eq!(pauses[..2], [None, None]);
        assert!(pauses[2..].windows(2).all(|pair| pair[0] <= pair[1]));
        assert_eq!(pauses[2], Some(FIRST_PAUSE));
        assert_eq!(pauses[19], Some(LONGEST_PAUSE));
        assert!(!rank.may_move());
    }

    #[test]
    fn each_newcomer_is_reported_once_and_again_when_it_was_gone() {
        let standing =
            |program| Standing { by: By::Tcx, program: Some(program), link: None, name: None };
        let mut rank = Rank::default();
        assert_eq!(rank.newcomers(&[standing(1)]), [standing(1)]);
        assert_eq!(rank.newcomers(&[standing(1), standing(2)]), [standing(2)]);
        assert_eq!(rank.newcomers(&[standing(2)]), []);
        assert_eq!(rank.newcomers(&[standing(1), standing(2)]), [standing(1)]);
    }
}
