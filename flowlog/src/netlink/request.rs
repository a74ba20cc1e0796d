//! What is asked of the kernel, as bytes.

use netlink_packet_core::{
    Emitable, NLM_F_ACK, NLM_F_CREATE, NLM_F_DUMP, NLM_F_EXCL, NLM_F_REQUEST, NetlinkHeader, Nla,
};

/// A request, or a part of one.
pub(crate) struct Request {
    header: NetlinkHeader,
    body: Vec<u8>,
}

/// Most requests have no more.
const USUAL_BYTES: usize = 128;

impl Request {
    /// Asks for all that there is of a kind.
    pub(crate) fn dump(kind: u16) -> Self {
        Self::new(kind, NLM_F_REQUEST | NLM_F_DUMP)
    }

    /// Asks for one thing.
    pub(crate) fn get(kind: u16) -> Self {
        Self::new(kind, NLM_F_REQUEST)
    }

    /// Changes something that is there, and hears how that went.
    pub(crate) fn change(kind: u16) -> Self {
        Self::new(kind, NLM_F_REQUEST | NLM_F_ACK)
    }

    /// Makes something that is not there yet, and hears how that went.
    pub(crate) fn create(kind: u16) -> Self {
        Self::new(kind, NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL)
    }

    fn new(kind: u16, flags: u16) -> Self {
        let mut header = NetlinkHeader::default();
        (header.message_type, header.flags) = (kind, flags);
        let mut body = Vec::with_capacity(USUAL_BYTES);
        body.resize(header.buffer_len(), 0);
        Self { header, body }
    }

    /// Whether all of a kind are asked for.
    pub(crate) const fn is_dump(&self) -> bool {
        self.header.flags & NLM_F_DUMP == NLM_F_DUMP
    }

    /// Whether the answer to it has an end that is no part of it.
    pub(crate) const fn has_last(&self) -> bool {
        self.is_dump() || self.header.flags & NLM_F_ACK != 0
    }

    /// Goes on with these words.
    pub(crate) fn words(mut self, words: &[u32]) -> Self {
        self.body.extend(words.iter().flat_map(|word| word.to_ne_bytes()));
        self
    }

    /// Goes on with an attribute.
    pub(crate) fn attribute(mut self, kind: u16, payload: &[u8]) -> Self {
        append(&mut self.body, kind, payload);
        self
    }

    /// Goes on with an attribute that has these in it.
    pub(crate) fn nested(self, kind: u16, attributes: &[(u16, &[u8])]) -> Self {
        let mut inner = vec![];
        for (kind, payload) in attributes {
            append(&mut inner, *kind, payload);
        }
        self.attribute(kind, &inner)
    }

    /// The message, with its number.
    pub(crate) fn finish(self, sequence: u32) -> Vec<u8> {
        let Self { mut header, mut body } = self;
        header.length = u32::try_from(body.len()).unwrap_or(u32::MAX);
        header.sequence_number = sequence;
        header.emit(&mut body);
        body
    }
}

/// An attribute that is written.
struct Attribute<'a> {
    kind: u16,
    payload: &'a [u8],
}

impl Nla for Attribute<'_> {
    fn value_len(&self) -> usize {
        self.payload.len()
    }

    fn kind(&self) -> u16 {
        self.kind
    }

    fn emit_value(&self, buffer: &mut [u8]) {
        buffer.copy_from_slice(self.payload);
    }
}

fn append(bytes: &mut Vec<u8>, kind: u16, payload: &[u8]) {
    let attribute = Attribute { kind, payload };
    let start = bytes.len();
    bytes.resize(start + attribute.buffer_len(), 0);
    attribute.emit(&mut bytes[start..]);
}

/// The bytes of an attribute.
#[cfg(test)]
pub(crate) fn attribute_bytes(kind: u16, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![];
    append(&mut bytes, kind, payload);
    bytes
}

/// The bytes of a message that answers.
#[cfg(test)]
pub(crate) fn message_bytes(kind: u16, payload: &[u8]) -> Vec<u8> {
    let mut request = Request::new(kind, 0);
    request.body.extend(payload);
    let mut bytes = request.finish(0);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}
