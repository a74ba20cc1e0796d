//! Leases of which a control plane tells by `flowlog hook lease`.

use std::{collections::BTreeSet, time::Duration};

use tokio::time::{MissedTickBehavior, interval};

use super::file::parse_prefix;
use crate::{
    record::{
        clock::Utc,
        session::{Content, EndReason, Entry, EntryKey, PeerKey, Since, Source, State},
    },
    source::{
        first_64_bits,
        hook::{BadNote, Fields, Note, Notes},
        reporter::{Closed, Reporter},
    },
};

/// Reads notes until nobody takes the reports.
pub(in crate::source) async fn run(
    mut notes: Notes,
    poll: Duration,
    key: PeerKey,
    mut reporter: Reporter,
) {
    reporter.found();
    let mut ticks = interval(poll);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        if look(&mut notes, &key, &mut reporter).await.is_err() {
            return;
        }
    }
}

async fn look(notes: &mut Notes, key: &PeerKey, reporter: &mut Reporter) -> Result<(), Closed> {
    loop {
        let at = crate::record::clock::now();
        let prepared = notes.prepare().await;
        let read = match prepared {
            Ok(()) => notes.read(reporter.are_recorded()).await,
            Err(error) => Err(error),
        };
        let new = match read {
            Ok(new) => new,
            Err(error) => return reporter.outcome(at, Err(error)).await,
        };
        for note in new.notes {
            match event(&note, key) {
                Ok((at, content)) => reporter.send(at, content).await?,
                Err(error) => notes.refuse(&error.into()),
            }
        }
        // Of a pile of notes, the last ones tell how far all is known.
        if !new.has_more {
            return reporter.outcome(new.until, Ok(Content::Unchanged)).await;
        }
    }
}

/// What a note reports, and when that was.
pub fn event(note: &Note, key: &PeerKey) -> Result<(Utc, Content), BadNote> {
    let Note { stamp, server: _, fields } = note;
    let at = match fields.of("at") {
        None => stamp.utc,
        Some(_) => Utc::from_ns(fields.parsed("at")?),
    };
    let name = required(fields, "name")?;
    let bad_prefix = BadNote::Field { name: "prefix" };
    let prefix = fields.of("prefix").and_then(parse_prefix).ok_or(bad_prefix)?;
    // The same when it is closed, so that it depends on nothing but the addresses.
    let discriminator = first_64_bits(&[prefix.in_clear().to_string().as_bytes()]);
    let key = EntryKey { peer: key.peer(Source::Lease, name), discriminator };
    let content = match required(fields, "action")? {
        "open" => Content::Began(Entry {
            key,
            state: State::Tunnel,
            since: Some(Since { earliest: Some(at), certain: at }),
            until: None,
            prefixes: BTreeSet::from([prefix]),
            outer: None,
            bytes: None,
        }),
        "close" => Content::Ended { key, reason: EndReason::Disconnected, bytes: None },
        _ => return Err(BadNote::Field { name: "action" }),
    };
    Ok((at, content))
}

fn required<'a>(fields: &'a Fields, name: &'static str) -> Result<&'a str, BadNote> {
    fields.of(name).filter(|value| !value.is_empty()).ok_or(BadNote::Field { name })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::hook::Stamp;

    fn note(fields: &[(&str, &str)]) -> Note {
        let add = |all: Fields, (name, value): &(&str, &str)| all.with(name, Some(value));
        let fields = fields.iter().fold(Fields::default(), add);
        let stamp = Stamp { since_boot: Duration::from_secs(1), utc: Utc::from_ms(5_000) };
        Note { stamp, server: None, fields }
    }

    #[test]
    fn a_lease_is_closed_by_the_name_and_the_addresses_that_it_was_opened_with() {
        let key = PeerKey::new(vec![7; 32]).unwrap();
        let (open, close) = (
            note(&[("action", "open"), ("name", "ada"), ("prefix", "10.0.0.7")]),
            note(&[("action", "close"), ("name", "ada"), ("prefix", "10.0.0.7/32"), ("at", "7")]),
        );
        let (at, Content::Began(entry)) = event(&open, &key).unwrap() else { panic!() };
        assert_eq!(
            (at, entry.state, entry.prefixes.len()),
            (Utc::from_ms(5_000), State::Tunnel, 1)
        );
        let (at, Content::Ended { key: ended, .. }) = event(&close, &key).unwrap() else {
            panic!()
        };
        assert_eq!((at, ended), (Utc::from_ns(7), entry.key));
    }

    #[test]
    fn a_note_that_lacks_something_is_refused() {
        let whole = [("action", "open"), ("name", "ada"), ("prefix", "10.0.0.7"), ("at", "5")];
        let key = PeerKey::new(vec![7; 32]).unwrap();
        for (place, (name, _)) in whole.iter().enumerate() {
            let mut lacking = whole.to_vec();
            lacking[place].1 = "?";
            if *name == "name" {
                lacking[place].1 = "";
            }
            let error = event(&note(&lacking), &key).unwrap_err();
            assert_eq!(error, BadNote::Field { name }, "{name}");
        }
    }
}
