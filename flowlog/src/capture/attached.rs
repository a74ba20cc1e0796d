//! Which interfaces are counted, which are refused, and which are not there.

use super::Capture;
use crate::record::pattern::InterfacePattern;

/// The interfaces that are to be counted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Attached {
    /// Names of those to which the program is attached.
    pub names: Vec<String>,
    /// Names of those to which it cannot be attached, and why.
    pub refused: Vec<(String, String)>,
    /// Patterns of which there is no interface.
    pub unmatched: Vec<InterfacePattern>,
}

impl Capture {
    /// The interfaces that match, as they were found by the last scan.
    #[must_use]
    pub fn attached(&self, patterns: &[InterfacePattern]) -> Attached {
        let is_unmatched =
            |pattern: &&InterfacePattern| !self.is_attached(pattern) && !self.is_refused(pattern);
        Attached {
            names: self.attached.values().map(|counted| counted.link.name.clone()).collect(),
            refused: self.refused.reasons(),
            unmatched: patterns.iter().filter(is_unmatched).cloned().collect(),
        }
    }

    /// Whether an interface that matches is attached.
    #[must_use]
    pub fn is_attached(&self, pattern: &InterfacePattern) -> bool {
        self.attached.values().any(|counted| pattern.matches(&counted.link.name))
    }

    /// Whether there is an interface that matches and cannot be counted.
    #[must_use]
    pub fn is_refused(&self, pattern: &InterfacePattern) -> bool {
        self.refused.has(pattern)
    }
}
