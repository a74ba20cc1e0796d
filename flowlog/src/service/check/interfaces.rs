//! The interfaces that are to be counted, and who stands at their hooks.

use flowlog_common::flow::Direction;

use super::{Fault, Finding};
use crate::{
    capture::{
        interface::{self, Layer, Link},
        survey::{Hook, Survey},
    },
    record::pattern::InterfacePattern,
};

/// Looks at what each pattern stands for.
pub(super) fn findings(patterns: &[InterfacePattern]) -> Vec<Finding> {
    let links = match interface::list() {
        Ok(links) => links,
        Err(error) => {
            let remedy = "allow AF_NETLINK sockets";
            return vec![Finding::failed("interfaces", error.to_string(), remedy)];
        }
    };
    let mut findings = vec![];
    for pattern in patterns {
        let matching: Vec<&Link> =
            links.iter().filter(|link| pattern.matches(&link.name)).collect();
        if matching.is_empty() {
            findings.push(missing(pattern, &links));
        }
        for link in matching {
            findings.push(layer(link));
            findings.extend(hooks(link));
        }
    }
    findings
}

fn missing(pattern: &InterfacePattern, links: &[Link]) -> Finding {
    let none = format!("{pattern}: there is no such interface yet");
    if !pattern.is_name() {
        return Finding::sound("interface", none);
    }
    let (detail, remedy) = match interface::real_name(&pattern.to_string(), links) {
        Some(name) => (
            format!("{pattern} is an alternative name of {name}"),
            format!("name it {name}: flowlog records its packets under this name"),
        ),
        None => (none, "correct the name (`ip link` lists them), or start with --wait".to_owned()),
    };
    Finding { at_fault: Fault::Configuration, ..Finding::failed("interface", detail, remedy) }
}

fn layer(link: &Link) -> Finding {
    match link.layer() {
        Ok(Layer::Ip) => {
            Finding::sound("interface", format!("{}: packets begin with IP", link.name))
        }
        Ok(Layer::Ethernet) => {
            Finding::sound("interface", format!("{}: packets begin with Ethernet", link.name))
        }
        Err(error) => Finding {
            at_fault: Fault::Configuration,
            ..Finding::failed("interface", error.to_string(), "name a VPN interface")
        },
    }
}

/// Who stands at the hooks of an interface, where somebody does.
fn hooks(link: &Link) -> Vec<Finding> {
    // Who may not ask is told so by the capabilities.
    let Ok(survey) = Survey::of(link) else { return vec![] };
    let directions = [(Direction::Up, "up"), (Direction::Down, "down")];
    let described = directions.map(|(direction, word)| {
        let said = describe(survey.hook(direction))?;
        Some(Finding::sound("hook", format!("{} {word}: {said}", link.name)))
    });
    described.into_iter().flatten().collect()
}

fn describe(hook: &Hook) -> Option<String> {
    let names = |standing: &[crate::capture::survey::Standing]| {
        standing.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
    };
    let Hook { before, ours, behind } = hook;
    match (before.is_empty(), ours.is_some(), behind.is_empty()) {
        (true, false, _) | (true, true, true) => None,
        (false, false, _) => Some(format!("other programs are there: {}", names(before))),
        (true, true, false) => Some(format!("flowlog is first; behind it: {}", names(behind))),
        (false, true, true) => Some(format!(
            "before flowlog: {}; flowlog counts packets that they let pass",
            names(before)
        )),
        (false, true, false) => Some(format!(
            "before flowlog: {}; flowlog counts packets that they let pass; behind it: {}",
            names(before),
            names(behind)
        )),
    }
}
