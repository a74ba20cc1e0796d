//! How DuckDB reaches a store.

use std::collections::BTreeMap;

use url::{Host, Position, Url};

/// What DuckDB must load before it can read from a store, and where it finds keys: in the same places
/// as flowlog. None of them is printed.
pub(super) fn statements(
    store: &Url,
    variables: impl IntoIterator<Item = (String, String)>,
) -> String {
    match store.scheme() {
        "file" => String::new(),
        "az" | "azure" | "abfs" | "abfss" | "adl" => {
            "INSTALL azure; LOAD azure;\nCREATE OR REPLACE SECRET flowlog (TYPE azure, PROVIDER credential_chain);\n".to_owned()
        }
        "gs" => {
            "INSTALL httpfs; LOAD httpfs;\n-- Google asks for an HMAC key: CREATE SECRET (TYPE gcs, KEY_ID '…', SECRET '…');\n".to_owned()
        }
        _ => format!(
            "INSTALL httpfs; LOAD httpfs; INSTALL aws; LOAD aws;\n\
             CREATE OR REPLACE SECRET flowlog (TYPE s3, PROVIDER credential_chain{});\n",
            s3(variables)
        ),
    }
}

/// Region and endpoint of S3, as options of a secret.
fn s3(variables: impl IntoIterator<Item = (String, String)>) -> String {
    let variables: BTreeMap<String, String> = variables.into_iter().collect();
    let first = |names: &[&str]| {
        names.iter().find_map(|name| variables.get(*name).filter(|value| !value.is_empty()))
    };
    let mut options = vec![];
    if let Some(region) = first(&["AWS_REGION", "AWS_DEFAULT_REGION"]) {
        options.push(("REGION", text(region)));
    }
    let endpoint = first(&["AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT"]);
    if let Some(endpoint) = endpoint.and_then(|endpoint| Url::parse(endpoint).ok())
        && let Some(host) = endpoint.host()
    {
        options.push(("ENDPOINT", text(&address(&endpoint, &host))));
        options.push(("USE_SSL", (endpoint.scheme() == "https").to_string()));
        let is_virtual = first(&["AWS_VIRTUAL_HOSTED_STYLE_REQUEST"])
            .is_some_and(|value| ["1", "true", "on", "yes"].contains(&&*value.to_lowercase()));
        options.push(("URL_STYLE", text(if is_virtual { "vhost" } else { "path" })));
    }
    options.iter().fold(String::new(), |sql, (name, value)| sql + ", " + name + " " + value)
}

/// Host, port and path: whoever writes a key into a URL does not find it here.
fn address(endpoint: &Url, host: &Host<&str>) -> String {
    let port = endpoint.port().map(|port| format!(":{port}")).unwrap_or_default();
    format!("{host}{port}{}", endpoint.path().trim_end_matches('/'))
}

fn text(value: &str) -> String {
    format!("'{}'", value.replace('\'', "''"))
}

/// A store in a pattern of DuckDB, which takes each of its characters for itself.
pub(super) fn base(store: &Url) -> String {
    let path = match store.to_file_path() {
        Ok(path) if store.scheme() == "file" => return escaped(&path.to_string_lossy()),
        _ => store.path(),
    };
    let path = percent_decoded(path);
    format!("{}{}", &store[..Position::BeforePath], escaped(&path))
}

fn escaped(path: &str) -> String {
    let escape = |character: char| match character {
        '*' | '?' | '[' => format!("[{character}]"),
        // DuckDB takes it for a separator: all that it has for it is a range of characters around it.
        '\\' => "[Z-^]".to_owned(),
        other => other.to_string(),
    };
    path.chars().map(escape).collect()
}

fn percent_decoded(path: &str) -> String {
    let mut bytes = vec![];
    let mut rest = path.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let digits = after.get(..2).and_then(|digits| std::str::from_utf8(digits).ok());
        let escaped = digits
            .filter(|_| *first == b'%')
            .and_then(|digits| u8::from_str_radix(digits, 16).ok());
        bytes.push(escaped.unwrap_or(*first));
        rest = if escaped.is_some() { after.get(2..).unwrap_or_default() } else { after };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(store: &str, variables: &[(&str, &str)]) -> String {
        let variables = variables.iter().map(|(name, value)| ((*name).into(), (*value).into()));
        statements(&Url::parse(store).unwrap(), variables)
    }

    #[test]
    fn an_endpoint_is_named_with_its_style_and_without_its_keys() {
        let sql = of(
            "s3://bucket/prefix",
            &[
                ("AWS_ENDPOINT_URL", "http://user:hush@127.0.0.1:5000/"),
                ("AWS_REGION", "eu-west-1"),
                ("AWS_SECRET_ACCESS_KEY", "hush"),
            ],
        );
        assert!(
            sql.ends_with(
                "credential_chain, REGION 'eu-west-1', ENDPOINT '127.0.0.1:5000', USE_SSL false, \
                 URL_STYLE 'path');\n"
            ),
            "{sql}"
        );
        assert!(!sql.contains("hush") && !sql.contains("user"), "{sql}");
    }

    #[test]
    fn without_an_endpoint_duckdb_finds_amazon_by_itself() {
        assert!(of("s3://bucket/prefix", &[]).ends_with("PROVIDER credential_chain);\n"));
        assert_eq!(of("file:///store", &[("AWS_ENDPOINT_URL", "http://a")]), "");
    }

    #[test]
    fn a_path_stands_for_itself_alone() {
        let base = |url: &str| base(&Url::parse(url).unwrap());
        assert_eq!(base("file:///a%5Bb%5D/*x%3F%5C'"), r"/a[[]b]/[*]x[?][Z-^]'");
        assert_eq!(base("s3://bucket/a%20b/"), "s3://bucket/a b/");
    }
}
