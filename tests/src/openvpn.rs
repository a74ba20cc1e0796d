//! A real OpenVPN between two namespaces.

mod log;

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Child, Command},
};

use flowlog::demo::Netns;

use super::rig::{cable, wait_for};
pub use log::{LoggedSession, logged_sessions};

/// A server and its clients, over a cable.
pub struct OpenVpn {
    pub gateway: Netns,
    pub member: Netns,
    directory: PathBuf,
    server: Option<Child>,
}

/// A client that is connected, until it is dropped.
pub struct OpenVpnClient(Child);

impl OpenVpn {
    /// Makes the cable and the certificates; the server is started with these lines in its configuration besides.
    pub fn new(directory: &Path, lines: &str) -> Self {
        let (gateway, member) =
            cable([("under0", "192.168.78.1/24"), ("under1", "192.168.78.2/24")]);
        let directory = directory.to_owned();
        let vpn = Self { gateway, member, directory, server: None };
        vpn.shell(
            "openssl ecparam -genkey -name prime256v1 -out ca.key
            openssl req -x509 -new -key ca.key -days 30 -subj /CN=ca -out ca.crt
            mkdir ccd",
        );
        vpn.certify("gateway", "serverAuth");
        let configuration = format!(
            "dev tun\ntopology subnet\nport 1194\nproto udp\nserver 10.8.0.0 255.255.255.0\nserver-ipv6 fd00:8::/64\nca ca.crt\ncert gateway.crt\nkey gateway.key\ndh none\nkeepalive 1 60\nclient-config-dir ccd\nscript-security 2\nverb 3\n{lines}"
        );
        fs::write(vpn.directory.join("server.conf"), configuration).unwrap();
        vpn
    }

    /// A file of this rig.
    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    /// Starts the server, for the first time or again.
    pub fn start(&mut self) {
        let log = self.path("server.log");
        let server = self.openvpn(&self.gateway, "server.conf", &log);
        self.server = Some(server);
        let is_up = || {
            fs::read_to_string(&log)
                .is_ok_and(|text| text.contains("Initialization Sequence Completed"))
        };
        wait_for("the server of OpenVPN", is_up);
    }

    /// Kills it: nobody is told.
    pub fn kill(&mut self) {
        let mut server = self.server.take().expect("a server");
        server.kill().unwrap();
        server.wait().unwrap();
    }

    /// What the server knows of a member besides its address.
    pub fn configure(&self, name: &str, lines: &str) {
        fs::write(self.path("ccd").join(name), lines).unwrap();
    }

    /// Begins to connect a member.
    pub fn connect(&self, name: &str) -> OpenVpnClient {
        if !self.path(&format!("{name}.crt")).exists() {
            self.certify(name, "clientAuth");
        }
        let configuration = format!(
            "client\nnobind\ndev tun\nproto udp\nremote 192.168.78.1 1194\nca ca.crt\ncert {name}.crt\nkey {name}.key\nremote-cert-tls server\nexplicit-exit-notify 1\nverb 3\n"
        );
        let file = format!("{name}.conf");
        fs::write(self.path(&file), configuration).unwrap();
        OpenVpnClient(self.openvpn(&self.member, &file, &self.path(&format!("{name}.log"))))
    }

    /// Waits until a member is connected.
    pub fn wait_for(&self, name: &str) {
        let log = self.path(&format!("{name}.log"));
        let is_up = || {
            fs::read_to_string(&log)
                .is_ok_and(|text| text.contains("Initialization Sequence Completed"))
        };
        wait_for("the client of OpenVPN", is_up);
    }

    /// What the server has written since it was started.
    pub fn log(&self) -> String {
        fs::read_to_string(self.path("server.log")).unwrap()
    }

    /// Gives all clients another address on their way to the server, as a NAT does that is started again.
    pub fn translate(&self) {
        self.member.ip(&["address", "add", "192.168.78.3/24", "dev", "under1"]).unwrap();
        let rules = "table ip roaming {
            chain out {
                type filter hook postrouting priority 0
                udp dport 1194 ip saddr 192.168.78.2 ip saddr set 192.168.78.3
            }
            chain in {
                type filter hook prerouting priority -300
                udp sport 1194 ip daddr 192.168.78.3 ip daddr set 192.168.78.2
            }
        }";
        let mut nft = self.member.command("nft").unwrap();
        let status = nft.arg(rules).status().expect("nft; run `cargo xtask setup`");
        assert!(status.success());
    }

    fn openvpn(&self, netns: &Netns, configuration: &str, log: &Path) -> Child {
        let log = File::create(log).unwrap();
        netns
            .command("openvpn")
            .unwrap()
            .args(["--config", configuration])
            .current_dir(&self.directory)
            .stdout(log)
            .spawn()
            .expect("openvpn; run `cargo xtask setup`")
    }

    fn certify(&self, name: &str, usage: &str) {
        self.shell(&format!(
            "openssl ecparam -genkey -name prime256v1 -out {name}.key
            openssl req -new -key {name}.key -subj /CN={name} -out {name}.csr
            printf 'keyUsage=digitalSignature\\nextendedKeyUsage={usage}\\n' > {name}.ext
            openssl x509 -req -in {name}.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days 30 -extfile {name}.ext -out {name}.crt"
        ));
    }

    fn shell(&self, script: &str) {
        let script = format!("set -e; umask 077\n{script}");
        let mut shell = Command::new("sh");
        let output = shell.args(["-c", &script]).current_dir(&self.directory).output().unwrap();
        assert!(output.status.success(), "{output:?}");
    }
}

impl Drop for OpenVpn {
    fn drop(&mut self) {
        if self.server.is_some() {
            self.kill();
        }
    }
}

impl OpenVpnClient {
    /// Disconnects, and tells the server.
    pub fn disconnect(mut self) {
        let id = nix::unistd::Pid::from_raw(i32::try_from(self.0.id()).unwrap());
        nix::sys::signal::kill(id, nix::sys::signal::Signal::SIGTERM).unwrap();
        self.0.wait().unwrap();
    }
}

impl Drop for OpenVpnClient {
    fn drop(&mut self) {
        self.0.kill().unwrap_or_default();
        self.0.wait().map(|_| ()).unwrap_or_default();
    }
}
