//! The kernel program on an interface, coming and going.

use anyhow::Context as _;
use aya::programs::{
    LinkOrder, TcAttachType,
    tc::{SchedClassifierLinkId, TcAttachOptions},
};
use flowlog::{
    capture::{MapSizes, interface},
    record::policy::Policy,
};
use flowlog_tests::Loaded;

/// The sizes that `flowlog run` has by default.
const SIZES: MapSizes =
    MapSizes { flows_v4: 262_144, flows_v6: 65_536, overflow: 16_384, interfaces: 4 };
const HOOKS: [TcAttachType; 2] = [TcAttachType::Ingress, TcAttachType::Egress];

pub struct Recorder {
    loaded: Loaded,
    interface: String,
    entry_points: [&'static str; 2],
    links: Vec<(&'static str, SchedClassifierLinkId)>,
}

impl Recorder {
    /// Loads it for an interface of this thread's namespace.
    pub fn load(interface: &str, entry_points: [&'static str; 2]) -> anyhow::Result<Self> {
        let kernel_index = interface::kernel_index(interface).context("no such interface")?;
        let loaded = Loaded::counting(interface, kernel_index, SIZES, &Policy::FLOWS);
        Ok(Self { loaded, interface: interface.to_owned(), entry_points, links: vec![] })
    }

    /// Attaches the program, or detaches it.
    pub fn switch(&mut self, on: bool) -> anyhow::Result<()> {
        for (name, link) in self.links.drain(..) {
            self.loaded.program.classifier(name)?.detach(link)?;
        }
        if on {
            for (name, hook) in self.entry_points.into_iter().zip(HOOKS) {
                let options = TcAttachOptions::TcxOrder(LinkOrder::default());
                let program = self.loaded.program.classifier(name)?;
                let link = program.attach_with_options(&self.interface, hook, options)?;
                self.links.push((name, link));
            }
        }
        Ok(())
    }

    /// Bytes that it has seen so far, and empties its maps.
    pub fn bytes_seen(&mut self) -> u64 {
        let epoch = self.loaded.drain();
        epoch.totals.iter().flat_map(|(_, both)| both).map(|totals| totals.seen.bytes).sum()
    }
}
