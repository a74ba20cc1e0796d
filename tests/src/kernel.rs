//! The kernel program as it is loaded, given packets by the kernel's own test run.

use std::{path::Path, sync::Arc, time::Duration};

use aya::{
    TestRunOptions,
    programs::{ProgramError, TestRun as _},
};
use flowlog::{
    capture::{self, MapSizes, Program, drain::Drainer, presence::Presence},
    record::{
        epoch::{Epoch, EpochNumber},
        policy::Policy,
    },
    spool::{
        Spool, encode,
        files::merge,
        merge::Duplicates,
        recover::{Recording, Recovered, recover},
    },
    table::{FLOWS, LEDGER, ObjectName},
};
use flowlog_common::interface::Interface;

/// Test runs come from the loopback interface of their namespace.
const LOOPBACK: u32 = 1;
const GATEWAY: &str = "test-run";
const WINDOW: Duration = Duration::from_mins(5);

/// The program in the kernel, attached to nothing, and what empties its maps.
pub struct Loaded {
    pub program: Program,
    pub drainer: Drainer,
}

impl Loaded {
    /// Loads the program and has it count test runs.
    pub fn new(sizes: MapSizes) -> Self {
        Self::with_policy(sizes, &Policy::FLOWS)
    }

    /// The same, with another policy than recording everything of everybody.
    pub fn with_policy(sizes: MapSizes, policy: &Policy) -> Self {
        Self::counting("lo", LOOPBACK, sizes, policy)
    }

    /// The same, but it counts this interface.
    pub fn counting(name: &str, kernel_index: u32, sizes: MapSizes, policy: &Policy) -> Self {
        let interfaces = sizes.interfaces;
        let loaded = Program::load(sizes, policy, None).expect("these tests need root");
        let capture::Loaded { program, maps, .. } = loaded;
        let presence = Arc::new(Presence::new(interfaces));
        let slot = presence.slot(name).unwrap();
        let drainer = Drainer::new(maps, Arc::clone(&presence), EpochNumber::ZERO).unwrap();
        presence.attached(slot);
        program.count_interface(Interface { kernel_index, slot: slot.number() });
        Self { program, drainer }
    }

    /// Stops counting test runs.
    pub fn ignore_test_runs(&self) {
        self.program.ignore_interface(LOOPBACK);
    }

    /// Gives a packet to an entry point, `repeat` times, and returns the verdict. Fails when the
    /// packet is not the same afterwards.
    pub fn run(&mut self, entry_point: &'static str, packet: &[u8], repeat: u32) -> i32 {
        self.try_run(entry_point, packet, repeat).expect("the kernel refuses the packet")
    }

    /// The same; `None` where the kernel makes no socket buffer of such a packet.
    pub fn try_run(
        &mut self,
        entry_point: &'static str,
        packet: &[u8],
        repeat: u32,
    ) -> Option<i32> {
        let mut left = vec![0; packet.len()];
        let options = TestRunOptions {
            data_in: Some(packet),
            data_out: Some(&mut left),
            repeat,
            ..TestRunOptions::default()
        };
        match self.program.classifier(entry_point).unwrap().test_run(options) {
            Ok(result) => {
                assert!(left == packet, "{entry_point} changed a packet");
                Some(result.return_value.cast_signed())
            }
            Err(ProgramError::SyscallError(error))
                if error.io_error.kind() == std::io::ErrorKind::InvalidInput =>
            {
                None
            }
            Err(error) => panic!("{entry_point}: {error}"),
        }
    }

    /// Ends the epoch, and empties its maps.
    pub fn drain(&mut self) -> Epoch {
        let closed = self.drainer.close().unwrap();
        let epoch = self.drainer.read(&closed).unwrap();
        self.drainer.clear(&closed, &epoch).unwrap();
        epoch
    }
}

/// Writes an epoch to a local store, as one window.
pub fn store_epoch(epoch: &Epoch, store: &Path) {
    let spool = Arc::new(Spool::temporary().unwrap());
    let recording =
        Recording { gateway: GATEWAY.to_owned(), policy: "0".repeat(64), window: WINDOW };
    let Recovered { mut epochs, mut files, .. } = recover(&spool, recording).unwrap();
    let epoch = epochs.append(epoch, Duration::ZERO).unwrap();
    let path = files.place(&epoch.header.windows[0], &epoch.header).unwrap();
    files.add(merge(&[epoch], path, Duplicates::Merge).unwrap());
    let file = files.growing().pop().unwrap();
    let encoded = encode::encode(&file).unwrap();
    let both = [(&FLOWS, encoded.flows), (&LEDGER, Some(encoded.ledger))];
    for (table, bytes) in both {
        let name = ObjectName::new(table, GATEWAY, file.hour(), Duration::from_hours(1));
        let path = store.join(name.path().as_ref());
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        if let Some(bytes) = bytes {
            std::fs::write(path, bytes).unwrap();
        }
    }
}
