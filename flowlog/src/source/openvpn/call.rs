//! What OpenVPN gives to the scripts that it calls.

use crate::source::hook::Fields;

/// What is taken from the environment.
const NAMES: [&str; 11] = [
    "script_type",
    "common_name",
    "time_unix",
    "ifconfig_pool_remote_ip",
    "ifconfig_pool_remote_ip6",
    "trusted_ip",
    "trusted_ip6",
    "trusted_port",
    "bytes_received",
    "bytes_sent",
    "daemon_pid",
];

/// A note of a call: from its environment, and from the arguments that OpenVPN adds.
pub fn call_fields(of: impl Fn(&str) -> Option<String>, added: &[String]) -> Fields {
    let mut fields = Fields::default();
    for name in NAMES {
        fields = fields.with(name, of(name).as_deref());
    }
    // `learn-address` adds the operation, the address, and the name but with `delete`; the others add a file.
    if fields.of("script_type") == Some("learn-address") {
        for (name, value) in ["operation", "address", "learned_name"].into_iter().zip(added) {
            fields = fields.with(name, Some(value));
        }
    }
    fields
}
