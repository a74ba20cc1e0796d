//! What earlier versions left behind is read by this one, and what a later version left behind is
//! refused and not touched: see `tests/golden/README.md`.

#[path = "golden/events.rs"]
mod events;
#[path = "golden/newer.rs"]
mod newer;
#[path = "golden/newer_spool.rs"]
mod newer_spool;
#[path = "golden/pins.rs"]
mod pins;
#[path = "golden/rig.rs"]
mod rig;
#[path = "golden/sessions.rs"]
mod sessions;
#[path = "golden/spool.rs"]
mod spool;
#[path = "golden/store.rs"]
mod store;
