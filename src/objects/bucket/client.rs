//! From the settings to a client of the bucket.

use std::fmt;
use std::path::Path as FilePath;
use std::sync::Arc;
use std::time::Duration;

use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey, S3ConditionalPut};
use object_store::azure::{AzureConfigKey, MicrosoftAzureBuilder};
use object_store::gcp::{GoogleCloudStorageBuilder, GoogleConfigKey};
use object_store::path::Path;
use object_store::{ClientOptions, ObjectStore, RetryConfig};
use url::Url;

use super::http::Connector;
use crate::client::{Connections, Exchange};
use crate::display;
use crate::fs::{self, FileError};
use crate::objects::{BUCKET_URLS, ObjectStorageSettings};

/// Of one more try. What is done over it is tried again by the caller, at its own pace.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Upper bound of a file with credentials: a private key of a service account is among them.
const MAX_CREDENTIALS: usize = 64 << 10;

/// A bucket or container, and the folder in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bucket {
    pub(super) kind: Kind,
    pub(super) name: String,
    pub(super) prefix: Path,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    S3,
    Google,
    Azure,
}

impl Kind {
    const ALL: [Self; 3] = [Self::S3, Self::Google, Self::Azure];

    fn scheme(self) -> &'static str {
        match self {
            Self::S3 => "s3",
            Self::Google => "gs",
            Self::Azure => "az",
        }
    }

    /// How the variables begin that its own tools know.
    fn variables(self) -> &'static str {
        match self {
            Self::S3 => "AWS_",
            Self::Google => "GOOGLE_",
            Self::Azure => "AZURE_",
        }
    }
}

impl Bucket {
    /// Whether a URL begins as that of a bucket does.
    pub fn is_named_by(text: &str) -> bool {
        let scheme = text.split_once("://").map(|(scheme, _)| scheme);
        Kind::ALL.into_iter().any(|kind| scheme == Some(kind.scheme()))
    }

    /// `s3://BUCKET/PREFIX`, `gs://BUCKET/PREFIX`, `az://CONTAINER/PREFIX`, the prefix may be left out.
    pub fn parse(text: &str) -> Result<Self, String> {
        let url =
            Url::parse(text).map_err(|error| format!("`{text}` is no URL ({error}): write {BUCKET_URLS}"))?;
        let kind = Kind::ALL.into_iter().find(|kind| kind.scheme() == url.scheme());
        let Some(kind) = kind else {
            return Err(format!(
                "`{text}` is of another kind than is known: write {BUCKET_URLS}"
            ));
        };
        if url.query().is_some()
            || url.fragment().is_some()
            || !url.username().is_empty()
            || url.port().is_some()
        {
            return Err(format!(
                "has more than a bucket and a prefix: write {BUCKET_URLS}"
            ));
        }
        let name = url.host_str().unwrap_or_default();
        if name.is_empty() {
            return Err(format!("`{text}` names no bucket: write {BUCKET_URLS}"));
        }
        let prefix = Path::from_url_path(url.path())
            .map_err(|error| format!("`{text}` has a prefix that no object may have ({error})"))?;
        Ok(Self {
            kind,
            name: name.to_owned(),
            prefix,
        })
    }

    /// The bucket, and the folder in it.
    pub fn with_prefix(&self) -> String {
        match self.prefix.as_ref() {
            "" => self.to_string(),
            prefix => format!("{self}/{prefix}"),
        }
    }

    /// Whether a storage account is needed to find it.
    pub fn has_account(&self) -> bool {
        self.kind == Kind::Azure
    }

    /// Whether it is in a region.
    pub fn has_region(&self) -> bool {
        self.kind == Kind::S3
    }
}

impl fmt::Display for Bucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.kind.scheme(), self.name)
    }
}

/// Makes a client. `Err` says what is wrong with the settings, and never what is in the credentials. Blocking.
pub(super) fn client(
    settings: &ObjectStorageSettings,
    limit: usize,
    connections: Connections,
) -> Result<Arc<dyn ObjectStore>, String> {
    let variables = match &settings.credentials_file {
        Some(file) => credentials(file, &settings.bucket)?,
        None => Vec::new(),
    };
    check_files(settings.bucket.kind, &variables)?;
    let connector = Connector {
        exchange: exchange(settings, connections)?,
        limit,
    };
    match settings.bucket.kind {
        Kind::S3 => s3(settings, variables, connector),
        Kind::Google => google(settings, variables, connector),
        Kind::Azure => azure(settings, variables, connector),
    }
}

