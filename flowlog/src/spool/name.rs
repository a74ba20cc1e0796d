//! Names of runs, which tell most of what is known of a run that cannot be read.

use std::path::Path;

use super::RUN;
use crate::record::clock::Utc;

/// The greatest number that a name is believed to have: counting goes on behind it, and must not come to an end.
const GREATEST: u64 = 1 << 62;

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
        (first <= last && last <= GREATEST).then_some(Self { first, last, times })
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

    #[test]
    fn numbers_behind_which_nothing_can_be_counted_are_no_name_of_ours() {
        let name = |number: u64| RunName { first: 1, last: number, times: None };
        for number in [0, GREATEST + 1, u64::MAX - 1, u64::MAX] {
            let path = name(number).file_name();
            assert_eq!(RunName::parse(Path::new(&path)), None, "{path}");
        }
        let greatest = name(GREATEST);
        assert_eq!(RunName::parse(Path::new(&greatest.file_name())), Some(greatest));
        for text in ["1-99999999999999999999.run", "1-1-99999999999999999999-1.run"] {
            assert_eq!(RunName::parse(Path::new(text)), None, "{text}");
        }
        let times = RunName::parse(Path::new("1-1-18446744073709551615-18446744073709551615.run"));
        assert_eq!(times, Some(RunName { first: 1, last: 1, times: None }));
    }
}
