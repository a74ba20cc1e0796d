//! Real stores on loopback, and what comes between them and a gateway.

mod bucket;
mod conformance;
mod hung;
mod proxy;
mod server;

use std::{net::SocketAddr, path::Path};

use flowlog::store::Store;
use tempfile::TempDir;

use crate::flowlog_binary;
use server::{Server, free_ports, http, node, venv};

pub use bucket::SlowBucket;
pub use conformance::{conforms, path, pattern};
pub use hung::HungServer;
pub use proxy::{Fault, FaultProxy};

/// The bucket or container that every server has.
pub const BUCKET: &str = "flowlog";

/// A store that can be written to, and the server behind it.
pub struct Backend {
    /// Its URL, or its directory.
    pub location: String,
    /// The environment that it takes.
    pub variables: Vec<(String, String)>,
    /// Where its server listens.
    pub address: Option<SocketAddr>,
    /// How many objects to list: more than a page of S3 has.
    listed: u32,
    /// Whether a process of its own uses it, as for a daemon.
    is_isolated: bool,
    _server: Option<Server>,
    scratch: TempDir,
}

impl Backend {
    /// A local directory.
    pub fn directory() -> Self {
        let scratch = tempfile::tempdir().unwrap();
        let location = scratch.path().to_str().unwrap().to_owned();
        Self {
            location,
            variables: vec![],
            address: None,
            listed: 1_100,
            is_isolated: false,
            _server: None,
            scratch,
        }
    }

    /// A local directory that a process of its own uses, as it does for a daemon.
    pub fn isolated_directory() -> Self {
        Self { is_isolated: true, ..Self::directory() }
    }

    /// Moto: S3 without signatures.
    pub fn moto() -> Self {
        let scratch = tempfile::tempdir().unwrap();
        let [port] = free_ports();
        let mut moto = venv("python");
        moto.args(["-m", "moto.server", "-H", "127.0.0.1", "-p", &port.to_string()]);
        let server = Server::start("moto", &mut moto, scratch.path(), port, "/");
        http(server.address, "PUT", &format!("/{BUCKET}"));
        Self::s3(server, scratch, ["testing", "testing"])
    }

