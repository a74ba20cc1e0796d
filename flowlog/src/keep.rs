//! How long what is stored is kept.

pub mod retain;
