//! Addresses as people write them, and members who have the same one.

use std::{net::IpAddr, path::Path, time::Duration};

use flowlog::{
    record::clock::Utc,
    table::{FLOWS, FlowsWriter, ObjectName},
};
use flowlog_tests::{ask_duckdb, duckdb, duckdbs, flowlog, try_duckdb};
use serde_json::json;

use super::flow;

/// Writes a file of one flow between these addresses into a store.
fn write(store: &Path, gateway: &str, member: &str, remote: &str) {
    let mut row = flow(0);
    row.member = member.parse::<IpAddr>().unwrap().into();
    row.remote = Some(remote.parse::<IpAddr>().unwrap().into());
    let mut file = FlowsWriter::new(vec![]).unwrap();
    file.push(&row).unwrap();
    let begins = Utc::from_ms(row.activity.start_ms);
    let mut name = ObjectName::new(&FLOWS, gateway, begins, Duration::from_hours(1));
    while store.join(name.path().as_ref()).exists() {
        name.part += 1;
    }
    let path = store.join(name.path().as_ref());
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, file.finish(vec![]).unwrap()).unwrap();
}

#[test]
fn an_address_is_found_in_any_notation_and_nonsense_is_an_error() {
    let directory = tempfile::tempdir().unwrap();
    let store = directory.path();
    for remote in ["10.0.0.7", "2001:db8::1", "2001:db8:0:1:0:0:1:0", "64:ff9b::c000:201", "::"] {
        write(store, "gw-1", "10.0.0.1", remote);
    }
    let views = flowlog(&["duckdb", "--store", store.to_str().unwrap()]).stdout;
    let notations = [
        ("10.0.0.7", 1),
        (" 10.0.0.7\t", 1),
        ("::ffff:10.0.0.7", 1),
        ("::FFFF:0a00:7", 1),
        ("0:0:0:0:0:ffff:a00:0007", 1),
        ("2001:DB8::1", 1),
        ("2001:0db8:0000:0000:0000:0000:0000:0001", 1),
        ("2001:db8:0:1::1:0", 1),
        ("2001:db8:0:1:0:0:1:0", 1),
        ("64:ff9b::192.0.2.1", 1),
        ("0::0", 1),
        ("2001:db8::2", 0),
        ("10.0.0.8", 0),
        ("10.0.0.7/32", 1),
        ("10.0.0.0/8", 1),
        ("::ffff:10.0.0.0/104", 1),
        (" 2001:DB8::/32 ", 1),
        ("64:ff9b::/96", 1),
    ];
    let nonsense = [
        "nonsense",
        "",
        "10.0.0",
        "10.0.0.256",
        "010.0.0.7",
        "10.0.0.7.",
        "10.0.0.7/",
        "10.0.0.7/x",
        "10.0.0.7/-1",
        "10.0.0/8",
        "1:2:3",
        "2001:db8:::1",
        "2001:db8::1::",
        ":1::2",
        "1:2:3:4:5:6:7:8:9",
        "fe80::1%eth0",
        "g::1",
        "12345::",
        "::1.2.3",
        "::1.2.3.256",
        "1.2.3.4::",
    ];
    for mut cli in duckdbs() {
        // All in one session, which takes a second to begin.
        let counts = notations.map(|(notation, _)| {
            format!("SELECT '{notation}' AS notation, count(*)::INT AS rows FROM who_talked_to('{notation}')")
        });
        let answer = ask_duckdb(&mut cli, &views, &counts.join(" UNION ALL ")).unwrap();
        let expected: Vec<_> = notations
            .iter()
            .map(|(notation, rows)| json!({"notation": notation, "rows": rows}))
            .collect();
        assert_eq!(answer, expected);
    }
    for text in nonsense {
        let [cli, ..] = duckdbs();
        for question in
            [format!("who_talked_to('{text}')"), format!("flows_of('{text}', day := '2026-01-01')")]
        {
            let error =
                try_duckdb(cli_again(&cli), store, &format!("FROM {question}")).unwrap_err();
            assert!(error.contains(&format!("\"{text}\" is no IP address")), "{text}: {error}");
        }
    }
}

fn cli_again(cli: &std::process::Command) -> std::process::Command {
    std::process::Command::new(cli.get_program())
}

/// A condition on an address in another notation still passes over row groups without it.
#[test]
fn an_address_is_a_constant_before_a_row_is_read() {
    let directory = tempfile::tempdir().unwrap();
    // A condition that all rows of a store meet is none to DuckDB.
    for remote in ["10.0.0.6", "10.0.0.7", "10.0.0.8"] {
        write(directory.path(), "gw-1", "10.0.0.1", remote);
    }
    let views = flowlog(&["duckdb", "--store", directory.path().to_str().unwrap()]).stdout;
    for mut cli in duckdbs() {
        let plan = "EXPLAIN FROM who_talked_to('::ffff:a00:7')";
        let plan = cli.args(["-c", &views, "-c", plan]).output().unwrap().stdout;
        let plan = String::from_utf8(plan).unwrap();
        let plan: String = plan.chars().filter(char::is_ascii_graphic).collect();
        assert!(plan.contains("remote_ip='10.0.0.7'"), "{plan}");
    }
}

#[test]
fn the_same_address_behind_two_gateways_is_two_members() {
    let directory = tempfile::tempdir().unwrap();
    for gateway in ["gw-1", "gw-2"] {
        write(directory.path(), gateway, "10.0.0.7", "192.0.2.1");
    }
    for macro_name in ["who_talked_to('192.0.2.1')", "top_talkers(10)"] {
        let members =
            format!("SELECT gateway, interface, member_ip FROM {macro_name} ORDER BY ALL");
        let member =
            |gateway| json!({"gateway": gateway, "interface": "wg0", "member_ip": "10.0.0.7"});
        assert_eq!(duckdb(directory.path(), &members), [member("gw-1"), member("gw-2")]);
    }
}
