//! Names of what flowlog makes beside objects: locks, probes, and files that were being written when
//! their writer was killed.

use crate::record::gateway::GatewayName;

/// Names at the root beginning so are flowlog's own and no data: they are never listed.
pub(super) const OWN_PREFIX: &str = ".flowlog-";

/// Whether a path is that of a file that was being written.
pub(super) fn is_staged(path: &str) -> bool {
    owner(path).is_some()
}

/// The gateway that was writing a file, if that is what it is.
pub(super) fn owner(path: &str) -> Option<GatewayName> {
    let (path, number) = path.rsplit_once('#')?;
    if number.is_empty() || !number.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let gateway = if let Some(own) = path.strip_prefix(OWN_PREFIX) {
        own.strip_prefix("probe-")?
    } else {
        let (_, below) = path.split_once('/')?;
        let (folder, _) = below.split_once('/')?;
        folder.strip_prefix("gateway=")?
    };
    gateway.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_was_being_written_has_one_owner_by_its_path() {
        let owner = |path: &str| owner(path).map(String::from);
        let ours = Some("gw1".to_owned());
        assert_eq!(owner("flows/gateway=gw1/date=1970-01-01/hour=00/x.parquet#1"), ours);
        assert_eq!(owner(".flowlog-probe-gw1#12"), ours);
        assert_eq!(owner("flows/gateway=gw10/x#1"), Some("gw10".to_owned()));
        assert_eq!(owner(".flowlog-probe-gw10#1"), Some("gw10".to_owned()));
        for path in [
            "flows/gateway=gw1/x.parquet",
            "flows/gateway=gw1/notes#",
            "flows/gateway=gw1/notes#1a",
            "flows/notes#1",
            "notes#1",
            ".flowlog-gw1.lock",
            "flows/gateway=../x#1",
        ] {
            assert_eq!(owner(path), None, "{path}");
        }
    }
}
