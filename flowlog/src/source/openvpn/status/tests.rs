use super::*;

/// As OpenVPN 2.6 writes it, with a tab or a comma for `|`.
const STATUS: &str = "\
TITLE|OpenVPN 2.6.14 x86_64-pc-linux-gnu
TIME|2026-11-27 22:53:26|1795820006
HEADER|CLIENT_LIST|Common Name|Real Address|Virtual Address|Virtual IPv6 Address|Bytes Received|Bytes Sent|Connected Since|Connected Since (time_t)|Username|Client ID|Peer ID|Data Channel Cipher
CLIENT_LIST|ada|192.168.9.2:60182|10.8.0.2|fd00:8::1000|2094|2188|2026-11-27 22:53:22|1795820002|UNDEF|0|0|AES-256-GCM
CLIENT_LIST|UNDEF|192.168.9.3:60182|||10|20|2026-11-27 22:53:22|1795820002|UNDEF|1|1|
CLIENT_LIST|bob|2001:db8::9|10.8.0.3||1|2|2026-11-27 22:53:22|1795820003|UNDEF|2|2|AES-256-GCM
HEADER|ROUTING_TABLE|Virtual Address|Common Name|Real Address|Last Ref|Last Ref (time_t)
ROUTING_TABLE|fd00:8::1000|ada|192.168.9.2:60182|2026-11-27 22:53:22|1795820002
ROUTING_TABLE|10.77.0.0/16|ada|192.168.9.2:60182|2026-11-27 22:53:22|1795820002
ROUTING_TABLE|10.77.0.9C|ada|192.168.9.2:60182|2026-11-27 22:53:22|1795820002
ROUTING_TABLE|2001:db8:77::/56|ada|192.168.9.2:60182|2026-11-27 22:53:22|1795820002
ROUTING_TABLE|aa:bb:cc:dd:ee:ff@0|bob|2001:db8::9|2026-11-27 22:53:22|1795820002
GLOBAL_STATS|Max bcast/mcast queue length|1
END
";

fn read(text: &str) -> Result<Status, Error> {
    parse(text.as_bytes())
}

fn shown(client: &Client) -> (String, Vec<String>, Option<String>) {
    let prefixes = client.prefixes().iter().map(|p| p.in_clear().to_string()).collect();
    let outer = client.outer.map(|outer| format!("{} {:?}", outer.address.in_clear(), outer.port));
    (client.name.in_clear().clone(), prefixes, outer)
}

#[test]
fn versions_2_and_3_list_the_clients_that_have_addresses() {
    for separator in [",", "\t"] {
        let status = read(&STATUS.replace('|', separator)).unwrap();
        assert_eq!(status.time, 1_795_820_006);
        let [ada, bob] = status.clients.as_slice() else { panic!("{status:?}") };
        let text = |text: &str| text.to_owned();
        let prefixes = ["10.8.0.2/32", "10.77.0.0/16", "2001:db8:77::/56", "fd00:8::1000/128"];
        assert_eq!(
            shown(ada),
            (text("ada"), prefixes.map(text).into(), Some(text("192.168.9.2 Some(60182)")))
        );
        assert_eq!((ada.connected, ada.bytes), (1_795_820_002, Some([2094, 2188])));
        assert_eq!(
            shown(bob),
            (text("bob"), vec![text("10.8.0.3/32")], Some(text("2001:db8::9 None")))
        );
    }
}

#[test]
fn what_the_management_socket_adds_is_no_part_of_it() {
    let answer = format!(
        ">INFO:OpenVPN Management Interface Version 5\r\n{}",
        STATUS.replace('|', "\t").replace('\n', "\r\n").replace(
            "GLOBAL_STATS",
            ">CLIENT:CONNECT,0,1\r\n>CLIENT:ENV,common_name=eve\r\n>CLIENT:ENV,END\r\nGLOBAL_STATS"
        )
    );
    assert_eq!(read(&answer).unwrap(), read(&STATUS.replace('|', "\t")).unwrap());
}

#[test]
fn a_name_with_commas_is_read_whole_and_columns_may_be_others() {
    let status = "\
TIME,now,1
HEADER,CLIENT_LIST,Common Name,Real Address,Virtual Address,Bytes Received,Bytes Sent,Connected Since,Connected Since (time_t)
CLIENT_LIST,CN=ada,O=x,192.0.2.7:1,10.8.0.2,1,2,now,5
HEADER,ROUTING_TABLE,Virtual Address,Common Name,Real Address,Last Ref,Last Ref (time_t)
ROUTING_TABLE,10.9.0.0/24,CN=ada,O=x,192.0.2.7:1,now,5
END
";
    let status = read(status).unwrap();
    let [ada] = status.clients.as_slice() else { panic!("{status:?}") };
    let (name, prefixes, _) = shown(ada);
    assert_eq!((name.as_str(), prefixes.len()), ("CN=ada,O=x", 2));
}

#[test]
fn a_real_address_is_read_in_each_notation() {
    for (text, expected) in [
        ("192.0.2.7:1194", Some("192.0.2.7 Some(1194)")),
        ("192.0.2.7", Some("192.0.2.7 None")),
        ("[2001:db8::7]:1194", Some("2001:db8::7 Some(1194)")),
        ("2001:db8::7", Some("2001:db8::7 None")),
        ("udp4:192.0.2.7:1194", Some("192.0.2.7 Some(1194)")),
        ("tcp6-server:[2001:db8::7]:1194", Some("2001:db8::7 Some(1194)")),
        ("[::ffff:192.0.2.7]:1194", Some("192.0.2.7 Some(1194)")),
        ("ada", None),
        ("", None),
    ] {
        let read = outer(text).map(|o| format!("{} {:?}", o.address.in_clear(), o.port));
        assert_eq!(read.as_deref(), expected, "{text}");
    }
}

#[test]
fn a_status_that_is_cut_or_makes_no_sense_is_no_list() {
    let whole = STATUS.replace('|', "\t");
    let end = whole.len() - 1;
    for length in 0..end {
        assert!(read(&whole[..length]).is_err(), "{length}");
    }
    assert!(read(&whole[..end]).is_ok());
    let broken = |from: &str, to: &str| read(&whole.replacen(from, to, 1));
    assert!(matches!(
        broken("1795820002\tUNDEF\t0", "ada\tUNDEF\t0"),
        Err(Error::Malformed { line: 4 })
    ));
    assert!(matches!(broken("2094", "-1"), Err(Error::Malformed { line: 4 })));
    assert!(matches!(
        broken("ROUTING_TABLE\tfd00", "ROUTING_TABLE,fd00"),
        Err(Error::Malformed { .. })
    ));
    assert!(matches!(read("OpenVPN CLIENT LIST\nUpdated,now\n"), Err(Error::Version)));
    assert!(matches!(read("ENTER PASSWORD:"), Err(Error::Password)));
    assert!(matches!(read("END\n"), Err(Error::Truncated)));
}
