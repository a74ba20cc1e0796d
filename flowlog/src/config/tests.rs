use super::{
    reference::{example, targeted_example},
    *,
};

fn config(text: &str) -> Result<Config, String> {
    let file = File::parse(text)?;
    Config::from_file(file, "gw1").map_err(|error| error.to_string())
}

#[test]
fn the_least_configuration_has_the_documented_defaults() {
    let config = config("profile = \"flows\"\ninterfaces = [\"wg0\", \"tun*\"]").unwrap();
    assert_eq!(config.gateway, "gw1");
    assert_eq!(config.window, Duration::from_mins(5));
    assert_eq!(config.drain_interval, Duration::from_secs(10));
    assert_eq!(config.store, DEFAULT_STORE);
    assert!(config.retention.is_none());
}

#[test]
fn the_reference_names_every_key_and_its_example_is_valid() {
    let file = File::parse(&example()).unwrap();
    // Fails to compile when a key is added, until it is in the reference and here.
    let File {
        profile: _,
        interfaces,
        order,
        store,
        gateway,
        window,
        drain_interval,
        spool,
        spool_max_bytes,
        pins,
        shutdown_timeout,
        max_flows_v4,
        max_flows_v6,
        max_overflow,
        retention,
        targets,
    } = file.clone();
    assert!(targets.is_none());
    let RetentionFile { keep: _, interval } = retention.unwrap();
    assert!(
        spool.is_some()
            && spool_max_bytes.is_some()
            && pins.is_some()
            && interfaces.is_some()
            && order.is_some()
            && max_flows_v4.is_some()
            && max_flows_v6.is_some()
            && max_overflow.is_some()
    );
    assert!(
        [store, gateway, window, drain_interval, shutdown_timeout, interval]
            .iter()
            .all(Option::is_some)
    );
    Config::from_file(file, "gw1").unwrap();
    let policy = config(&targeted_example()).unwrap().policy;
    assert_eq!((policy.profile, policy.targets.len()), (Profile::Targeted, 1));
}

#[test]
fn targets_belong_to_their_profile_and_to_no_other() {
    let flows = targeted_example().replace("targeted", "flows");
    assert!(config(&flows).unwrap_err().contains("only the profile targeted"));
    let (nobody, _) = targeted_example()
        .split_once("[[targets]]")
        .map(|(a, b)| (a.to_owned(), b.to_owned()))
        .unwrap();
    assert!(config(&nobody).unwrap_err().contains("records nobody"));
}

#[test]
fn another_policy_has_another_hash() {
    let hash = |text: &str| config(text).unwrap().policy.hash();
    let flows = hash("profile = \"flows\"\ninterfaces = [\"wg0\"]");
    let attribution = hash("profile = \"attribution\"\ninterfaces = [\"wg0\"]");
    let targeted = hash(&targeted_example());
    let another = hash(&targeted_example().replace("192.0.2.7", "192.0.2.8"));
    let mut hashes = vec![flows, attribution, targeted, another];
    hashes.sort();
    hashes.dedup();
    assert_eq!(hashes.len(), 4);
}

#[test]
fn a_profile_must_be_named() {
    assert!(config("interfaces = [\"wg0\"]").unwrap_err().contains("profile"));
}

#[test]
fn a_profile_that_does_not_exist_is_answered_with_those_that_do() {
    let error = config("profile = \"everything\"").unwrap_err();
    assert!(error.contains("line 1: profile must be \"flows\""), "{error}");
}

#[test]
fn a_number_beyond_all_bounds_is_refused_by_its_key() {
    let error = config("profile = \"flows\"\nmax_flows_v4 = 99999999999").unwrap_err();
    assert!(error.contains("line 2: the value of max_flows_v4 is out of range"), "{error}");
}

#[test]
fn a_spool_into_which_nothing_fits_is_refused_with_the_least_size() {
    let with = |bytes: u64| {
        config(&format!("profile = \"flows\"\ninterfaces = [\"wg0\"]\nspool_max_bytes = {bytes}"))
    };
    assert!(with(16_383).unwrap_err().contains("at least 16384"));
    assert!(with(16_384).is_ok());
}

#[test]
fn an_unknown_key_is_refused_by_name_and_line() {
    let error = config("profile = \"flows\"\ninterfaces = [\"wg0\"]\nwindwo = \"5m\"").unwrap_err();
    assert!(error.contains("windwo") && error.contains("line 3"), "{error}");
}

#[test]
fn windows_and_drains_must_divide_what_they_are_part_of() {
    let with = |rest: &str| config(&format!("profile = \"flows\"\ninterfaces = [\"wg0\"]\n{rest}"));
    assert!(with("window = \"7m\"").unwrap_err().contains("window"));
    assert!(
        with("window = \"5m\"\ndrain_interval = \"7s\"").unwrap_err().contains("drain_interval")
    );
    assert!(with("window = \"250ms\"\ndrain_interval = \"50ms\"").is_ok());
    assert_eq!(with("window = \"1s\"").unwrap().drain_interval, Duration::from_secs(1));
}

#[test]
fn a_gateway_name_is_a_folder_of_every_store() {
    let named = |name: &str| {
        config(&format!("profile = \"flows\"\ninterfaces = [\"wg0\"]\ngateway = {name:?}"))
    };
    assert!(named("gw-1.example").is_ok());
    for name in ["", "a/b", "..", "a b", "a=b"] {
        assert!(named(name).unwrap_err().contains("gateway"), "{name}");
    }
}

#[test]
fn the_examples_are_valid() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/configs");
    let mut examples = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let file = File::read(&entry.unwrap().path()).unwrap();
        Config::from_file(file, "gw1").unwrap();
        examples += 1;
    }
    assert!(examples > 0);
}

#[test]
fn generated_configuration_page_is_fresh() {
    crate::generated::assert_fresh("docs/config.md", &reference());
}
