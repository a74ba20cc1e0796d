//! The configuration of a gateway with a source of sessions.

use std::path::{Path, PathBuf};

/// A gateway that records the sessions of a WireGuard.
pub struct SessionGateway<'a> {
    /// Where everything of it is.
    pub directory: &'a Path,
    /// Its name.
    pub name: &'a str,
    /// Its interface.
    pub interface: &'a str,
    /// The space of its addresses.
    pub realm: &'a str,
}

impl SessionGateway<'_> {
    /// Writes its configuration. It looks each second, and its windows are short. All gateways of a directory have one store,
    /// one key of the pseudonyms, and these subscribers by the public keys of their peers.
    pub fn configure(&self, subscribers: impl Iterator<Item = (String, String)>) -> PathBuf {
        let Self { directory, name, interface, realm } = self;
        let path = |name: &str| directory.join(name).to_str().unwrap().to_owned();
        std::fs::write(path("peer.key"), [7; 32]).unwrap();
        let lines = subscribers.map(|(key, name)| format!("wireguard:{key},{name},,\n"));
        let file = format!("peer,subscriber,from,to\n{}", lines.collect::<String>());
        std::fs::write(path("subscribers.csv"), file).unwrap();
        let config = format!(
            "profile = \"flows\"\ninterfaces = [\"{interface}\"]\ngateway = \"{name}\"\n\
             store = \"{}\"\nspool = \"{}\"\npins = \"/sys/fs/bpf/{interface}\"\n\
             window = \"2s\"\ndrain_interval = \"1s\"\n\
             [[source]]\nkind = \"wireguard\"\ninterface = \"{interface}\"\npoll = \"1s\"\n\
             realm = \"{realm}\"\n\
             [subscribers]\npeer_key_file = \"{}\"\nfile = \"{}\"\n",
            path("store"),
            path(&format!("spool-{name}")),
            path("peer.key"),
            path("subscribers.csv")
        );
        let file = directory.join(format!("{name}.toml"));
        std::fs::write(&file, config).unwrap();
        file
    }
}
