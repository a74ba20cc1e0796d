//! Addresses as text: each distinct one is written once, and compared by its place in the order
//! of the texts, since statistics of a text column prune only where it is sorted as text.

use std::net::IpAddr;

use hashbrown::HashMap;

/// The distinct addresses of a table, in the order of their texts.
#[derive(Debug, Default)]
pub struct AddressBook {
    places: HashMap<IpAddr, u32>,
    texts: Vec<String>,
}

impl AddressBook {
    /// Collects the addresses of a table.
    pub fn new(addresses: impl Iterator<Item = IpAddr>) -> Self {
        let mut places: HashMap<IpAddr, u32> = addresses.map(|address| (address, 0)).collect();
        let mut by_text: Vec<(String, IpAddr)> =
            places.keys().map(|address| (address.to_string(), *address)).collect();
        by_text.sort_unstable();
        for (place, (_, address)) in (0..).zip(&by_text) {
            places.insert(*address, place);
        }
        Self { places, texts: by_text.into_iter().map(|(text, _)| text).collect() }
    }

    /// The place of an address in the order of the texts.
    #[must_use]
    pub fn place(&self, address: &IpAddr) -> u32 {
        self.places.get(address).copied().unwrap_or(u32::MAX)
    }

    /// How many distinct addresses there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.texts.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.texts.is_empty()
    }

    /// The text of an address.
    #[must_use]
    pub fn text(&self, place: u32) -> &str {
        self.texts.get(place as usize).map_or("", String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_follow_the_order_of_the_texts() {
        let addresses = ["10.0.0.10", "10.0.0.9", "2001:db8::1", "10.0.0.9", "1.1.1.1"];
        let book = AddressBook::new(addresses.iter().map(|a| a.parse().unwrap()));
        let text_of = |text: &str| book.text(book.place(&text.parse().unwrap())).to_owned();
        assert_eq!(text_of("2001:0db8:0::1"), "2001:db8::1");
        let mut sorted: Vec<_> = addresses.to_vec();
        sorted.sort_unstable();
        sorted.dedup();
        let by_place: Vec<_> = (0..4).map(|place| book.text(place)).collect();
        assert_eq!(by_place, sorted);
    }
}
