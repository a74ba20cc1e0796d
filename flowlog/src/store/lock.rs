//! The right to write for a gateway.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;

use super::{Error, line::Line, request::Request};
use crate::record::gateway::GatewayName;

/// How long the process of a daemon that has just ended may take to end too.
const ENDING: Duration = Duration::from_millis(500);
/// How often it is looked whether it has.
const LOOKING: Duration = Duration::from_millis(10);

/// The right to write for a gateway, for as long as it is kept. The kernel gives it back when the
/// process that has it ends, however it does; while that one hangs in a put, nobody else gets it.
#[derive(Debug)]
pub struct Lock {
    held: Option<(Arc<Line>, GatewayName)>,
}

impl Lock {
    /// Where nothing can be locked: in a cloud.
    pub(super) const fn none() -> Self {
        Self { held: None }
    }

    pub(super) async fn take(line: &Arc<Line>, gateway: GatewayName) -> Result<Self, Error> {
        let mut patience = None;
        loop {
            let request = Request::Lock { gateway: gateway.clone() };
            match line.ask(request, Bytes::new()).await {
                Ok(_) => return Ok(Self { held: Some((Arc::clone(line), gateway)) }),
                Err(error @ Error::Locked { .. }) if line.is_isolated() => {
                    // The answer may have come late.
                    let patience = patience.get_or_insert_with(|| Instant::now() + ENDING);
                    if Instant::now() >= *patience {
                        return Err(error);
                    }
                    tokio::time::sleep(LOOKING).await;
                }
                Err(error) => return Err(error),
            }
        }
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        if let Some((line, gateway)) = self.held.take() {
            line.unlock(gateway);
        }
    }
}
