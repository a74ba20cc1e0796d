//! What stands for somebody, or opens a store, is in nothing that is printed: it is planted wherever it comes
//! from, and looked for in all that can be written of it.

use std::{fmt::Debug, net::IpAddr};

use flowlog_common::flow::{Direction, FlowCounters, FlowKey, detail};

use crate::{
    config::{Config, File, TargetSettings},
    record::{
        epoch::Entries,
        flow::{Activity, FlowRecord},
        location::Location,
        redacted::Redacted,
    },
    spool::{entry::Entry, files::FileIdentity, identity::Identity},
    store::{self, Store},
    telemetry::with_causes,
};

/// An address as people write it, and as its bytes are printed.
const MEMBER: [u8; 4] = [203, 177, 188, 199];
const REMOTE: [u8; 4] = [198, 166, 155, 144];
const MARKERS: [&str; 18] = [
    "203.177",
    "198.166",
    "203, 177",
    "198, 166",
    "177,",
    "166,",
    "cbb1",
    "c6a6",
    "3417422023", // The number of the address.
    "2001:db8:7777",
    "8193, 3512",
    "7777",
    "Lovelace",
    "planted-user",
    "planted-password",
    "planted-signature",
    "planted-fragment",
    "planted-word",
];

/// Fails if any marker is in what is printed.
fn is_clean(printed: &str) {
    for marker in MARKERS {
        assert!(!printed.contains(marker), "{marker} is in {printed}");
    }
}

fn debug(value: &dyn Debug) {
    is_clean(&format!("{value:?} {value:#?} {value:x?}"));
}

fn error(error: &dyn std::error::Error) {
    is_clean(&format!("{error} {error:#} {}", with_causes(error)));
    debug(&error);
    if let Some(source) = error.source() {
        self::error(source);
    }
}

const ACTIVITY: Activity = Activity {
    start_ms: 1,
    end_ms: 2,
    packets_up: 3,
    bytes_up: 4,
    packets_down: 5,
    bytes_down: 6,
    tcp_flags_up: 0,
    tcp_flags_down: 0,
    partial: 0,
    initiator: Direction::Up,
};

#[test]
fn no_flow_is_printed_with_an_address_wherever_it_is_on_its_way() {
    let key = FlowKey {
        member: MEMBER,
        remote: REMOTE,
        member_port: [0, 1],
        remote_port: [0, 2],
        interface: 3,
        protocol: 6,
        detail: detail::FULL,
    };
    debug(&key);
    debug(&Entries { keys: vec![key], values: vec![FlowCounters::default()] });
    debug(&Entry { key, activity: ACTIVITY });
    let record = FlowRecord {
        interface: "wg0",
        member: MEMBER.into(),
        remote: Some(REMOTE.into()),
        member_port: 1,
        remote_port: 2,
        protocol: 6,
        activity: ACTIVITY,
    };
    debug(&record);
    debug(&[Some(record)]);
    is_clean(&format!("{} {:?}", record.member, record.remote));
    assert_eq!(*record.member.in_clear(), IpAddr::from(MEMBER), "it is not lost");
}

/// A configuration with an order, and with these words in the place of what an order says.
fn targeted(prefix: &str, from: &str, to: &str) -> String {
    format!(
        "profile = \"targeted\"\ninterfaces = [\"wg0\"]\n\
         store = \"s3://planted-user:planted-password@bucket/a?sig=planted-signature#planted-fragment\"\n\
         [[targets]]\nprefix = \"{prefix}\"\nfrom = \"{from}\"\nto = \"{to}\""
    )
}

const FROM: &str = "2026-03-01T00:00:00Z";
const TO: &str = "2026-05-01T00:00:00Z";

#[test]
fn no_configuration_is_printed_with_a_prefix_or_a_password() {
    for prefix in ["203.177.188.199", "2001:db8:7777::/48"] {
        let file = File::parse(&targeted(prefix, FROM, TO)).unwrap();
        debug(&file);
        let config = Config::from_file(file, "gw1").unwrap();
        debug(&config);
        is_clean(&config.store.to_string());
        assert!(config.store.in_clear().contains("planted-password"), "it still opens the store");
        let target = &config.policy.targets[0];
        is_clean(&target.prefix.to_string());
        assert!(prefix.starts_with(&target.prefix.in_clear().addr().to_string()));
    }
    let text = |text: &str| Redacted::new(text.to_owned());
    debug(&TargetSettings { prefix: text("Lovelace"), from: text("203.177"), to: text("7777") });
}