    /// SeaweedFS: S3 with signatures.
    pub fn seaweedfs() -> Self {
        let scratch = tempfile::tempdir().unwrap();
        let [s3, filer, master, volume, grpc @ ..] = free_ports::<8>();
        let keys = ["flowlog", "flowlog-secret"];
        let config = format!(
            r#"{{"identities": [{{"name": "gateway", "actions": ["Admin", "Read", "Write", "List"],
                "credentials": [{{"accessKey": "{}", "secretKey": "{}"}}]}}]}}"#,
            keys[0], keys[1]
        );
        let directory = scratch.path().to_str().unwrap();
        std::fs::write(scratch.path().join("s3.json"), config).unwrap();
        let mut weed = venv("weed");
        weed.args(["server", "-filer", "-s3", "-ip=127.0.0.1", "-ip.bind=127.0.0.1"]);
        weed.args(["-master.volumeSizeLimitMB=64", "-volume.max=20", "-master.telemetry=false"]);
        weed.args(["-s3.port.iceberg=0", "-s3.port.lance=0"]);
        weed.args([format!("-dir={directory}"), format!("-s3.config={directory}/s3.json")]);
        for (part, port) in [("s3", s3), ("filer", filer), ("master", master), ("volume", volume)] {
            weed.arg(format!("-{part}.port={port}"));
        }
        for (part, port) in ["s3", "filer", "master", "volume"].into_iter().zip(grpc) {
            weed.arg(format!("-{part}.port.grpc={port}"));
        }
        let server = Server::start("SeaweedFS", &mut weed, scratch.path(), s3, "/healthz");
        // A bucket is a directory of its filer, who asks for no signature.
        http(([127, 0, 0, 1], filer).into(), "POST", &format!("/buckets/{BUCKET}/"));
        Self::s3(server, scratch, keys)
    }

    /// Azurite: Azure's blobs.
    pub fn azurite() -> Self {
        let scratch = tempfile::tempdir().unwrap();
        let [port] = free_ports();
        let mut azurite = node("azurite/dist/src/blob/main.js");
        azurite.args(["--blobHost", "127.0.0.1", "--blobPort", &port.to_string()]);
        azurite.args(["--inMemoryPersistence", "--skipApiVersionCheck", "--disableTelemetry"]);
        let server = Server::start("Azurite", &mut azurite, scratch.path(), port, "/");
        let container = format!("/{AZURITE_ACCOUNT}/{BUCKET}?restype=container&{AZURITE_TOKEN}");
        http(server.address, "PUT", &container);
        let endpoint = format!("http://{}/{AZURITE_ACCOUNT}", server.address);
        let variables = [
            ("AZURE_STORAGE_ACCOUNT_NAME", AZURITE_ACCOUNT),
            ("AZURE_STORAGE_ACCOUNT_KEY", AZURITE_KEY),
            ("AZURE_STORAGE_ENDPOINT", &endpoint),
            ("AZURE_ALLOW_HTTP", "true"),
        ];
        Self {
            location: format!("az://{BUCKET}/store"),
            variables: owned(&variables),
            address: Some(server.address),
            // A page would be 5,000, and Azurite is slow.
            listed: 100,
            is_isolated: false,
            _server: Some(server),
            scratch,
        }
    }

    fn s3(server: Server, scratch: TempDir, [id, secret]: [&str; 2]) -> Self {
        let endpoint = format!("http://{}", server.address);
        let variables = [
            ("AWS_ACCESS_KEY_ID", id),
            ("AWS_SECRET_ACCESS_KEY", secret),
            ("AWS_REGION", "us-east-1"),
            ("AWS_ENDPOINT_URL", &endpoint),
            ("AWS_ALLOW_HTTP", "true"),
        ];
        Self {
            location: format!("s3://{BUCKET}/store"),
            variables: owned(&variables),
            address: Some(server.address),
            listed: 1_100,
            is_isolated: false,
            _server: Some(server),
            scratch,
        }
    }

    /// Opens it as a gateway would.
    pub fn open(&self) -> Store {
        if self.is_isolated {
            return Store::open_isolated_by(&self.location, &flowlog_binary()).unwrap();
        }
        Store::open_with(&self.location, self.variables.clone()).unwrap()
    }

    /// Opens it with some variables changed, or one more.
    pub fn open_with(&self, changed: &[(&str, &str)]) -> Store {
        let mut variables = self.variables.clone();
        variables.retain(|(name, _)| !changed.iter().any(|(changed, _)| name == changed));
        variables.extend(owned(changed));
        Store::open_with(&self.location, variables).unwrap()
    }

    /// What its server answers to a request without a signature.
    pub fn ask(&self, request: &str) -> String {
        http(self.address.unwrap(), "GET", request)
    }

    /// A directory for what a test needs besides.
    pub fn scratch(&self) -> &Path {
        self.scratch.path()
    }
}

fn owned(variables: &[(&str, &str)]) -> Vec<(String, String)> {
    variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

/// Account and key of every Azurite; Microsoft's documentation has them.
pub const AZURITE_ACCOUNT: &str = "devstoreaccount1";
const AZURITE_KEY: &str =
    "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";
/// A signature of that key over everything, until 2099.
const AZURITE_TOKEN: &str = "sv=2021-10-04&ss=b&srt=sco&sp=rwdlac&st=2020-01-01T00:00:00Z\
    &se=2099-01-01T00:00:00Z&spr=https,http&sig=0VcxmmcPyz2VkvdL7LnTIWIRtFOiTWIltAxUQGLa02o%3D";
/// The same, which expired in 2020.
pub const AZURITE_EXPIRED_TOKEN: &str = "sv=2021-10-04&ss=b&srt=sco&sp=rwdlac\
    &st=2020-01-01T00:00:00Z&se=2020-01-02T00:00:00Z&spr=https,http\
    &sig=ydXf%2FYGdOceTEt8pCOlI0tyn6alzRReNAxSpDdDRcFY%3D";
