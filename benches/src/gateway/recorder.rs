//! The kernel program on an interface, coming and going.

use std::sync::Arc;

use anyhow::Context as _;
use aya::programs::{
    LinkOrder, TcAttachType,
    tc::{SchedClassifierLinkId, TcAttachOptions},
};
use flowlog::{
    capture::{MapSizes, Program, interface, presence::Presence},
    config::Policy,
    drain::Drainer,
};
use flowlog_common::interface::Interface;

/// The sizes that `flowlog run` has by default.
const SIZES: MapSizes =
    MapSizes { flows_v4: 262_144, flows_v6: 65_536, overflow: 16_384, interfaces: 4 };
const HOOKS: [TcAttachType; 2] = [TcAttachType::Ingress, TcAttachType::Egress];

pub struct Recorder {
    program: Program,
    drainer: Drainer,
    interface: String,
    entry_points: [&'static str; 2],
    links: Vec<(&'static str, SchedClassifierLinkId)>,
}

impl Recorder {
    /// Loads it for an interface of this thread's namespace.
    pub fn load(interface: &str, entry_points: [&'static str; 2]) -> anyhow::Result<Self> {
        let (mut program, maps) = Program::load(SIZES, &Policy::FLOWS)?;
        let presence = Arc::new(Presence::new(SIZES.interfaces));
        let slot = presence.slot(interface).context("no slot for the interface")?;
        let drainer = Drainer::new(maps, Arc::clone(&presence))?;
        presence.attached(slot);
        let kernel_index = interface::kernel_index(interface).context("no such interface")?;
        program.count_interface(Interface { kernel_index, slot, reserved: 0 })?;
        let interface = interface.to_owned();
        Ok(Self { program, drainer, interface, entry_points, links: vec![] })
    }

    /// Attaches the program, or detaches it.
    pub fn switch(&mut self, on: bool) -> anyhow::Result<()> {
        for (name, link) in self.links.drain(..) {
            self.program.classifier(name)?.detach(link)?;
        }
        if on {
            for (name, hook) in self.entry_points.into_iter().zip(HOOKS) {
                let options = TcAttachOptions::TcxOrder(LinkOrder::default());
                let program = self.program.classifier(name)?;
                let link = program.attach_with_options(&self.interface, hook, options)?;
                self.links.push((name, link));
            }
        }
        Ok(())
    }

    /// Bytes that it has seen so far, and empties its maps.
    pub fn bytes_seen(&mut self) -> anyhow::Result<u64> {
        let closed = self.drainer.close()?;
        let epoch = self.drainer.read(&closed)?;
        self.drainer.clear(&closed, &epoch)?;
        let totals = epoch.totals.iter().flat_map(|(_, both)| both);
        Ok(totals.map(|totals| totals.seen.bytes).sum())
    }
}
