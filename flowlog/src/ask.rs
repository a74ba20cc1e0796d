//! Questions to a store: whether it is whole, and how DuckDB reads it.

pub mod duckdb;
pub mod verify;
