//! The words of the tables.

/// A set of words that a column has.
macro_rules! words {
    ($(#[$about:meta])* $name:ident { $($(#[$meaning:meta])* $word:ident = $text:literal,)+ }) => {
        $(#[$about])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name {
            $($(#[$meaning])* $word,)+
        }

        impl $name {
            /// Every one.
            pub const ALL: &[Self] = &[$(Self::$word),+];

            /// Its name in the table.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$word => $text,)+
                }
            }

            /// The one of this name.
            #[must_use]
            pub fn from_name(name: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|word| word.name() == name)
            }
        }
    };
}

pub(super) use words;

words! {
    /// A kind of source.
    Source {
        /// An interface of WireGuard.
        Wireguard = "wireguard",
        /// A server of OpenVPN.
        Openvpn = "openvpn",
        /// A file of leases, or a control plane that calls the hook.
        Lease = "lease",
    }
}

words! {
    /// Whether the holder of an address could send.
    State {
        /// A tunnel was up.
        Tunnel = "tunnel",
        /// The address was reserved, and no tunnel was up.
        Assigned = "assigned",
    }
}

words! {
    /// Why a row ended.
    EndReason {
        /// The outer endpoint changed.
        Roamed = "roamed",
        /// No handshake came for as long as keys live.
        HandshakeExpired = "handshake_expired",
        /// The peer or the server ended it.
        Disconnected = "disconnected",
        /// The server gave it up.
        Timeout = "timeout",
        /// Another peer has the address.
        Replaced = "replaced",
        /// The peer or the address was removed.
        Removed = "removed",
        /// The interface or the server began anew.
        SourceRestarted = "source_restarted",
        /// Nobody looked.
        Unknown = "unknown",
    }
}
