//! flowlog: packets on a VPN interface become Parquet that expires.
pub mod aggregate;
pub mod capture;
pub mod clock;
pub mod config;
pub mod drain;
pub mod encode;
pub mod store;
