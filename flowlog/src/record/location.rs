//! The location of a store as it is configured, which somebody may have written a password into.

use std::fmt;

use serde::{Deserialize, Serialize as _, Serializer};

/// Where a store is: a directory, or a URL. It is printed without what opens the store.
///
/// It is read from a file as any text. There is no `Serialize` for it: whoever writes a file in which the
/// location is to stay whole names [`location_in_clear`] or [`locations_in_clear`].
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Deserialize)]
#[serde(transparent)]
pub struct Location(String);

impl Location {
    /// The location itself, for opening the store.
    #[must_use]
    pub fn in_clear(&self) -> &str {
        &self.0
    }
}

impl From<String> for Location {
    fn from(location: String) -> Self {
        Self(location)
    }
}

impl From<&str> for Location {
    fn from(location: &str) -> Self {
        Self(location.to_owned())
    }
}

impl fmt::Display for Location {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&without_credentials(&self.0))
    }
}

impl fmt::Debug for Location {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&without_credentials(&self.0), formatter)
    }
}

/// Writes a location into a file of flowlog's own, as it opens the store.
pub fn location_in_clear<S: Serializer>(
    location: &Option<Location>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    location.as_ref().map(Location::in_clear).serialize(serializer)
}

/// Writes locations into a file of flowlog's own, as they open the stores.
pub fn locations_in_clear<S: Serializer>(
    locations: &[Location],
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(locations.iter().map(Location::in_clear))
}

/// A URL without the name, the password and the signature that somebody may have written into it.
#[must_use]
pub fn without_credentials(location: &str) -> String {
    let Some((scheme, rest)) = location.split_once("://") else { return location.to_owned() };
    let rest = rest.split(['?', '#']).next().unwrap_or_default();
    let (host, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let host = match host.rsplit_once('@') {
        Some((_, host)) => host,
        // A password with a slash in it.
        None if is_like_a_password(host) => return format!("{scheme}://(withheld)"),
        None => host,
    };
    format!("{scheme}://{host}{path}")
}

/// Whether a colon is followed by anything but the number of a port.
fn is_like_a_password(host: &str) -> bool {
    let port = host.rsplit_once(':').map_or("", |(_, port)| port);
    !host.ends_with(']') && port.chars().any(|c| !c.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_opens_a_store_is_shown() {
        for (location, shown) in [
            ("/var/lib/a?b@c", "/var/lib/a?b@c"),
            ("s3://me:secret@bucket/prefix", "s3://bucket/prefix"),
            ("s3://me:secret@bucket", "s3://bucket"),
            ("s3://me:sec/ret@bucket/prefix", "s3://(withheld)"),
            ("file://[::1]/a", "file://[::1]/a"),
            ("s3://bucket:9000/a", "s3://bucket:9000/a"),
            ("az://box/a@b?sig=secret", "az://box/a@b"),
            ("gs://bucket/a#secret", "gs://bucket/a"),
        ] {
            assert_eq!(without_credentials(location), shown);
            assert_eq!(Location::from(location).to_string(), shown);
            assert_eq!(format!("{:?}", Location::from(location)), format!("{shown:?}"));
        }
    }
}
