//! Values that no log line and no error may have in them: addresses and prefixes of members, and of those
//! they talk to.
//!
//! Printing such a value, by `{}` as by `{:?}`, gives the word for its kind. The value itself is had by
//! [`Redacted::in_clear`], which is easily found in the code: what calls it writes records, or makes the
//! kernel's maps.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use ipnet::IpNet;

/// A value that is printed as the word for its kind.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Redacted<T>(T);

/// An address of a member, or of whom a member talks to.
pub type Address = Redacted<IpAddr>;

/// Addresses of a member.
pub type Prefix = Redacted<IpNet>;

/// A kind of value that stands for somebody.
pub trait Personal {
    /// What is printed in its place.
    const WORD: &'static str;
}

impl Personal for IpAddr {
    const WORD: &'static str = "[address]";
}

impl Personal for IpNet {
    const WORD: &'static str = "[prefix]";
}

/// A text that may be, or have in it, an address or a name.
impl Personal for String {
    const WORD: &'static str = "[withheld]";
}

impl<T> Redacted<T> {
    /// Keeps a value from being printed.
    pub const fn new(value: T) -> Self {
        Self(value)
    }

    /// The value itself. It belongs in records and in the kernel's maps, and in no message.
    pub const fn in_clear(&self) -> &T {
        &self.0
    }
}

impl<T: Personal> fmt::Debug for Redacted<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(T::WORD)
    }
}

impl<T: Personal> fmt::Display for Redacted<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(T::WORD)
    }
}

impl<T> From<T> for Redacted<T> {
    fn from(value: T) -> Self {
        Self(value)
    }
}

/// From what an address is made of.
macro_rules! addresses {
    ($($type:ty),+) => {$(
        impl From<$type> for Address {
            fn from(address: $type) -> Self {
                Self(address.into())
            }
        }
    )+};
}

addresses!([u8; 4], [u8; 16], Ipv4Addr, Ipv6Addr);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kind_is_printed_in_place_of_the_value() {
        let address = Address::from([192, 0, 2, 77]);
        let prefix = Prefix::from("2001:db8:77::/48".parse::<IpNet>().unwrap());
        let text = Redacted::new("Ada Lovelace".to_owned());
        assert_eq!(format!("{address} {prefix} {text}"), "[address] [prefix] [withheld]");
        assert_eq!(format!("{:?}", (address, prefix, text)), "([address], [prefix], [withheld])");
        assert_eq!(format!("{:#?} {:>10}|", Some(address), address).matches("77").count(), 0);
        assert_eq!(address.in_clear().to_string(), "192.0.2.77");
    }
}
