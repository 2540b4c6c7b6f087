//! Where in object storage a repository is, and the store there, set up as the environment says.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey, Checksum, S3ConditionalPut};
use object_store::azure::{AzureConfigKey, MicrosoftAzureBuilder};
use object_store::gcp::{GoogleCloudStorageBuilder, GoogleConfigKey};
use object_store::list::PaginatedListStore;
use object_store::path::Path;
use object_store::{BackoffConfig, ObjectStore, RetryConfig};

use super::connection::Connector;
use super::profile;
use crate::error::{Error, ErrorKind};

/// Whose protocol is spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    /// Amazon S3, and the many that speak like it: `s3://bucket/prefix`.
    S3,
    /// Google Cloud Storage, which Firebase Storage is too: `gs://bucket/prefix`.
    Google,
    /// Azure Blob Storage: `az://container/prefix`.
    Azure,
}

/// A prefix within a bucket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// Whose protocol is spoken.
    pub scheme: Scheme,
    /// The bucket or container.
    pub bucket: String,
    /// What stands before the names of objects, without slashes at its ends; may be empty.
    pub prefix: String,
}

impl Scheme {
    const ALL: [Self; 3] = [Self::S3, Self::Google, Self::Azure];

    /// What a location begins with.
    pub fn name(self) -> &'static str {
        match self {
            Self::S3 => "s3",
            Self::Google => "gs",
            Self::Azure => "az",
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.scheme.name(), self.bucket)?;
        if self.prefix.is_empty() { Ok(()) } else { write!(f, "/{}", self.prefix) }
    }
}

impl FromStr for Place {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let usage = |why: &str| Error::new(ErrorKind::Usage, format!("'{text}' {why}"));
        let (scheme, rest) = text.split_once("://").ok_or_else(|| usage("has no scheme"))?;
        let scheme = Scheme::ALL.into_iter().find(|known| known.name() == scheme);
        let scheme =
            scheme.ok_or_else(|| usage("is in no place that this version knows: repositories are folders, s3://, gs:// or az://"))?;
        let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        let prefix = prefix.trim_matches('/');
        if bucket.is_empty() || bucket.contains(['?', '#', '@', ':']) {
            return Err(usage("names no bucket: write s3://bucket/prefix, and the endpoint into AWS_ENDPOINT_URL"));
        }
        if Path::parse(prefix).is_err() || prefix.contains(['?', '#']) {
            return Err(usage("has a prefix that cannot be: it is of names with single slashes between them"));
        }
        Ok(Self { scheme, bucket: bucket.to_owned(), prefix: prefix.to_owned() })
    }
}

/// Variables of an environment, by which a store is found and credentials are given.
#[derive(Clone, Default)]
pub struct Variables(BTreeMap<String, String>);

impl fmt::Debug for Variables {
    /// Names alone: values may be secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

impl FromIterator<(String, String)> for Variables {
    fn from_iter<I: IntoIterator<Item = (String, String)>>(variables: I) -> Self {
        Self(variables.into_iter().filter(|(_, value)| !value.is_empty()).collect())
    }
}

impl Variables {
    /// Those of this process. What is not UTF-8 is left out.
    pub fn of_this_process() -> Self {
        std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?))).collect()
    }

    /// One that is set to something.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// Those that begin with `start` and that a builder of `object_store` knows.
    fn known<'v, K: FromStr + 'v>(&'v self, start: &'v str) -> impl Iterator<Item = (K, &'v String)> + 'v {
        let of_vendor = self.0.iter().filter(move |(name, _)| name.starts_with(start));
        of_vendor.filter_map(|(name, value)| Some((name.to_ascii_lowercase().parse().ok()?, value)))
    }
}

/// What the driver asks of a store.
pub(super) trait Store: ObjectStore + PaginatedListStore {}

impl<T: ObjectStore + PaginatedListStore> Store for T {}

/// A store, and by which name it is known to others than this process.
pub(super) struct Reached {
    pub(super) store: Arc<dyn Store>,
    pub(super) name: String,
}

impl Place {
    /// What the store is known by, whoever asks.
    fn name_at(&self, endpoint: Option<String>) -> String {
        endpoint.map_or_else(|| self.to_string(), |endpoint| format!("{self} at {}", endpoint.trim_end_matches('/')))
    }

