//! Servers that lack something, and lists that are not as they should be.

use bytes::Bytes;
use flowlog::store::{Error, Kind, Store};
use flowlog_tests::stores::{Backend, Fault, FaultProxy, path};

/// A faulty way to a store, and the server behind it.
struct Rig {
    proxy: FaultProxy,
    moto: Backend,
}

impl Rig {
    async fn new() -> Self {
        let moto = Backend::moto();
        Self { proxy: FaultProxy::start(moto.address.unwrap()).await, moto }
    }

    fn store(&self) -> Store {
        self.moto.open_with(&[("AWS_ENDPOINT_URL", &self.proxy.url())])
    }

    /// Puts a page in the place of every list.
    fn list(&self, keys: &[&str], next: Option<&str>) {
        self.proxy.inject("list-type=2", 0, usize::MAX, Fault::Body(page(keys, next)));
    }
}

fn page(keys: &[&str], next: Option<&str>) -> String {
    let contents = keys.iter().map(|key| {
        format!(
            "<Contents><Key>{key}</Key><LastModified>2020-01-01T00:00:00.000Z</LastModified>\
             <ETag>\"x\"</ETag><Size>5</Size></Contents>"
        )
    });
    let next = next.map(|token| format!("<NextContinuationToken>{token}</NextContinuationToken>"));
    format!(
        "<?xml version=\"1.0\"?><ListBucketResult><IsTruncated>{}</IsTruncated>{}{}\
         </ListBucketResult>",
        next.is_some(),
        contents.collect::<String>(),
        next.unwrap_or_default()
    )
}

#[tokio::test]
async fn a_server_that_deletes_one_object_at_a_time_is_enough() {
    let rig = Rig::new().await;
    rig.proxy.inject("?delete", 0, usize::MAX, Fault::Answer(501, "NotImplemented"));
    let store = rig.store();
    store.probe("gw-1").await.unwrap();
    let file = Bytes::from_static(b"file");
    store.replace(&path("gw-1", 0), &file).await.unwrap();
    store.delete(&path("gw-1", 0)).await.unwrap();
    assert!(store.list().await.unwrap().is_empty());
    assert!(rig.proxy.lines().iter().any(|line| line.starts_with("DELETE ")));
}

#[tokio::test]
async fn a_server_without_conditional_puts_is_named_with_the_remedy() {
    let rig = Rig::new().await;
    // The first put of a probe has no condition.
    rig.proxy.inject("PUT", 1, usize::MAX, Fault::Answer(501, "NotImplemented"));
    let error = rig.store().probe("gw-1").await.unwrap_err();
    assert!(matches!(error, Error::NotConditional { .. }), "{error:?}");
    assert_eq!(error.kind(), Kind::Setup);
    assert!(error.to_string().contains("If-None-Match"), "{error}");
    assert!(error.remedy().unwrap().contains("conditional puts"));
    assert!(!error.is_passing());
    // It also shows without a put.
    let error = rig.store().examine("gw-1", &flowlog::table::folders()).await.unwrap_err();
    assert!(matches!(error, Error::NotConditional { .. }), "{error:?}");
}

#[tokio::test]
async fn a_store_is_examined_without_putting_anything() {
    for backend in [Backend::moto(), Backend::azurite(), Backend::seaweedfs()] {
        let store = backend.open();
        store.examine("gw-1", &flowlog::table::folders()).await.unwrap();
        assert_eq!(store.list().await.unwrap(), []);
    }
    let rig = Rig::new().await;
    rig.proxy.inject("PUT", 0, usize::MAX, Fault::Without("if-match"));
    let careless = rig.store().examine("gw-1", &flowlog::table::folders()).await.unwrap_err();
    assert!(matches!(careless, Error::Unconditional), "{careless:?}");
    assert_eq!(rig.store().list().await.unwrap(), []);
}

#[tokio::test]
async fn a_key_that_no_object_has_hides_no_other() {
    let rig = Rig::new().await;
    let sound = ["a", "b"].map(|gateway| path(gateway, 0));
    let keys = sound.each_ref().map(|object| format!("store/{object}"));
    let odd = ["store//notes.txt", "store/flows//x", "store/flows/../x", "store/flows/x/"];
    let listed = [&[keys[0].as_str()][..], &odd[..], &[keys[1].as_str()][..]].concat();
    rig.list(&listed, None);
    let listing = rig.store().survey().await.unwrap();
    let objects: Vec<_> = listing.objects.iter().map(|object| object.location.clone()).collect();
    assert_eq!(objects, sound);
    let mut named: Vec<_> = listing.oddities.iter().map(|oddity| oddity.path.as_str()).collect();
    named.sort_unstable_by_key(|path| odd.iter().position(|odd| odd == path));
    assert_eq!(named, odd);
}

#[tokio::test]
async fn a_list_that_begins_again_and_again_is_given_up() {
    let key = format!("store/{}", path("gw-1", 0));
    for keys in [&[key.as_str()][..], &[]] {
        let rig = Rig::new().await;
        rig.list(keys, Some("again"));
        let error = rig.store().survey().await.unwrap_err();
        assert!(matches!(error, Error::Endless), "{error:?}");
        assert!(error.remedy().is_some());
        assert!(rig.proxy.lines().len() < 5, "{}", rig.proxy.lines().len());
    }
}

#[tokio::test]
async fn one_gateway_is_listed_by_itself() {
    let moto = Backend::moto();
    let store = moto.open();
    for gateway in ["gw-1", "gw-10", "gw-2"] {
        store.replace(&path(gateway, 0), &Bytes::from_static(b"file")).await.unwrap();
    }
    let names = store.gateways(&flowlog::table::folders()).await.unwrap();
    assert_eq!(names, ["gw-1", "gw-10", "gw-2"]);
    let listing = store.list_folder(&format!("flows/gateway={}", names[0])).await.unwrap();
    let objects: Vec<_> = listing.objects.into_iter().map(|object| object.location).collect();
    assert_eq!(objects, [path("gw-1", 0)]);
}