/// All that keeps [`client`] from being made, each with the field that it is about. Blocking.
pub(crate) fn faults(settings: &ObjectStorageSettings) -> Vec<(&'static str, String)> {
    let file = settings.credentials_file.as_deref();
    let variables = file.map(|file| credentials(file, &settings.bucket)).transpose();
    let credentials = match &variables {
        Ok(variables) => check_files(settings.bucket.kind, variables.as_deref().unwrap_or_default()).err(),
        Err(reason) => Some(reason.clone()),
    };
    let credentials = credentials.map(|reason| (if file.is_some() { "credentialsFile" } else { "" }, reason));
    let ca = exchange(settings, Connections::default())
        .err()
        .map(|reason| ("caFile", reason));
    let faults: Vec<_> = credentials.into_iter().chain(ca).collect();
    if !faults.is_empty() {
        return faults;
    }
    let made = client(settings, MAX_CREDENTIALS, Connections::default());
    made.err().map(|reason| ("", reason)).into_iter().collect()
}

fn s3(
    settings: &ObjectStorageSettings,
    variables: Vec<(String, String)>,
    connector: Connector,
) -> Result<Arc<dyn ObjectStore>, String> {
    let mut builder = AmazonS3Builder::from_env();
    for (name, value) in variables {
        let key: AmazonS3ConfigKey = name.to_ascii_lowercase().parse().map_err(|_| unknown(&name))?;
        builder = builder.with_config(key, value);
    }
    if let Some(region) = &settings.region {
        builder = builder.with_region(region);
    }
    if let Some(endpoint) = &settings.endpoint {
        builder = builder.with_endpoint(endpoint);
    }
    let store = builder
        .with_bucket_name(&settings.bucket.name)
        .with_client_options(options(settings))
        .with_http_connector(connector)
        .with_retry(once())
        // Whatever a variable says: without it replicas would overwrite each other.
        .with_conditional_put(S3ConditionalPut::ETagMatch)
        .build();
    store
        .map(|store| Arc::new(store) as Arc<dyn ObjectStore>)
        .map_err(|_| unusable(Kind::S3))
}

fn google(
    settings: &ObjectStorageSettings,
    variables: Vec<(String, String)>,
    connector: Connector,
) -> Result<Arc<dyn ObjectStore>, String> {
    let mut builder = GoogleCloudStorageBuilder::from_env();
    for (name, value) in variables {
        let key: GoogleConfigKey = name.to_ascii_lowercase().parse().map_err(|_| unknown(&name))?;
        builder = builder.with_config(key, value);
    }
    if let Some(endpoint) = &settings.endpoint {
        builder = builder.with_base_url(endpoint);
    }
    let store = builder
        .with_bucket_name(&settings.bucket.name)
        .with_client_options(options(settings))
        .with_http_connector(connector)
        .with_retry(once())
        .build();
    store
        .map(|store| Arc::new(store) as Arc<dyn ObjectStore>)
        .map_err(|_| unusable(Kind::Google))
}

fn azure(
    settings: &ObjectStorageSettings,
    variables: Vec<(String, String)>,
    connector: Connector,
) -> Result<Arc<dyn ObjectStore>, String> {
    let mut builder = MicrosoftAzureBuilder::from_env();
    for (name, value) in variables {
        let key: AzureConfigKey = name.to_ascii_lowercase().parse().map_err(|_| unknown(&name))?;
        builder = builder.with_config(key, value);
    }
    if let Some(account) = &settings.account {
        builder = builder.with_account(account);
    }
    if let Some(endpoint) = &settings.endpoint {
        builder = builder.with_endpoint(endpoint.clone());
    }
    let store = builder
        .with_container_name(&settings.bucket.name)
        .with_client_options(options(settings))
        .with_http_connector(connector)
        .with_retry(once())
        .build();
    store
        .map(|store| Arc::new(store) as Arc<dyn ObjectStore>)
        .map_err(|_| unusable(Kind::Azure))
}

/// Whatever variables say of proxies, certificates and time: that is the connector's.
fn options(settings: &ObjectStorageSettings) -> ClientOptions {
    let endpoint = settings.endpoint.as_deref().unwrap_or_default();
    // Validated: plain http is on loopback only.
    ClientOptions::new().with_allow_http(endpoint.starts_with("http://"))
}

