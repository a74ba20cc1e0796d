use super::{
    key::{Key, Settings as _},
    keys::keys,
    reference::{SOURCES_EXAMPLE, example, page},
    settings::FILE,
    *,
};
use crate::record::policy::Profile;

fn targeted_example() -> String {
    reference::targeted_example(&FILE.concat())
}

fn config(text: &str) -> Result<Config, String> {
    let file = File::parse(text)?;
    Config::from_file(file, "gw1").map_err(|error| error.to_string())
}

#[test]
fn the_least_configuration_has_the_documented_defaults() {
    let config = config("profile = \"flows\"\ninterfaces = [\"wg0\", \"tun*\"]").unwrap();
    assert_eq!(config.gateway.as_str(), "gw1");
    assert_eq!(config.times.window, Duration::from_mins(5));
    assert_eq!(config.times.drain_interval, Duration::from_secs(10));
    assert_eq!(config.store.in_clear(), "/var/lib/flowlog/store");
    assert!(config.retention.is_none());
}

#[test]
fn the_examples_of_the_reference_have_every_key_and_are_valid() {
    let file = File::parse(&example(&FILE.concat())).unwrap();
    let targeted = File::parse(&targeted_example()).unwrap();
    let least = "profile = \"flows\"\ninterfaces = [\"wg0\"]\n";
    let sources = File::parse(&format!("{least}{SOURCES_EXAMPLE}")).unwrap();
    let is_set = |key: &&Key| {
        [&file, &targeted, &sources].iter().any(|file| file.table().0.contains_key(key.name))
    };
    let missing: Vec<&str> =
        FILE.iter().copied().flatten().filter(|key| !is_set(key)).map(|key| key.name).collect();
    assert!(missing.is_empty(), "{missing:?}");
    Config::from_file(file, "gw1").unwrap();
    let policy = Config::from_file(targeted, "gw1").unwrap().policy;
    assert_eq!((policy.profile, policy.targets.len()), (Profile::Targeted, 1));
    assert_eq!(Config::from_file(sources, "gw1").unwrap().sources.len(), 3);
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
    assert_eq!(with("window = \"1s\"").unwrap().times.drain_interval, Duration::from_secs(1));
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

#[test]
fn generated_file_of_the_package_is_fresh_and_valid() {
    let text = installed_file();
    let config = config(&text).unwrap();
    assert_eq!(config.policy.profile, Profile::Attribution);
    assert!(config.retention.is_some() && config.spool.spool.is_some());
    // Whatever is a comment is what holds anyway, or an example.
    let uncommented = text.replace("# [[targets]]", "[[targets]]");
    for line in uncommented.lines().filter_map(|line| line.strip_prefix("# ")) {
        if let Some((name, _)) = line.split_once(" = ") {
            assert!(reference().contains(name), "{name}");
            toml::from_str::<toml::Table>(line).unwrap();
        }
    }
    crate::generated::assert_fresh("packaging/flowlog.toml", &text);
}

#[test]
fn every_default_and_example_is_a_value_of_its_key() {
    fn check(keys: &[Key]) {
        for key in keys {
            if let Some(inner) = key.tables() {
                check(inner);
                continue;
            }
            let texts = [Some(key.example_toml()), key.in_file];
            for toml in texts.into_iter().flatten() {
                let item = item::Item::of_toml(toml).unwrap();
                assert!(key.check(&item).is_ok(), "{} = {toml}", key.name);
            }
        }
    }
    check(&FILE.concat());
}

#[test]
fn a_wrong_value_is_refused_by_its_key_and_line() {
    let with = |rest: &str| config(&format!("profile = \"flows\"\ninterfaces = [\"wg0\"]\n{rest}"));
    for (rest, message) in [
        ("window = \"7 bananas\"", "line 3: window: \"7 bananas\" is not a duration"),
        ("window = \"7m\"", "line 3: window: 420s does not divide an hour"),
        ("max_overflow = 0", "line 3: max_overflow: 0 is too small; it must be at least 1"),
        ("\n[retention]\nkeep = \"6m\"", "line 5: retention.keep: \"6m\" is in minutes"),
        ("gateway = \"a/b\"", "line 3: gateway: \"a/b\" is not a gateway name"),
        ("order = \"middle\"", "line 3: order must be \"first\""),
        ("targets = []\n[[targets]]", "line 4: not valid TOML"),
    ] {
        let error = with(rest).unwrap_err();
        assert!(error.contains(message), "{rest}: {error}");
    }
    let error = config("profile = \"flows\"\ninterfaces = [\"wg0\", \"a b\"]").unwrap_err();
    assert!(error.contains("line 2: interfaces[1]: \"a b\" is not an interface name"), "{error}");
}

keys! {
    /// Keys of a part that exists in this test only.
    pub struct StableSettings {
        /// How many ponies there are.
        pub ponies: u32, default: 3, least(1), flag("ponies", "COUNT");

        /// The boxes, one table for each.
        pub boxes: Vec<BoxSettings>, otherwise("none");

        /// The meadow.
        pub meadow: Option<MeadowSettings>, otherwise("none");
    }
}

keys! {
    /// A box, in a table `[[boxes]]`.
    pub struct BoxSettings {
        /// Who is in it.
        pub name: String, example: "Ada";
    }
}

keys! {
    /// The meadow, in a table of its own.
    pub struct MeadowSettings {
        /// How long it is open.
        pub open: Duration, default: "8h";

        /// Where else it is.
        pub shade: Option<ShadeSettings>, otherwise("none");
    }
}

keys! {
    /// A table within a table.
    pub struct ShadeSettings {
        /// How many trees.
        pub trees: u32, default: 1;
    }
}

#[test]
fn a_key_is_defined_in_one_place() {
    const STABLE: &[&[Key]] = &[StableSettings::KEYS];
    let read = |text: &str| {
        let table = plain::read(text, STABLE)?;
        StableSettings::of(&table).map_err(|wrong| format!("{}: {}", wrong.key, wrong.message))
    };
    // Parsed, with its default, its bounds, its line and its nearest name.
    assert_eq!(read("").unwrap().ponies, 3);
    let all = "ponies = 7\n[[boxes]]\nname = \"Ada\"\n[[boxes]]\nname = \"Bo\"\n[meadow.shade]\ntrees = 2";
    let stable = read(all).unwrap();
    assert_eq!((stable.ponies, stable.boxes.len()), (7, 2));
    assert_eq!(stable.boxes[1].name, "Bo");
    let meadow = stable.meadow.unwrap();
    assert_eq!((meadow.open, meadow.shade.unwrap().trees), (Duration::from_hours(8), 2));
    assert!(read("ponies = 0").unwrap_err().contains("ponies: 0 is too small"));
    assert!(
        read("ponys = 4")
            .unwrap_err()
            .contains("line 1: unknown key `ponys`: did you mean `ponies`?")
    );
    assert!(read("[[boxes]]").unwrap_err().contains("boxes.name is missing"));
    let nested = read("[meadow.shade]\ntree = 4").unwrap_err();
    assert!(nested.contains("did you mean `meadow.shade.trees`?"), "{nested}");
    // In the reference, in the installed file, and among what is shown.
    let page = page(STABLE);
    assert!(
        page.contains("| `ponies` | `--ponies` | `3` | How many ponies there are. |"),
        "{page}"
    );
    assert!(page.contains("`meadow.shade.trees`") && page.contains("`boxes.name`"), "{page}");
    assert!(page.contains("[meadow.shade]\ntrees = 1"), "{page}");
    let installed = reference::installed_file(STABLE);
    assert!(installed.contains("# How many ponies there are.\n# ponies = 3\n"), "{installed}");
    let mut shown = Shown { keys: vec![] };
    shown.table(StableSettings::KEYS, "", "", &plain::read(all, STABLE).unwrap());
    let text = shown.text();
    for line in ["ponies = 7", "[[boxes]]\nname = \"Bo\"", "[meadow.shade]\ntrees = 2"] {
        assert!(text.contains(line), "{line} is not in {text}");
    }
}

#[test]
fn a_spool_has_a_name_and_nothing_else_in_it() {
    let least = "profile = \"flows\"\ninterfaces = [\"wg0\"]\n";
    let with = |more: &str| config(&format!("{least}{more}"));
    let error = with("spool = \"\"").unwrap_err();
    assert!(error.contains("line 3") && error.contains("spool: it is empty"), "{error}");
    let socket = |path: &str| with(&format!("spool = \"/s/spool\"\nstatus_socket = \"{path}\""));
    for within in ["/s/spool/gw.sock", "/s/spool/epochs/gw.sock", "/s/spool"] {
        let error = socket(within).unwrap_err();
        assert!(error.contains("status_socket: it is in the spool /s/spool"), "{error}");
    }
    for beside in ["", "/s/gw.sock", "/s/spool.sock"] {
        socket(beside).unwrap();
    }
}
