//! A store that takes requests and never answers.

use std::net::{SocketAddr, TcpListener};

use flowlog::demo::Netns;

/// A server in front of which every request waits for ever.
pub struct HungServer {
    /// One in each network namespace that asks.
    listeners: std::sync::Mutex<Vec<TcpListener>>,
}

impl HungServer {
    /// Starts one.
    pub fn start() -> Self {
        Self { listeners: std::sync::Mutex::default() }
    }

    /// The URL of a bucket of it, for a daemon in this namespace.
    pub fn url(&self, netns: &Netns) -> String {
        netns.ip(&["link", "set", "lo", "up"]).unwrap();
        let listener = netns.run(|| TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        // The kernel completes connections; nobody accepts them.
        self.listeners.lock().unwrap().push(listener);
        format!("s3://bucket-{}/prefix", address.port())
    }

    /// The environment of whoever is to use a store; of another one, nothing.
    pub fn variables(store: &str) -> Vec<(String, String)> {
        let port = store.strip_prefix("s3://bucket-").and_then(|rest| rest.split('/').next());
        let Some(port) = port.and_then(|port| port.parse().ok()) else { return vec![] };
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        let variables = [
            ("AWS_ENDPOINT_URL", format!("http://{address}")),
            ("AWS_ALLOW_HTTP", "true".to_owned()),
            ("AWS_ACCESS_KEY_ID", "key".to_owned()),
            ("AWS_SECRET_ACCESS_KEY", "secret".to_owned()),
            ("AWS_REGION", "us-east-1".to_owned()),
        ];
        variables.map(|(name, value)| (name.to_owned(), value)).into()
    }
}
