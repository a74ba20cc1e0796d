//! A daemon that counts on one interface and drains nothing, to be killed: `counting BASE GATEWAY
//! INTERFACE MODE`. It says so when it counts, and ends with its standard input.

use std::{io::Read as _, sync::Arc};

use clap::ValueEnum as _;
use flowlog::{
    capture::{Capture, MapSizes, Pins, Program, presence::Presence},
    record::policy::{AttachMode, Order, Policy},
};
use flowlog_tests::SMALL;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [base, gateway, interface, mode] = arguments.try_into().unwrap();
    let pins = Pins::new(base, gateway);
    let loaded = Program::load(SMALL, &Policy::FLOWS, Some(&pins)).unwrap();
    let control = Arc::clone(&loaded.maps.control);
    let presence = Arc::new(Presence::restore(MapSizes::MAX_INTERFACES, control));
    let mode = AttachMode::from_str(&mode, true).unwrap();
    let mut capture = Capture::new(loaded.program, mode, Order::First, presence);
    let changes = capture.scan(&[interface.parse().unwrap()]).unwrap();
    assert_eq!(changes.attached, [interface]);
    println!("counting");
    std::io::stdin().read_to_end(&mut vec![]).unwrap();
}
