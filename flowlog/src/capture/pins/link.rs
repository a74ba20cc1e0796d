//! Pins of TCX links.

use std::path::{Path, PathBuf};

use flowlog_common::flow::Direction;

use super::names;
use crate::capture::error::Error;

pub(super) const LINK: &str = "link-";
const UNFINISHED: &str = "next-link-";

/// The pin of a TCX link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::capture) struct LinkPin {
    pub(in crate::capture) kernel_index: u32,
    pub(in crate::capture) direction: Direction,
    pub(in crate::capture) path: PathBuf,
}

impl LinkPin {
    pub(in crate::capture) fn new(folder: &Path, kernel_index: u32, direction: Direction) -> Self {
        let path = folder.join(format!("{LINK}{kernel_index}-{}", word(direction)));
        Self { kernel_index, direction, path }
    }

    /// The name of a link that is about to take the place of another.
    pub(in crate::capture) fn unfinished(
        folder: &Path,
        kernel_index: u32,
        direction: Direction,
    ) -> PathBuf {
        folder.join(format!("{UNFINISHED}{kernel_index}-{}", word(direction)))
    }

    /// Links that did not come to take the place of others: whoever was to do it did not live to.
    pub(in crate::capture) fn list_unfinished(folder: &Path) -> Result<Vec<PathBuf>, Error> {
        let names = names(folder)?.into_iter().filter(|name| name.starts_with(UNFINISHED));
        Ok(names.map(|name| folder.join(name)).collect())
    }

    /// Those in the directory of a layout. Their names are the same in every layout.
    pub(in crate::capture) fn list(folder: &Path) -> Result<Vec<Self>, Error> {
        let names = names(folder)?;
        Ok(names.iter().filter_map(|name| Self::parse(folder, name)).collect())
    }

    fn parse(folder: &Path, name: &str) -> Option<Self> {
        let (kernel_index, way) = name.strip_prefix(LINK)?.split_once('-')?;
        let direction = Direction::ALL.into_iter().find(|direction| word(*direction) == way)?;
        Some(Self::new(folder, kernel_index.parse().ok()?, direction))
    }
}

pub(in crate::capture) const fn word(direction: Direction) -> &'static str {
    match direction {
        Direction::Up => "up",
        Direction::Down => "down",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_a_link_says_where_it_is_attached() {
        let folder = Path::new("/v1");
        for direction in Direction::ALL {
            let pin = LinkPin::new(folder, 7, direction);
            let name = pin.path.file_name().unwrap().to_str().unwrap();
            assert_eq!(LinkPin::parse(folder, name), Some(pin.clone()));
        }
        for name in ["link-7", "link--up", "link-7-left", "CONTROL"] {
            assert_eq!(LinkPin::parse(folder, name), None, "{name}");
        }
    }
}
