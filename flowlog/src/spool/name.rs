//! Names of runs, which tell most of what is known of a run that cannot be read.

use std::path::Path;

use super::RUN;
use crate::record::clock::Utc;

/// What the name of a run tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RunName {
    /// The first of its epochs.
    pub first: u64,
    /// The last one.
    pub last: u64,
    /// When they were counted; not in names of version 1.
    pub times: Option<(Utc, Utc)>,
}

impl RunName {
    /// The name of a file.
    #[must_use]
    pub fn file_name(&self) -> String {
        let Self { first, last, times } = self;
        let times = times.map_or_else(String::new, |(opened, closed)| {
            format!("-{}-{}", opened.ms().max(0), closed.ms().max(0))
        });
        format!("{first:020}-{last:020}{times}.{RUN}")
    }

    /// Reads a name, whatever its extension is.
    #[must_use]
    pub fn parse(path: &Path) -> Option<Self> {
        let stem = path.file_stem()?.to_str()?;
        let numbers: Vec<u64> =
            stem.split('-').map(|part| part.parse().ok()).collect::<Option<_>>()?;
        let time = |ms: u64| i64::try_from(ms).ok().map(Utc::from_ms);
        let (first, last, times) = match numbers[..] {
            [first] => (first, first, None),
            [first, last] => (first, last, None),
            [first, last, opened, closed] => (first, last, time(opened).zip(time(closed))),
            _ => return None,
        };
        (first <= last).then_some(Self { first, last, times })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_tells_epochs_and_times_and_those_of_version_1_are_understood() {
        let times = Some((Utc::from_ms(5), Utc::from_ms(1_795_341_300_250)));
        let name = RunName { first: 7, last: 9, times };
        assert_eq!(RunName::parse(Path::new(&name.file_name())), Some(name));
        let old = RunName { first: 42, last: 42, times: None };
        assert_eq!(RunName::parse(Path::new("/a/00000000000000000042.run")), Some(old));
        for stranger in ["notes.run", "1-2-3.run", "2-1.run", "-1.run", ".run"] {
            assert_eq!(RunName::parse(Path::new(stranger)), None, "{stranger}");
        }
    }
}
