//! The sources, as the status shows them.

use std::{collections::BTreeMap, sync::Arc};

use super::{recorder::Recorder, tracker::Standing};
use crate::{
    config::{Hook, SourceConfig, SourceOrigin},
    record::{
        clock::Utc,
        session::{Instance, Source},
    },
    source::Failure,
    status::{self, Message},
};

/// The sources that are configured, and why some of them cannot be looked at.
#[derive(Clone, Debug)]
pub(in crate::service) struct Watched {
    pub(super) configured: Arc<[SourceConfig]>,
    pub(super) failures: BTreeMap<Instance, Failure>,
    /// Why none of them is looked at.
    pub(super) failure: Option<Failure>,
}

impl Watched {
    /// Sources before anybody has looked at them.
    pub(in crate::service) fn new(configured: &[SourceConfig]) -> Self {
        Self { configured: configured.into(), failures: BTreeMap::new(), failure: None }
    }

    /// All of them, before anybody has looked.
    pub(in crate::service) fn unseen(&self) -> Vec<status::Source> {
        self.shown(&BTreeMap::new(), &BTreeMap::new())
    }

    /// All of them at an instant.
    pub(super) fn seen(&self, recorder: &Recorder, now: Utc) -> Vec<status::Source> {
        self.shown(&recorder.tracker.standings(now), recorder.late())
    }

    fn shown(
        &self,
        standings: &BTreeMap<&Instance, Standing>,
        late: &BTreeMap<Instance, u64>,
    ) -> Vec<status::Source> {
        let of = |config| self.of(config, standings, late);
        self.configured.iter().flat_map(of).collect()
    }

    /// Those of a source: one, or one for each of its interfaces.
    fn of(
        &self,
        config: &SourceConfig,
        standings: &BTreeMap<&Instance, Standing>,
        late: &BTreeMap<Instance, u64>,
    ) -> Vec<status::Source> {
        let show = |instance: &Instance| {
            let standing = standings.get(instance).copied();
            let failure = self.failures.get(instance).or(self.failure.as_ref());
            status::Source {
                late_rows_total: late.get(instance).copied().unwrap_or_default(),
                ..shown(config, &instance.name, standing, failure)
            }
        };
        let named = |name| Instance { source: config.source(), name };
        let SourceOrigin::Wireguard { interfaces } = &config.origin else {
            return vec![show(&named(config.instance().unwrap_or_default()))];
        };
        let is_of = |instance: &&&Instance| {
            instance.source == Source::Wireguard && interfaces.matches(&instance.name)
        };
        let mut found: Vec<status::Source> =
            standings.keys().filter(is_of).map(|instance| show(instance)).collect();
        let all = named(interfaces.to_string());
        // Where they cannot be listed, the pattern has the reason.
        if found.is_empty() || !interfaces.is_name() && self.failures.contains_key(&all) {
            found.push(show(&all));
        }
        found
    }
}

fn shown(
    config: &SourceConfig,
    name: &str,
    standing: Option<Standing>,
    failure: Option<&Failure>,
) -> status::Source {
    let message = |failure: &Failure| Message { at: Some(failure.at), text: failure.text.clone() };
    let open = standing.map_or(0, |standing| standing.open_sessions);
    status::Source {
        kind: config.source().name().to_owned(),
        instance: name.to_owned(),
        realm: config.realm.clone(),
        looks_at: looks_at(config),
        is_heard: standing.is_some_and(|standing| standing.is_heard),
        answered_at: standing.and_then(|standing| standing.answered_at),
        error: failure.map(message),
        remedy: failure.map(|failure| failure.remedy.clone()),
        open_sessions: u64::try_from(open).unwrap_or(u64::MAX),
        late_rows_total: 0,
    }
}

