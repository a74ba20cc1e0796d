//! Locations of stores as they may be shown.

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
        }
    }
}
