//! Whether a configuration file has the keys and kinds of values that there are, in plain words.
//!
//! It is looked at before it is parsed into types, whose own messages name them. No message repeats
//! a value, and of unknown keys only those that can be a key: an order has addresses in it.

use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use super::reference::{Key, MUST_BE_GIVEN, keys, target_keys};

/// Checks the text of a configuration file; the error names the line and the remedy.
pub(super) fn check(text: &str) -> Result<(), String> {
    let table = DeTable::parse(text).map_err(|error| {
        let place = error.span().map_or(0, |span| span.start);
        at(text, place, &format!("not valid TOML: {}", error.message().replace('\n', " ")))
    })?;
    let keys: Vec<Key> = keys().into_iter().chain(target_keys()).collect();
    Checking { text, keys: &keys }.table("", table.get_ref(), table.span().start)
}

/// The key whose value is at a place of the text.
pub(super) fn key_at(text: &str, place: usize) -> Option<String> {
    let table = DeTable::parse(text).ok()?;
    let table = table.get_ref();
    let (key, _) = table.iter().find(|(_, value)| value.span().contains(&place))?;
    Some(key.get_ref().to_string())
}

/// A message with the line of a place in the text.
pub(super) fn at(text: &str, place: usize, message: &str) -> String {
    let before = text.get(..place).unwrap_or(text);
    format!("line {}: {message}", before.matches('\n').count() + 1)
}

struct Checking<'a> {
    text: &'a str,
    keys: &'a [Key],
}

impl Checking<'_> {
    /// Checks a table, whose keys begin with `prefix`.
    fn table(&self, prefix: &str, table: &DeTable<'_>, place: usize) -> Result<(), String> {
        for (key, value) in table {
            let name = format!("{prefix}{}", key.get_ref());
            let inner = format!("{name}.");
            let place = key.span().start;
            if let Some(known) = self.keys.iter().find(|known| known.name == name) {
                self.value(known, value)?;
            } else if !self.keys.iter().any(|known| known.name.starts_with(&inner)) {
                return Err(at(self.text, place, &self.unknown(prefix, key.get_ref())));
            } else if name == "targets" {
                let wrong = || {
                    let message = "targets must be tables, each written as [[targets]] with prefix, from and to";
                    at(self.text, place, message)
                };
                for target in value.get_ref().as_array().ok_or_else(wrong)? {
                    let table = target.get_ref().as_table().ok_or_else(wrong)?;
                    self.table(&inner, table, place)?;
                }
            } else {
                let wrong = || {
                    let message =
                        format!("{name} must be a table, written as [{name}] on a line of its own");
                    at(self.text, place, &message)
                };
                self.table(&inner, value.get_ref().as_table().ok_or_else(wrong)?, place)?;
            }
        }
        let is_missing = |key: &&Key| {
            let name = key.name.strip_prefix(prefix).filter(|name| !name.contains('.'));
            !prefix.is_empty()
                && key.default == MUST_BE_GIVEN
                && name.is_some_and(|name| !table.contains_key(name))
        };
        match self.keys.iter().find(is_missing) {
            Some(Key { name, example, .. }) => {
                let message =
                    format!("{name} is missing; write for example {}", last(name, example));
                Err(at(self.text, place, &message))
            }
            None => Ok(()),
        }
    }

    fn value(&self, known: &Key, value: &Spanned<DeValue<'_>>) -> Result<(), String> {
        let Key { name, example, .. } = known;
        let wrong = |kind: &str| {
            let message = format!("{name} must be {kind}, for example {}", last(name, example));
            Err(at(self.text, value.span().start, &message))
        };
        let is_texts = |value: &DeValue<'_>| {
            value.as_array().is_some_and(|array| array.iter().all(|text| text.get_ref().is_str()))
        };
        let is_count = |value: &DeValue<'_>| {
            value.as_integer().is_some_and(|number| !number.as_str().starts_with('-'))
        };
        match (example.as_bytes().first(), value.get_ref()) {
            (Some(b'"'), value) if !value.is_str() => wrong("a text in quotes"),
            (Some(b'['), value) if !is_texts(value) => wrong("a list of texts in quotes"),
            (Some(b'0'..=b'9'), value) if !is_count(value) => wrong("a whole number from 0"),
            _ => Ok(()),
        }
    }

    /// A name with anything but letters in it may be an address.
    fn unknown(&self, prefix: &str, key: &str) -> String {
        let is_word = |c: char| c.is_ascii_lowercase() || c == '_' || c == '-';
        if !key.chars().all(is_word) {
            return "there is no such key".to_owned();
        }
        let known = self.keys.iter().filter_map(|known| known.name.strip_prefix(prefix));
        let near = known.map(|known| (distance(known, key), known)).min();
        match near.filter(|(distance, _)| *distance <= 3) {
            Some((_, known)) => format!("there is no key {prefix}{key}; is {prefix}{known} meant?"),
            None => format!("there is no key {prefix}{key}"),
        }
    }
}

/// A key as it is written within its table.
fn last(name: &str, example: &str) -> String {
    format!("{} = {example}", name.rsplit('.').next().unwrap_or(name))
}

/// How many letters are to be put in, left out or changed to make one word the other.
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, y) in b.bytes().enumerate() {
            let changed = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = changed.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_wrong_file_is_refused_in_plain_words_with_its_line() {
        for (text, said) in [
            ("profile = ", "line 1: not valid TOML"),
            ("\nwindwo = \"5m\"", "line 2: there is no key windwo; is window meant?"),
            ("pony = 1", "there is no key pony"),
            ("window = 5", "line 1: window must be a text in quotes, for example window = \"5m\""),
            ("interfaces = \"wg0\"", "interfaces must be a list of texts in quotes"),
            ("interfaces = [\"wg0\", 1]", "interfaces must be a list"),
            ("max_flows_v4 = \"many\"", "max_flows_v4 must be a whole number from 0"),
            ("spool_max_bytes = -1", "spool_max_bytes must be a whole number from 0"),
            ("retention = \"90d\"", "retention must be a table, written as [retention]"),
            (
                "[retention]\nkeeps = \"90d\"",
                "line 2: there is no key retention.keeps; is retention.keep meant?",
            ),
            ("[retention]", "retention.keep is missing; write for example keep = \"90d\""),
            ("[retention]\nkeep = 90", "retention.keep must be a text in quotes"),
            ("[[targets]]\nprefix = \"a\"\nfrom = \"b\"", "targets.to is missing"),
            ("targets = [\"a\"]", "targets must be tables"),
            ("[targets]\nprefix = \"a\"", "targets must be tables"),
        ] {
            let error = check(text).unwrap_err();
            assert!(error.contains(said), "{text:?}: {error}");
            assert!(
                !error.contains("expected struct") && !error.contains("invalid type"),
                "{error}"
            );
        }
    }

    #[test]
    fn no_message_has_an_address_of_the_file_in_it() {
        for address in ["192.0.2.77", "2001:db8::77", "cafe::"] {
            for text in [
                format!("targets = [\"{address}\"]"),
                format!("targets = \"{address}\""),
                format!("\"{address}\" = 1"),
                format!("[[targets]]\n\"{address}\" = 1"),
                format!("[[targets]]\nprefix = \"{address}\"\nfrom = {{ a = \"{address}\" }}"),
                format!("[\"{address}\"]"),
                format!("profile = {address}"),
                format!("[[targets]]\nprefix = {address}"),
            ] {
                let error = check(&text).unwrap_err();
                assert!(!error.contains(address), "{text:?}: {error}");
            }
        }
    }
}
