//! Object stores by URL, with limits on how long they may take.

mod list;
mod put;
mod ranges;
#[cfg(feature = "cloud")]
mod sieve;

use std::sync::Arc;
#[cfg(feature = "cloud")]
use std::time::Duration;

use object_store::{
    ObjectStore, ObjectStoreScheme, list::PaginatedListStore, path::Path, prefix::PrefixStore,
};
use url::Url;

/// How long a connection may take to be made.
#[cfg(feature = "cloud")]
const CONNECT: Duration = Duration::from_secs(5);
/// How long a request may take, with all that it carries: a part of 8 MiB at 1.2 Mbit/s.
#[cfg(feature = "cloud")]
const REQUEST: Duration = Duration::from_mins(1);
/// How often `object_store` repeats a request by itself. It does so with the same signature; whoever
/// called tries again with a new one.
#[cfg(feature = "cloud")]
const REPEATS: usize = 2;
/// After how long it repeats no more.
#[cfg(feature = "cloud")]
const REPEATING: Duration = Duration::from_secs(30);

/// An object store.
#[derive(Clone)]
pub(super) struct Cloud {
    /// Its objects, without the path of the URL.
    objects: Arc<PrefixStore<Arc<dyn ObjectStore>>>,
    /// Its lists, page by page, with that path.
    pages: Pages,
    /// The path of the URL.
    prefix: Path,
}

#[derive(Clone)]
struct Pages(Arc<dyn PaginatedListStore>);

impl std::fmt::Debug for Cloud {
    /// Leaves out the objects, which would print the keys that open them.
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { objects: _, pages: _, prefix } = self;
        formatter.debug_struct("Cloud").field("prefix", prefix).finish_non_exhaustive()
    }
}

/// Why a URL is no store.
#[derive(Debug, thiserror::Error)]
pub(super) enum Refused {
    /// `object_store` says why.
    #[error(transparent)]
    Store(#[from] object_store::Error),
    /// It is an address of something else.
    #[error("{scheme}:// is not supported; supported are a directory, file://{}", supported())]
    Scheme { scheme: String },
}

fn supported() -> String {
    let clouds = [
        (cfg!(feature = "aws"), "s3://"),
        (cfg!(feature = "gcp"), "gs://"),
        (cfg!(feature = "azure"), "az://"),
    ];
    clouds.iter().filter(|(is_built, _)| *is_built).flat_map(|(_, url)| [", ", url]).collect()
}

/// Configures the store of a URL by the variables of its cloud.
#[cfg(feature = "cloud")]
macro_rules! build {
    ($builder:expr, $url:expr, $options:expr, $variables:expr, $is_own:expr) => {{
        let mut builder = $builder
            .with_retry(object_store::RetryConfig {
                max_retries: REPEATS,
                retry_timeout: REPEATING,
                ..object_store::RetryConfig::default()
            })
            .with_http_connector(sieve::Connector)
            .with_client_options($options.with_connect_timeout(CONNECT).with_timeout(REQUEST));
        for (name, value) in $variables {
            let is_own: fn(&str) -> bool = $is_own;
            if is_own(&name)
                && let Ok(key) = name.to_ascii_lowercase().parse()
            {
                builder = builder.with_config(key, value);
            }
        }
        let store = Arc::new(builder.with_url($url.as_str()).build()?);
        (Arc::clone(&store) as Arc<dyn ObjectStore>, Pages(store))
    }};
}

impl Cloud {
    /// A store of any kind of objects.
    #[cfg(all(test, feature = "capture"))]
    pub(super) fn of<S: ObjectStore + PaginatedListStore>(objects: Arc<S>) -> Self {
        let pages = Pages(Arc::clone(&objects) as Arc<dyn PaginatedListStore>);
        let objects: Arc<dyn ObjectStore> = objects;
        let prefix = Path::default();
        Self { objects: Arc::new(PrefixStore::new(objects, prefix.clone())), pages, prefix }
    }

    /// The store of a URL. A variable counts for the cloud whose name it begins with: `object_store`
    /// alone would also take a `BUCKET` or a `TOKEN` that is somebody else's.
    #[cfg_attr(
        not(feature = "cloud"),
        expect(unused_variables, unreachable_code, reason = "no cloud is known")
    )]
    pub(super) fn connect(
        url: &Url,
        variables: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self, Refused> {
        let scheme = || Refused::Scheme { scheme: url.scheme().to_owned() };
        let (found, prefix) = match ObjectStoreScheme::parse(url) {
            Ok(parsed) => parsed,
            // A URL of a cloud, and not a whole one.
            Err(error) if CLOUDS.contains(&url.scheme()) => {
                return Err(object_store::Error::from(error).into());
            }
            Err(_) => return Err(scheme()),
        };
        let (objects, pages) = match found {
            #[cfg(feature = "aws")]
            ObjectStoreScheme::AmazonS3 => build!(
                // Not every server can delete several objects at once.
                object_store::aws::AmazonS3Builder::new().with_disable_bulk_delete(true),
                url,
                object_store::ClientOptions::new(),
                variables,
                |name| name.starts_with("AWS_")
            ),
            #[cfg(feature = "azure")]
            ObjectStoreScheme::MicrosoftAzure => build!(
                object_store::azure::MicrosoftAzureBuilder::new(),
                url,
                object_store::ClientOptions::new(),
                variables,
                |name| name.starts_with("AZURE_") || name == "IDENTITY_ENDPOINT"
            ),
            #[cfg(feature = "gcp")]
            ObjectStoreScheme::GoogleCloudStorage => build!(
                object_store::gcp::GoogleCloudStorageBuilder::new(),
                url,
                // As its own default; its metadata service has no TLS.
                object_store::ClientOptions::new().with_allow_http(true),
                variables,
                |name| name.starts_with("GOOGLE_") || name == "SERVICE_ACCOUNT"
            ),
            _ => {
                drop(variables);
                return Err(scheme());
            }
        };
        let prefixed = PrefixStore::new(Arc::clone(&objects), prefix.clone());
        Ok(Self { objects: Arc::new(prefixed), pages, prefix })
    }
}

/// Beginnings of the URLs of clouds.
const CLOUDS: [&str; 9] = ["s3", "s3a", "gs", "az", "adl", "azure", "abfs", "abfss", "https"];
