//! A section of the configuration made to what signs its requests and finds its credentials: `object_store`, of which nothing is
//! sent but by our own sender.

use std::str::FromStr;
use std::sync::Arc;

use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey};
use object_store::azure::{AzureConfigKey, MicrosoftAzureBuilder};
use object_store::gcp::{GoogleCloudStorageBuilder, GoogleConfigKey};
use object_store::{ClientOptions, ObjectStore, RetryConfig};
use url::Url;

use super::super::error::{TransferError, TransferErrorKind};
use super::send::Sender;
use super::{StoreConfig, StoreKind};

/// Where a bucket of S3 is when no region is said.
const FIRST_REGION: &str = "us-east-1";
/// The setting that names Azure's account.
const AZURE_ACCOUNT: &str = "azure_storage_account_name";

/// The origin of the server that has the bucket.
pub(super) fn origin(config: &StoreConfig) -> Result<Url, TransferError> {
    let own = || match config.kind {
        StoreKind::S3 => Ok(format!("https://s3.{}.amazonaws.com", region(config))),
        StoreKind::Gcs => Ok("https://storage.googleapis.com".to_owned()),
        StoreKind::Azure => match setting(config, AZURE_ACCOUNT) {
            Some(account) => Ok(format!("https://{account}.blob.core.windows.net")),
            None => Err(refused(
                config,
                "Azure wants an account: write `account`, or set AZURE_STORAGE_ACCOUNT_NAME",
            )),
        },
        StoreKind::File => Err(refused(config, "a directory has no server")),
    };
    let endpoint = match &config.endpoint {
        Some(endpoint) => endpoint.clone(),
        None => Url::parse(&own()?)
            .map_err(|error| refused(config, "its server has no URL").with_source(error))?,
    };
    match config.kind == StoreKind::S3 && !config.path_style {
        true => beneath_bucket(config, endpoint),
        false => Ok(endpoint),
    }
}

/// The same with the bucket before the host's name.
fn beneath_bucket(config: &StoreConfig, mut endpoint: Url) -> Result<Url, TransferError> {
    let host = endpoint.domain().map(|domain| format!("{}.{domain}", config.bucket));
    let set = host.and_then(|host| endpoint.set_host(Some(&host)).ok());
    match set {
        Some(()) => Ok(endpoint),
        None => {
            Err(refused(config, "its endpoint has no name to put the bucket before: write path_style = true"))
        }
    }
}

/// What signs requests to the store at `origin` and has them sent by `sender`.
pub(super) fn open(
    config: &StoreConfig,
    origin: &Url,
    sender: Sender,
) -> Result<Arc<dyn ObjectStore>, TransferError> {
    // Tried again are whole transfers, by whoever asks for them.
    let once = RetryConfig { max_retries: 0, ..RetryConfig::default() };
    let options = ClientOptions::new().with_allow_http(origin.scheme() == "http");
    let endpoint = origin.as_str().trim_end_matches('/').to_owned();
    let opened: object_store::Result<Arc<dyn ObjectStore>> = match config.kind {
        StoreKind::S3 => {
            let builder = AmazonS3Builder::new()
                .with_bucket_name(&config.bucket)
                .with_region(region(config))
                .with_endpoint(endpoint)
                .with_virtual_hosted_style_request(!config.path_style)
                .with_skip_signature(config.anonymous)
                .with_client_options(options)
                .with_retry(once)
                .with_http_connector(sender);
            let set =
                |builder: AmazonS3Builder, key: AmazonS3ConfigKey, value| builder.with_config(key, value);
            with_credentials(config, builder, set)?.build().map(|store| Arc::new(store) as _)
        }
        StoreKind::Gcs => {
            let builder = GoogleCloudStorageBuilder::new()
                .with_bucket_name(&config.bucket)
                .with_base_url(&endpoint)
                .with_skip_signature(config.anonymous)
                .with_client_options(options)
                .with_retry(once)
                .with_http_connector(sender);
            let builder = match config.anonymous {
                // Else the machine's own are looked for, in vain.
                true => builder.with_bearer_token(""),
                false => builder,
            };
            let set = |builder: GoogleCloudStorageBuilder, key: GoogleConfigKey, value| {
                builder.with_config(key, value)
            };
            with_credentials(config, builder, set)?.build().map(|store| Arc::new(store) as _)
        }
        StoreKind::Azure => {
            let builder = MicrosoftAzureBuilder::new()
                .with_container_name(&config.bucket)
                .with_endpoint(endpoint)
                .with_skip_signature(config.anonymous)
                .with_client_options(options)
                .with_retry(once)
                .with_http_connector(sender);
            let set =
                |builder: MicrosoftAzureBuilder, key: AzureConfigKey, value| builder.with_config(key, value);
            with_credentials(config, builder, set)?.build().map(|store| Arc::new(store) as _)
        }
        StoreKind::File => Err(object_store::Error::NotSupported { source: "a directory".into() }),
    };
    opened.map_err(|error| refused(config, "it cannot be opened").with_source(error))
}

fn with_credentials<B, K: FromStr<Err = object_store::Error>>(
    config: &StoreConfig,
    builder: B,
    set: impl Fn(B, K, String) -> B,
) -> Result<B, TransferError> {
    config.credentials.iter().try_fold(builder, |builder, (name, value)| {
        let key =
            name.parse().map_err(|_| refused(config, &format!("`{name}` is no setting of its kind")))?;
        Ok(set(builder, key, value.clone()))
    })
}

fn region(config: &StoreConfig) -> &str {
    config.region.as_deref().unwrap_or(FIRST_REGION)
}

fn setting<'c>(config: &'c StoreConfig, name: &str) -> Option<&'c str> {
    config.credentials.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
}

/// The error of a section of which no store can be made.
pub(super) fn refused(config: &StoreConfig, why: &str) -> TransferError {
    TransferError::new(TransferErrorKind::Config, format!("[stores.{}]: {why}", config.name))
}
