//! Takes keys out of a list that no object's path can be: one of them would hide the whole page.
//!
//! `aws s3 cp notes.txt s3://bucket/prefix//` makes a key with an empty part. `object_store` reads a
//! page as a whole and fails at such a key, so it is taken out of the answer before.

use async_trait::async_trait;
use object_store::{
    ClientOptions,
    client::{
        HttpClient, HttpConnector, HttpError, HttpRequest, HttpResponse, HttpService,
        ReqwestConnector,
    },
    path::Path,
};
use quick_xml::{Reader, de, events::Event};
use serde::Deserialize;

use crate::store::{Oddity, listing::escape};

/// Connects as usual, and sieves the lists.
#[derive(Clone, Copy, Debug)]
pub(super) struct Connector;

impl HttpConnector for Connector {
    fn connect(&self, options: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(HttpClient::new(Sieve(ReqwestConnector::default().connect(options)?)))
    }
}

/// What was taken out of a page; it goes along with its answer.
#[derive(Clone, Debug)]
pub(super) struct Oddities(pub(super) Vec<Oddity>);

#[derive(Debug)]
struct Sieve(HttpClient);

#[async_trait]
impl HttpService for Sieve {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let is_list = is_list(&request);
        let response = self.0.execute(request).await?;
        if !is_list || !response.status().is_success() {
            return Ok(response);
        }
        let (mut parts, body) = response.into_parts();
        let body = body.bytes().await?;
        Ok(match sieve(&body) {
            Some((sound, oddities)) => {
                parts.extensions.insert(Oddities(oddities));
                HttpResponse::from_parts(parts, sound.into())
            }
            None => HttpResponse::from_parts(parts, body.into()),
        })
    }
}

/// Whether a request asks for a page of a list: of S3 or Google, or of Azure.
fn is_list(request: &HttpRequest) -> bool {
    let mut pairs = request.uri().query().unwrap_or_default().split('&');
    request.method().as_str() == "GET"
        && pairs.any(|pair| pair == "list-type=2" || pair == "comp=list")
}

/// An object or a folder of a page.
#[derive(Deserialize)]
struct Item {
    #[serde(alias = "Key", alias = "Name", alias = "Prefix")]
    key: String,
    #[serde(rename = "Size", default)]
    size: Option<u64>,
}

/// A page without what is odd, and that; nothing where nothing is odd, or where it is no page: whoever
/// reads it next says why.
fn sieve(page: &[u8]) -> Option<(String, Vec<Oddity>)> {
    let page = std::str::from_utf8(page).ok()?;
    let mut reader = Reader::from_str(page);
    let (mut sound, mut oddities) = (String::new(), vec![]);
    let mut kept = 0;
    loop {
        let start = usize::try_from(reader.buffer_position()).ok()?;
        match reader.read_event().ok()? {
            Event::Eof => break,
            Event::Start(element) if is_item(element.local_name().as_ref()) => {
                let end = element.to_end().into_owned();
                reader.read_to_end(end.name()).ok()?;
                let after = usize::try_from(reader.buffer_position()).ok()?;
                let item: Item = de::from_str(page.get(start..after)?).ok()?;
                let is_folder =
                    matches!(end.local_name().as_ref(), b"CommonPrefixes" | b"BlobPrefix");
                let Some(reason) = odd(&item, is_folder) else { continue };
                sound.push_str(page.get(kept..start)?);
                kept = after;
                if !is_marker(&item) {
                    oddities.push(Oddity { path: escape(&item.key), reason: reason.to_owned() });
                }
            }
            _ => {}
        }
    }
    if kept == 0 {
        return None;
    }
    sound.push_str(page.get(kept..)?);
    Some((sound, oddities))
}

fn is_item(name: &[u8]) -> bool {
    matches!(name, b"Contents" | b"CommonPrefixes" | b"Blob" | b"BlobPrefix")
}

/// Why a key is no object's path.
fn odd(item: &Item, is_folder: bool) -> Option<&'static str> {
    let key = if is_folder { item.key.strip_suffix('/').unwrap_or(&item.key) } else { &item.key };
    match Path::parse(key) {
        Ok(path) if path.as_ref() == key => None,
        // Asked for by its path, another object would answer.
        Ok(_) => Some("its key begins or ends with '/'"),
        Err(object_store::path::Error::EmptySegment { .. }) => {
            Some("its key has an empty part: two '/' in a row")
        }
        Err(_) => Some("its key has characters that no object of flowlog has"),
    }
}

/// Whether an object is empty and stands for a folder: consoles make such.
fn is_marker(item: &Item) -> bool {
    let folder = item.key.strip_suffix('/');
    item.size == Some(0) && folder.is_some_and(|folder| Path::parse(folder).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(keys: &[&str]) -> String {
        let contents = keys.iter().map(|key| {
            format!("<Contents><Key>{key}</Key><Size>5</Size><ETag>\"x\"</ETag></Contents>")
        });
        format!(
            "<?xml version=\"1.0\"?><ListBucketResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">\
             <IsTruncated>true</IsTruncated>{}<NextContinuationToken>a&amp;b</NextContinuationToken>\
             </ListBucketResult>",
            contents.collect::<String>()
        )
    }

    #[test]
    fn a_page_of_sound_keys_stays_as_it_is() {
        assert!(sieve(page(&[]).as_bytes()).is_none());
        assert!(sieve(page(&["flows/a", "p/b c&amp;d%20"]).as_bytes()).is_none());
        assert!(sieve(b"no XML at all").is_none());
        assert!(sieve(b"<ListBucketResult><Contents><Key>p//x</Key>").is_none());
    }

    #[test]
    fn odd_keys_are_taken_out_and_named_and_the_rest_stays() {
        let keys = ["a", "p//x", "b", "/flows/c", "d\ne", "f/", "g/../h", "i"];
        let (sound, odd) = sieve(page(&keys).as_bytes()).unwrap();
        assert_eq!(sound, page(&["a", "b", "i"]));
        let named: Vec<_> = odd.iter().map(|oddity| oddity.path.as_str()).collect();
        assert_eq!(named, ["p//x", "/flows/c", "d\\ne", "f/", "g/../h"]);
    }

    #[test]
    fn folders_end_with_a_slash_and_markers_of_consoles_are_nothing() {
        let folders = "<R><CommonPrefixes><Prefix>flows/gateway=a/</Prefix></CommonPrefixes>\
            <CommonPrefixes><Prefix>flows//</Prefix></CommonPrefixes></R>";
        let (sound, odd) = sieve(folders.as_bytes()).unwrap();
        assert_eq!(sound.matches("<Prefix>").count(), 1);
        assert_eq!(odd.len(), 1);
        let marker = page(&["flows/"]).replace("<Size>5", "<Size>0");
        let (sound, odd) = sieve(marker.as_bytes()).unwrap();
        assert_eq!((sound, odd), (page(&[]), vec![]));
    }

    #[test]
    fn azure_lists_blobs() {
        let blob = |name: &str| format!("<Blob><Name>{name}</Name><Properties/></Blob>");
        let page = format!("<E><Blobs>{}{}</Blobs></E>", blob("a"), blob("p//x"));
        let (sound, odd) = sieve(page.as_bytes()).unwrap();
        assert_eq!(sound, format!("<E><Blobs>{}</Blobs></E>", blob("a")));
        assert_eq!(odd.len(), 1);
    }
}
