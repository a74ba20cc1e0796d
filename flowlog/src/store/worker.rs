//! Whoever does what a local store is asked.

use bytes::Bytes;

use super::request::{Answer, Failure, Request};

/// Why there is no answer, or not a good one.
#[derive(Debug)]
pub(super) enum LineFailure {
    /// The store says why.
    Store(Failure),
    /// The other process cannot be asked.
    Process(std::io::Error),
}

/// Whoever does what is asked.
pub(super) trait Worker: Send + 'static {
    fn answer(&mut self, request: Request, file: &Bytes) -> Result<Answer, LineFailure>;
    /// Ends in order.
    fn close(&mut self);
}
