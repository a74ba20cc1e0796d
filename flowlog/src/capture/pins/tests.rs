use super::*;

#[test]
fn a_gateway_with_dots_in_its_name_has_a_directory_without() {
    let pins = Pins::new("/sys/fs/bpf/flowlog", "gw1.example.net");
    let directory = pins.directory();
    assert_eq!(directory, Path::new("/sys/fs/bpf/flowlog/gw1%2Eexample%2Enet"));
}

#[test]
fn other_sizes_are_readable_and_other_layouts_are_not() {
    let sizes = MapSizes { flows_v4: 1, flows_v6: 2, overflow: 3, interfaces: 4 };
    let folder = layout(sizes);
    assert!(is_layout(&folder) && is_readable(Path::new(&folder)), "{folder}");
    let (other, more) = (format!("v{}-1-2-3-4", LAYOUT + 1), format!("v{LAYOUT}0-1-2-3-4"));
    for unknown in [other, more] {
        assert!(is_layout(&unknown) && !is_readable(Path::new(&unknown)), "{unknown}");
        assert!(is_newer(Path::new(&unknown)), "{unknown}");
    }
    assert!(!is_newer(Path::new(&folder)) && !is_newer(Path::new("v0-1-2-3-4")));
    assert!(!is_layout("clsact-7"));
}

#[test]
fn without_a_bpf_file_system_the_error_says_how_to_get_one() {
    let directory = tempfile::tempdir().unwrap();
    let sizes = MapSizes { flows_v4: 1, flows_v6: 1, overflow: 1, interfaces: 1 };
    let refused = Pins::new(directory.path().join("flowlog"), "gw").claim(sizes);
    let said = refused.err().unwrap().to_string();
    assert!(said.contains("mount -t bpf"), "{said}");
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
}
