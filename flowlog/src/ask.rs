//! Questions to a store: whether it is whole, how DuckDB reads it, and the one way to rows about persons.

pub mod duckdb;
pub mod flows;
pub mod open;
pub mod trace;
pub mod verify;