    /// The store, set up by the environment variables that its vendor's tools use. Nothing is asked of it yet.
    pub(super) fn reach(&self, variables: &Variables, connector: Connector) -> Result<Reached, Error> {
        // Attempts are counted, and what came of them is understood, by this driver alone.
        let once = RetryConfig { max_retries: 0, backoff: BackoffConfig::default(), ..RetryConfig::default() };
        let failed = |error: object_store::Error| {
            Error::with(ErrorKind::Usage, format!("{self} cannot be reached with what the environment says"), error)
        };
        // By the schemes alone: the client would try a wrong one again and again, or panic.
        let checked = |name: &str, endpoint: &Option<String>| match endpoint {
            Some(endpoint) if !["http://", "https://"].iter().any(|scheme| endpoint.starts_with(scheme)) => {
                let message = format!("{name} is '{endpoint}', which is no address of a store: write http://HOST:PORT or https://HOST");
                Err(Error::new(ErrorKind::Usage, message))
            }
            _ => Ok(endpoint.as_ref().is_some_and(|endpoint| endpoint.starts_with("http://"))),
        };
        match self.scheme {
            Scheme::S3 => {
                let known = variables.known("AWS_");
                let mut builder = known.fold(AmazonS3Builder::new(), |builder, (key, value)| builder.with_config(key, value));
                builder = profile::apply(builder, variables)?;
                if builder.get_config_value(&AmazonS3ConfigKey::Checksum).is_none() {
                    builder = builder.with_checksum_algorithm(Checksum::SHA256);
                }
                let endpoint =
                    [AmazonS3ConfigKey::S3Endpoint, AmazonS3ConfigKey::Endpoint].iter().find_map(|key| builder.get_config_value(key));
                if checked("AWS_ENDPOINT_URL", &endpoint)? {
                    builder = builder.with_allow_http(true);
                }
                let store = builder
                    .with_bucket_name(&self.bucket)
                    .with_conditional_put(S3ConditionalPut::ETagMatch)
                    .with_disable_bulk_delete(true)
                    .with_disable_tagging(true)
                    .with_retry(once)
                    .with_http_connector(connector)
                    .build();
                Ok(Reached { store: Arc::new(store.map_err(failed)?), name: self.name_at(endpoint) })
            }
            Scheme::Google => {
                let known = variables.known("GOOGLE_");
                let builder = known.fold(GoogleCloudStorageBuilder::new(), |builder, (key, value)| builder.with_config(key, value));
                let endpoint = builder.get_config_value(&GoogleConfigKey::BaseUrl);
                checked("GOOGLE_BASE_URL", &endpoint)?;
                let store = builder.with_bucket_name(&self.bucket).with_retry(once).with_http_connector(connector).build();
                Ok(Reached { store: Arc::new(store.map_err(failed)?), name: self.name_at(endpoint) })
            }
            Scheme::Azure => {
                let known = variables.known("AZURE_");
                let builder = known.fold(MicrosoftAzureBuilder::new(), |builder, (key, value)| builder.with_config(key, value));
                let identity = variables.get("IDENTITY_ENDPOINT");
                let mut builder = identity.map_or(builder.clone(), |endpoint| builder.with_msi_endpoint(endpoint));
                let account = builder.get_config_value(&AzureConfigKey::AccountName).unwrap_or_default();
                let endpoint = builder.get_config_value(&AzureConfigKey::Endpoint);
                if checked("AZURE_STORAGE_ENDPOINT", &endpoint)? {
                    builder = builder.with_allow_http(true);
                }
                let store = builder.with_container_name(&self.bucket).with_retry(once).with_http_connector(connector).build();
                Ok(Reached { store: Arc::new(store.map_err(failed)?), name: format!("{} of {account}", self.name_at(endpoint)) })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_is_known_by_where_it_is_too() {
        let name = |location: &str, variables: &[(&str, &str)]| {
            let variables: Variables = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
            let connector = Connector { upload: None, download: None, patience: std::time::Duration::from_secs(1) };
            location.parse::<Place>().unwrap().reach(&variables, connector).map(|reached| reached.name).map_err(|error| error.kind())
        };
        let keys = [("AWS_ACCESS_KEY_ID", "a"), ("AWS_SECRET_ACCESS_KEY", "b")];
        assert_eq!(name("s3://b/p", &keys).unwrap(), "s3://b/p");
        assert_eq!(name("s3://b/p", &[&keys[..], &[("AWS_ENDPOINT_URL", "http://h:1/")]].concat()).unwrap(), "s3://b/p at http://h:1");
        assert_eq!(name("s3://b/p", &keys[..1]), Err(ErrorKind::Usage));
        assert_eq!(name("gs://b", &[("GOOGLE_BASE_URL", "http://h"), ("GOOGLE_SKIP_SIGNATURE", "true")]).unwrap(), "gs://b at http://h");
        let account = [("AZURE_STORAGE_ACCOUNT_NAME", "acc"), ("AZURE_STORAGE_ACCOUNT_KEY", "a2V5")];
        assert_eq!(name("az://c/p", &account).unwrap(), "az://c/p of acc");
    }

    #[test]
    fn a_location_names_scheme_bucket_and_prefix() {
        let place = |text: &str| text.parse::<Place>().unwrap();
        assert_eq!(place("s3://b/a/b"), Place { scheme: Scheme::S3, bucket: "b".into(), prefix: "a/b".into() });
        assert_eq!(place("gs://b").prefix, "");
        assert_eq!(place("az://c/p/").to_string(), "az://c/p");
        for odd in ["s3://", "s3:///x", "ftp://b/x", "s3://b/a//b", "s3://b/../x", "s3://host:9000/b", "s3://b/x?y", "b/x"] {
            assert_eq!(odd.parse::<Place>().unwrap_err().kind(), ErrorKind::Usage, "{odd}");
        }
    }
}
