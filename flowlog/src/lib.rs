//! flowlog: packets on a VPN interface become Parquet that expires.
pub mod aggregate;
pub mod capture;
pub mod check;
pub mod clock;
pub mod config;
pub mod demo;
pub mod drain;
pub mod encode;
pub mod query;
pub mod retain;
pub mod service;
pub mod store;
pub mod telemetry;
pub mod verify;
