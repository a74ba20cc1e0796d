//! Whether retention may go by the clock.

use std::time::Duration;

use super::Finding;
use crate::{
    config::RetentionSettings,
    keep::retain::{self, guard::Verdict},
    store::{self, Store},
};

/// How long a store may take to list what it has.
const PATIENCE: Duration = Duration::from_secs(20);

/// Compares the clock with the newest record in the store, if anything is to be deleted.
pub(super) async fn finding(retention: Option<&RetentionSettings>, store: &str) -> Option<Finding> {
    let keep = retention?.keep;
    // What is wrong with the store is its own finding.
    let verdict = tokio::time::timeout(PATIENCE, judge(store)).await.ok()?.ok()?;
    Some(of_verdict(verdict, &keep.to_string()))
}

async fn judge(store: &str) -> Result<Verdict, store::Error> {
    retain::judge_clock(&Store::open(store)?).await
}

fn of_verdict(verdict: Verdict, keep: &str) -> Finding {
    match verdict {
        Verdict::Allow => Finding::sound("retention", format!("keeps {keep}")),
        Verdict::Warn(doubt) => Finding::sound("retention", format!("keeps {keep}; {doubt}")),
        Verdict::Refuse(doubt) => {
            Finding::failed("retention", format!("deletes nothing: {doubt}"), doubt.remedy())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        keep::retain::guard::clock_guard,
        record::clock::{ClockQuality, Utc},
    };

    #[test]
    fn only_a_refusal_fails() {
        let day = |day: i64| Utc::from_ms(day * 86_400_000);
        let finding = |now, synchronised| {
            let quality = ClockQuality { synchronised, max_error: Duration::from_secs(16) };
            of_verdict(clock_guard(day(now), quality, Some(day(20_000))), "90d")
        };
        assert!(finding(20_001, true).is_sound() && finding(20_001, false).is_sound());
        assert!(finding(29_000, true).is_sound());
        let refused = finding(29_000, false);
        assert!(refused.detail.contains("9000 days"), "{}", refused.detail);
        assert!(refused.remedy.unwrap().contains("--accept-clock"));
    }
}
