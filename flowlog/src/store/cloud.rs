//! Object stores by URL, with limits on how long they may take.

use std::time::Duration;

use object_store::{ObjectStore, ObjectStoreScheme, path::Path};
use url::Url;

/// How long a connection may take to be made.
const CONNECT: Duration = Duration::from_secs(5);
/// How long a request may take, with all that it carries: a part of 8 MiB at 1.2 Mbit/s.
const REQUEST: Duration = Duration::from_mins(1);
/// How often `object_store` repeats a request by itself. It does so with the same signature; whoever
/// called tries again with a new one.
const REPEATS: usize = 2;
/// After how long it repeats no more.
const REPEATING: Duration = Duration::from_secs(30);

/// Configures the store of a URL by the variables of its cloud.
macro_rules! build {
    ($builder:ty, $url:expr, $options:expr, $variables:expr, $is_own:expr) => {{
        let mut builder = <$builder>::new()
            .with_retry(object_store::RetryConfig {
                max_retries: REPEATS,
                retry_timeout: REPEATING,
                ..object_store::RetryConfig::default()
            })
            .with_client_options($options.with_connect_timeout(CONNECT).with_timeout(REQUEST));
        for (name, value) in $variables {
            let is_own: fn(&str) -> bool = $is_own;
            if is_own(&name)
                && let Ok(key) = name.to_ascii_lowercase().parse()
            {
                builder = builder.with_config(key, value);
            }
        }
        Box::new(builder.with_url($url.as_str()).build()?) as Box<dyn ObjectStore>
    }};
}

/// The store of a URL and the path in it. A variable counts for the cloud whose name it begins
/// with: `object_store` alone would also take a `BUCKET` or a `TOKEN` that is somebody else's.
pub(super) fn connect(
    url: &Url,
    variables: impl IntoIterator<Item = (String, String)>,
) -> object_store::Result<(Box<dyn ObjectStore>, Path)> {
    let (scheme, path) = ObjectStoreScheme::parse(url)?;
    let store = match scheme {
        #[cfg(feature = "aws")]
        ObjectStoreScheme::AmazonS3 => build!(
            object_store::aws::AmazonS3Builder,
            url,
            object_store::ClientOptions::new(),
            variables,
            |name| name.starts_with("AWS_")
        ),
        #[cfg(feature = "azure")]
        ObjectStoreScheme::MicrosoftAzure => build!(
            object_store::azure::MicrosoftAzureBuilder,
            url,
            object_store::ClientOptions::new(),
            variables,
            |name| name.starts_with("AZURE_") || name == "IDENTITY_ENDPOINT"
        ),
        #[cfg(feature = "gcp")]
        ObjectStoreScheme::GoogleCloudStorage => build!(
            object_store::gcp::GoogleCloudStorageBuilder,
            url,
            // As its own default; its metadata service has no TLS.
            object_store::ClientOptions::new().with_allow_http(true),
            variables,
            |name| name.starts_with("GOOGLE_") || name == "SERVICE_ACCOUNT"
        ),
        _ => {
            drop(variables);
            return object_store::parse_url(url);
        }
    };
    Ok((store, path))
}