/// The parts of a source.
fn looks_at(config: &SourceConfig) -> Vec<String> {
    let hooks = || format!("hooks in {}", config.hook_directory.display());
    match &config.origin {
        SourceOrigin::Wireguard { interfaces } => vec![format!("interface {interfaces}")],
        SourceOrigin::Openvpn { hook, status, management } => {
            let hooks = (*hook != Hook::None).then(hooks);
            let status = status.as_ref().map(|path| format!("status file {}", path.display()));
            let management =
                management.as_ref().map(|path| format!("management socket {}", path.display()));
            [hooks, status, management].into_iter().flatten().collect()
        }
        SourceOrigin::Lease { file: Some(path) } => vec![format!("file {}", path.display())],
        SourceOrigin::Lease { file: None } => vec![hooks()],
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn config(origin: SourceOrigin) -> SourceConfig {
        let poll = Duration::from_secs(5);
        SourceConfig { realm: "default".to_owned(), poll, hook_directory: "/hook".into(), origin }
    }

    fn wireguard(name: &str) -> Instance {
        Instance { source: Source::Wireguard, name: name.to_owned() }
    }

    fn failure(text: &str) -> Failure {
        Failure { at: Utc::from_ms(1_000), text: text.to_owned(), remedy: "mend it".to_owned() }
    }

    const HEARD: Standing =
        Standing { answered_at: Some(Utc::from_ms(7_000)), is_heard: true, open_sessions: 3 };

    #[test]
    fn each_interface_of_a_pattern_is_a_source_and_one_without_any_shows_the_pattern() {
        let interfaces = || SourceOrigin::Wireguard { interfaces: "wg*".parse().unwrap() };
        let mut watched = Watched::new(&[config(interfaces())]);
        let [none] = &watched.unseen()[..] else { panic!("{watched:?}") };
        assert_eq!((none.instance.as_str(), none.is_heard, none.answered_at), ("wg*", false, None));

        let (first, second, other) = (wireguard("wg0"), wireguard("wg1"), wireguard("tun0"));
        let silent = Standing { is_heard: false, ..HEARD };
        let standings = BTreeMap::from([(&first, HEARD), (&second, silent), (&other, HEARD)]);
        watched.failures.insert(second.clone(), failure("it hangs"));
        let late = BTreeMap::from([(first.clone(), 2)]);
        let shown = watched.shown(&standings, &late);
        let [one, two] = &shown[..] else { panic!("{shown:?}") };
        assert_eq!((one.instance.as_str(), one.is_heard, one.open_sessions), ("wg0", true, 3));
        assert_eq!((one.late_rows_total, one.error.clone()), (2, None));
        assert_eq!((two.instance.as_str(), two.is_heard), ("wg1", false));
        assert_eq!(two.error.as_ref().map(|error| error.text.as_str()), Some("it hangs"));

        // The interfaces cannot be listed any more.
        watched.failures.insert(wireguard("wg*"), failure("no room"));
        let shown = watched.shown(&standings, &late);
        assert_eq!(shown.iter().filter(|one| one.instance == "wg*").count(), 1, "{shown:?}");
    }

    #[test]
    fn a_server_names_its_parts_and_a_key_that_is_missing_is_the_fault_of_all() {
        let openvpn = config(SourceOrigin::Openvpn {
            hook: Hook::Only,
            status: Some("/run/server.status".into()),
            management: Some("/run/server.sock".into()),
        });
        let lease = config(SourceOrigin::Lease { file: None });
        let mut watched = Watched::new(&[openvpn, lease]);
        watched.failure = Some(failure("there is no key"));
        let shown = watched.unseen();
        let parts = [
            "hooks in /hook",
            "status file /run/server.status",
            "management socket /run/server.sock",
        ];
        assert_eq!(
            (shown[0].instance.as_str(), &shown[0].looks_at[..]),
            ("server", &parts.map(str::to_owned)[..])
        );
        assert_eq!(
            (shown[1].kind.as_str(), &shown[1].looks_at[..]),
            ("lease", &["hooks in /hook".to_owned()][..])
        );
        assert!(shown.iter().all(|one| one.remedy.as_deref() == Some("mend it")), "{shown:?}");
    }
}
