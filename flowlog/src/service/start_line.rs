//! The one line that each start of the daemon writes.

use super::counting::Counting;
use crate::{
    config::{Config, TimeSettings},
    record::{pattern::InterfacePattern, policy::Profile},
    telemetry,
};

/// Reports how the daemon counts from now on.
pub(super) fn report(config: &Config, counting: &Counting) {
    let (counted, waited_for) = counting.patterns();
    tracing::info!(target: telemetry::START, "{}", line(config, &counted, &waited_for));
}

fn line(
    config: &Config,
    counted: &[&InterfacePattern],
    waited_for: &[&InterfacePattern],
) -> String {
    let Config {
        gateway,
        policy,
        interfaces: _,
        capture: _,
        store,
        times,
        spool,
        status: _,
        retention,
        sources: _,
        subscribers: _,
    } = config;
    let TimeSettings { window, drain_interval, shutdown_timeout: _ } = times;
    let names = |patterns: &[&InterfacePattern]| {
        patterns.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
    };
    let interfaces = match (counted.is_empty(), waited_for.is_empty()) {
        (false, true) => format!("counts {}", names(counted)),
        (true, _) => format!("waits for {}", names(waited_for)),
        (false, false) => format!("counts {}, waits for {}", names(counted), names(waited_for)),
    };
    let profile = match policy.profile {
        Profile::Targeted => format!("targeted ({} prefixes)", policy.targets.len()),
        profile => profile.name().to_owned(),
    };
    let spool = spool.spool.as_ref().map_or_else(
        || "none (a crash loses all counts that are not stored yet)".to_owned(),
        |spool| spool.display().to_string(),
    );
    let keep = retention
        .as_ref()
        .map_or_else(|| "for ever".to_owned(), |retention| retention.keep.to_string());
    format!(
        "gateway {gateway} {interfaces}; profile {profile}, window {window:?}, drained every {drain_interval:?}, store {store}, spool {spool}, keep {keep}"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::File;

    #[test]
    fn the_line_has_what_runs_and_no_password() {
        let file = "profile = \"attribution\"\ninterfaces = [\"wg0\", \"tun*\"]\n\
                    store = \"s3://me:secret@bucket/prefix\"";
        let file = File::parse(file).unwrap();
        let config = Config::from_file(file, "gw1").unwrap();
        let [wg, tun] = [&config.interfaces[0], &config.interfaces[1]];
        let line = line(&config, &[wg], &[tun]);
        for word in ["gw1", "counts wg0", "waits for tun*", "attribution", "300s", "for ever"] {
            assert!(line.contains(word), "{word:?} is not in {line}");
        }
        assert!(line.contains("s3://bucket/prefix") && !line.contains("secret"), "{line}");
    }
}