fn exchange(settings: &ObjectStorageSettings, connections: Connections) -> Result<Exchange, String> {
    let Some(file) = &settings.ca_file else {
        return Exchange::new(connections, None);
    };
    let unusable = |reason: String| format!("caFile {} cannot be used: {reason}", display::path(file));
    let pem = fs::read(file, fs::MAX_PEM).map_err(|error| unusable(error.to_string()))?;
    Exchange::new(connections, Some(&pem)).map_err(unusable)
}

/// The files that the library reads on its own, at any time and without bounds.
const FILES: [&str; 6] = [
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
    "GOOGLE_SERVICE_ACCOUNT",
    "GOOGLE_SERVICE_ACCOUNT_PATH",
    "GOOGLE_APPLICATION_CREDENTIALS",
    "AZURE_FEDERATED_TOKEN_FILE",
];

/// Whether the files that variables name can be read in bounds. One that is missing may come.
fn check_files(kind: Kind, variables: &[(String, String)]) -> Result<(), String> {
    for name in FILES
        .into_iter()
        .filter(|name| name.starts_with(kind.variables()))
    {
        let given = variables.iter().find(|(given, _)| given == name);
        let path = match given {
            Some((_, path)) => Some(path.into()),
            None => std::env::var_os(name),
        };
        let Some(path) = path.filter(|path| !path.is_empty()) else {
            continue;
        };
        match fs::read(FilePath::new(&path), MAX_CREDENTIALS) {
            Ok(_) | Err(FileError::Missing) => {}
            Err(error) => {
                return Err(format!("{name} {} cannot be used: {error}", display::path(path)));
            }
        }
    }
    Ok(())
}

/// One more try within the bound of what is done, for a connection that was closed while it rested.
fn once() -> RetryConfig {
    RetryConfig {
        max_retries: 1,
        retry_timeout: TIMEOUT,
        ..RetryConfig::default()
    }
}

/// The variables in a file, a line each: `AWS_ACCESS_KEY_ID=…`. `Err` never says a value.
fn credentials(file: &FilePath, bucket: &Bucket) -> Result<Vec<(String, String)>, String> {
    let unusable =
        |reason: String| format!("credentialsFile {} cannot be used: {reason}", display::path(file));
    let octets = fs::read(file, MAX_CREDENTIALS).map_err(|error| unusable(error.to_string()))?;
    let text = std::str::from_utf8(&octets).map_err(|_| unusable("it is not UTF-8 text".into()))?;
    check_credentials(text, bucket).map_err(unusable)
}

/// The variables in a text. `Err` never says a value.
pub(super) fn check_credentials(text: &str, bucket: &Bucket) -> Result<Vec<(String, String)>, String> {
    let prefix = bucket.kind.variables();
    let mut variables = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let line = line.strip_prefix("export ").unwrap_or(line);
        match line.split_once('=') {
            Some((name, value)) if name.trim().starts_with(prefix) => {
                let value = value.trim().trim_matches(['"', '\'']);
                variables.push((name.trim().to_owned(), value.to_owned()));
            }
            _ => {
                return Err(format!(
                    "line {} is not {prefix}NAME=VALUE, a variable of this kind of storage",
                    index + 1
                ));
            }
        }
    }
    Ok(variables)
}

fn unknown(name: &str) -> String {
    let known = name
        .chars()
        .all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_');
    let name = if known { name } else { "a name" };
    format!("credentialsFile: {name} means nothing to this kind of storage")
}

/// The message of the library may hold parts of credentials.
fn unusable(kind: Kind) -> String {
    let needs = match kind {
        Kind::S3 => {
            "AWS_ACCESS_KEY_ID with AWS_SECRET_ACCESS_KEY, AWS_WEB_IDENTITY_TOKEN_FILE with AWS_ROLE_ARN, or the \
             identity of the machine"
        }
        Kind::Google => {
            "GOOGLE_APPLICATION_CREDENTIALS, GOOGLE_SERVICE_ACCOUNT, or the identity of the machine"
        }
        Kind::Azure => {
            "the account, and AZURE_STORAGE_ACCOUNT_KEY, AZURE_FEDERATED_TOKEN_FILE with AZURE_CLIENT_ID and \
             AZURE_TENANT_ID, or the identity of the machine"
        }
    };
    format!("its settings and credentials do not lead to a client. Check them: {needs}")
}
