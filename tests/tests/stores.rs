//! One list for every store, on real servers, and publishing through every fault of one.

#[path = "stores/faults.rs"]
mod faults;
#[path = "stores/isolated.rs"]
mod isolated;
#[path = "stores/local.rs"]
mod local;
#[path = "stores/odd.rs"]
mod odd;
#[path = "stores/servers.rs"]
mod servers;

use bytes::Bytes;
use flowlog::store::{Kind, Store};
use flowlog_tests::stores::{AZURITE_EXPIRED_TOKEN, Backend, conforms, path};

#[tokio::test]
async fn a_directory_conforms() {
    conforms(&Backend::directory()).await;
}

#[tokio::test]
async fn a_directory_that_another_process_uses_conforms() {
    conforms(&Backend::isolated_directory()).await;
}

#[tokio::test]
async fn s3_by_moto_conforms_and_a_bucket_that_is_missing_is_named() {
    let moto = Backend::moto();
    conforms(&moto).await;
    let elsewhere = Store::open_with("s3://elsewhere", moto.variables.clone()).unwrap();
    assert_eq!(refusals(&elsewhere).await, [Kind::NoBucket; 2]);
}

#[tokio::test]
async fn s3_by_seaweedfs_conforms_and_keys_that_are_wrong_are_named() {
    let seaweedfs = Backend::seaweedfs();
    conforms(&seaweedfs).await;
    let stranger = seaweedfs.open_with(&[("AWS_SECRET_ACCESS_KEY", "another")]);
    assert_eq!(refusals(&stranger).await, [Kind::Denied; 2]);
}

#[tokio::test]
async fn azure_by_azurite_conforms_and_a_token_that_expired_is_refused() {
    let azurite = Backend::azurite();
    conforms(&azurite).await;
    let mut variables = azurite.variables.clone();
    variables.retain(|(name, _)| name != "AZURE_STORAGE_ACCOUNT_KEY");
    variables.push(("AZURE_STORAGE_SAS_TOKEN".to_owned(), AZURITE_EXPIRED_TOKEN.to_owned()));
    let late = Store::open_with(&azurite.location, variables).unwrap();
    // Azure itself says why; Azurite does not.
    assert_eq!(refusals(&late).await, [Kind::Denied; 2]);
    let elsewhere = Store::open_with("az://elsewhere", azurite.variables.clone()).unwrap();
    assert_eq!(refusals(&elsewhere).await, [Kind::NoBucket; 2]);
}

/// Why nothing can be put, and nothing listed.
async fn refusals(store: &Store) -> [Kind; 2] {
    let file = Bytes::from_static(b"refused");
    let put = store.create_object(&path("refused", 0), &file).await.unwrap_err();
    let list = store.list().await.unwrap_err();
    assert!(!put.is_passing() && put.remedy().is_some(), "{put:?}");
    [put.kind(), list.kind()]
}