#[test]
fn a_wrong_order_is_refused_by_its_key_and_line_and_without_its_words() {
    for (prefix, from, to, words) in [
        ("203.177.188.999", FROM, TO, "prefix is neither an address nor a prefix"),
        ("Lovelace", FROM, TO, "prefix is neither an address nor a prefix"),
        ("203.177.188.199/8", FROM, TO, "prefix has bits set"),
        ("203.177.188.199/33", FROM, TO, "prefix is neither an address nor a prefix"),
        ("2001:db8:7777::1/48", FROM, TO, "prefix has bits set"),
        ("192.0.2.7", "203.177.188.199", TO, "from is not an instant with its zone"),
        ("192.0.2.7", FROM, "2001:db8:7777::", "to is not an instant with its zone"),
        ("192.0.2.7", TO, FROM, "to is not after from"),
    ] {
        let text = targeted(prefix, from, to);
        let refused = File::parse(&text).and_then(|file| {
            Config::from_file(file, "gw1").map(drop).map_err(|refused| {
                error(&refused);
                refused.to_string()
            })
        });
        let refused = refused.unwrap_err();
        is_clean(&refused);
        assert!(refused.contains("line 4") && refused.contains("targets"), "{refused}");
        assert!(refused.contains(words), "{refused}");
    }
}

/// Where somebody wrote a password into a URL.
const LOCATIONS: [&str; 8] = [
    "s3://planted-user:planted-password@bucket/a",
    "s3://planted-user:planted-pass/planted-password@bucket/a",
    "s3://planted-user:planted-password@/a?sig=planted-signature",
    "gs://bucket/a?token=planted-signature#planted-fragment",
    "az://planted-user:planted-password@box/a?sig=planted-signature",
    "https://planted-user:planted-password@example.invalid/a?sig=planted-signature",
    "ftp://planted-user:planted-password@example.invalid/a",
    "pony://planted-user:planted-password@bucket/planted?planted-word",
];

#[test]
fn no_store_is_printed_with_what_opens_it() {
    for text in LOCATIONS {
        let location = Location::from(text);
        is_clean(&format!("{location} {location:?}"));
        let variables = [
            ("AWS_ACCESS_KEY_ID", "planted-user"),
            ("AWS_SECRET_ACCESS_KEY", "planted-password"),
            ("AZURE_STORAGE_ACCOUNT_NAME", "account"),
            ("AZURE_STORAGE_ACCOUNT_KEY", "cGxhbnRlZA=="),
            ("GOOGLE_SERVICE_ACCOUNT_KEY", "{\"private_key\": \"planted-password\"}"),
        ];
        let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned()));
        match Store::open_with(text, variables) {
            Ok(store) => is_clean(&format!("{} {store:?}", store.url())),
            Err(refused) => error(&refused),
        }
        error(&store::Error::Url { url: location, source: "it is none".into() });
    }
}

/// The small files of a spool, as a version wrote them that knew a store by its whole URL.
const IDENTITY: &str = r#"{"numbering":"n","gateway":"gw1","former":{},"machine":"","numberings":{},"lost":[{"numbering":"n","epochs":"3-4","start_ns":1,"end_ns":2,"reason":"damaged","interfaces":["wg0"],"told_by":null,"gateway":"gw1","store":"s3://planted-user:planted-password@bucket/a?sig=planted-signature","is_settled":false}],"stores":["s3://planted-user:planted-password@bucket/a?sig=planted-signature","/srv/store"],"counted":null}"#;
const OF_A_FILE: &str = r#"{"lineage":"l","hour_ns":1,"policy":"p","window_ms":2,"gateway":"gw1","numbering":"n","store":"s3://planted-user:planted-password@bucket/a?sig=planted-signature","provisional":"","put":[4,2],"is_closed":false,"revision":1}"#;

#[test]
fn no_small_file_of_the_spool_is_printed_with_what_opens_a_store_and_each_is_written_as_it_was() {
    let identity: Identity = serde_json::from_str(IDENTITY).unwrap();
    debug(&identity);
    identity.stores.iter().for_each(|store| is_clean(&store.to_string()));
    assert_eq!(serde_json::to_string(&identity).unwrap(), IDENTITY);
    assert!(identity.stores[0].in_clear().contains("planted-password"), "it still opens the store");
    let identity: FileIdentity = serde_json::from_str(OF_A_FILE).unwrap();
    debug(&identity);
    assert_eq!(serde_json::to_string(&identity).unwrap(), OF_A_FILE);
    let nowhere = OF_A_FILE.replace(
        r#""store":"s3://planted-user:planted-password@bucket/a?sig=planted-signature""#,
        r#""store":null"#,
    );
    let identity: FileIdentity = serde_json::from_str(&nowhere).unwrap();
    assert_eq!(serde_json::to_string(&identity).unwrap(), nowhere);
}

#[cfg(feature = "capture")]
#[test]
fn the_daemon_reports_a_store_without_what_opens_it() {
    for text in LOCATIONS {
        let source = store::Error::Unconditional;
        error(&crate::service::Error::Store { url: text.into(), source });
    }
}
