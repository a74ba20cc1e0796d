//! How long what is stored is kept.

pub mod events;
pub mod retain;
