//! Bugs that the model test plants, to see that it catches them. There is none outside tests.

/// A step that is left out, or done wrongly.
#[cfg_attr(not(feature = "capture"), expect(dead_code, reason = "some are planted in the daemon"))]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Bug {
    /// What the store has of an hour is not looked at.
    NoFooters,
    /// A file is put in the place of its own earlier one, whatever that holds.
    AlwaysReplace,
    /// Numbers go on where some are left out.
    OneNumbering,
    /// A file goes to the configured store, wherever it went before.
    NoStore,
    /// A file gets the name of the gateway that there is now.
    NoGateway,
    /// Nothing is written down of a window that was open at a stop.
    NoReservation,
    /// What is lost is not written down.
    NoLost,
    /// What a closed file leaves is deleted with it.
    NoRest,
    /// Epochs that are in a run of a window are gathered again.
    NoContainment,
    /// Nothing is compared with the checks of entries.
    NoCheck,
    /// What left the spool is not written down.
    NoStored,
    /// A ledger is believed whatever became of its flows.
    LedgerAlone,
    /// A file that was put is forgotten without a look at what the store has.
    NoConfirm,
    /// Events are not made durable before they count.
    EventsUnsynced,
    /// Their segment does not get its name.
    EventsUnnamed,
    /// Nothing is compared with the check of an event's body.
    EventsUnchecked,
    /// Nothing is written down of events that count.
    EventsUncounted,
    /// A segment goes on behind events whose append failed.
    EventsBehindFailed,
    /// A segment goes when its first event is released.
    EventsReleasedEarly,
    /// A segment goes before its release is durable.
    EventsReleasedFirst,
    /// Lost events are not written down.
    EventsForgotten,
    /// The copies of what a log knows are left as they are where they differ.
    EventsDisagree,
    /// A day of sessions begins without what is open.
    DaysBegunEmpty,
    /// Sessions go on over a time in which nobody looked.
    SessionsUnsuspended,
}

#[cfg(not(test))]
pub(crate) const fn planted(_: Bug) -> bool {
    false
}

#[cfg(test)]
pub(crate) use tests::planted;

#[cfg(test)]
pub(crate) mod tests {
    use std::cell::Cell;

    use super::Bug;

    thread_local! {
        static PLANTED: Cell<Option<Bug>> = const { Cell::new(None) };
    }

    pub(crate) fn planted(bug: Bug) -> bool {
        PLANTED.get() == Some(bug)
    }

    pub(crate) fn plant(bug: Option<Bug>) {
        PLANTED.set(bug);
    }
}
