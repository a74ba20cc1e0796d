//! Whether a configuration file has the keys and kinds of values that there are, in plain words.
//!
//! It is looked at before it is parsed into types. No message repeats a value but a word where others
//! are expected, and of unknown keys only those that can be a key: an order has addresses in it.

use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use super::{
    item::{Origin, Table},
    key::{Key, Kind},
};

/// Checks the text of a configuration file that has these keys; the error names the line and the
/// remedy.
pub(super) fn read(text: &str, keys: &[&[Key]]) -> Result<Table, String> {
    let table = DeTable::parse(text).map_err(|error| {
        let place = error.span().map_or(0, |span| span.start);
        at(text, place, &format!("not valid TOML: {}", error.message().replace('\n', " ")))
    })?;
    let keys: Vec<Key> = keys.concat();
    Checking { text, all: &keys }.keys(&keys, "", table.get_ref())?;
    Table::read(table.get_ref(), &|place| Origin::Line(line(text, place)))
        .ok_or_else(|| "it has a value of a kind that no key takes".to_owned())
}

fn line(text: &str, place: usize) -> usize {
    text.get(..place).unwrap_or(text).matches('\n').count() + 1
}

/// A message with the line of a place in the text.
fn at(text: &str, place: usize, message: &str) -> String {
    format!("line {}: {message}", line(text, place))
}

struct Checking<'a> {
    text: &'a str,
    all: &'a [Key],
}

impl Checking<'_> {
    /// Checks what is set in a table that has these keys; their names begin with `prefix`.
    fn keys(&self, keys: &[Key], prefix: &str, table: &DeTable<'_>) -> Result<(), String> {
        for (key, value) in table {
            let place = key.span().start;
            match keys.iter().find(|known| known.name == key.get_ref()) {
                Some(known) => self.value(known, prefix, place, value)?,
                None => return Err(self.at(place, &self.unknown(keys, prefix, key.get_ref()))),
            }
        }
        Ok(())
    }

    fn value(
        &self,
        key: &Key,
        prefix: &str,
        place: usize,
        value: &Spanned<DeValue<'_>>,
    ) -> Result<(), String> {
        let name = format!("{prefix}{}", key.name);
        let wrong = |kind: &str| {
            let example = format!("{} = {}", key.name, key.example_toml());
            let message = format!("{name} must be {kind}, for example {example}");
            Err(self.at(value.span().start, &message))
        };
        match (key.kind, value.get_ref()) {
            (Kind::Text, DeValue::String(_)) | (Kind::Boolean, DeValue::Boolean(_)) => Ok(()),
            (Kind::Word(_), DeValue::String(word)) => self.word(key, &name, value, word),
            (Kind::Text | Kind::Word(_), _) => wrong("a text in quotes"),
            (Kind::Number(most), DeValue::Integer(number)) if !number.as_str().starts_with('-') => {
                let number = u64::from_str_radix(number.as_str(), number.radix());
                if number.is_ok_and(|number| number <= most) {
                    return Ok(());
                }
                Err(self.at(value.span().start, &format!("the value of {name} is out of range")))
            }
            (Kind::Number(_), _) => wrong("a whole number from 0"),
            (Kind::Boolean, _) => wrong("true or false"),
            (Kind::Table(keys), DeValue::Table(table)) => self.table(keys, &name, place, table),
            (Kind::Table(_), _) => {
                let message =
                    format!("{name} must be a table, written as [{name}] on a line of its own");
                Err(self.at(place, &message))
            }
            (Kind::List(Kind::Table(keys)), value) => self.tables(keys, &name, place, value),
            (Kind::List(_), DeValue::Array(texts))
                if texts.iter().all(|t| t.get_ref().is_str()) =>
            {
                Ok(())
            }
            (Kind::List(_), _) => wrong("a list of texts in quotes"),
        }
    }

    fn tables(
        &self,
        keys: &[Key],
        name: &str,
        place: usize,
        value: &DeValue<'_>,
    ) -> Result<(), String> {
        let tables = value.as_array().map(|tables| tables.iter().map(|t| t.get_ref().as_table()));
        let tables = tables.and_then(Iterator::collect::<Option<Vec<_>>>);
        let Some(tables) = tables else {
            let inner: Vec<&str> = keys.iter().map(|key| key.name).collect();
            let inner = inner.join(", ");
            let message = format!("{name} must be tables, each written as [[{name}]] with {inner}");
            return Err(self.at(place, &message));
        };
        tables.into_iter().try_for_each(|table| self.table(keys, name, place, table))
    }

    fn table(
        &self,
        keys: &[Key],
        name: &str,
        place: usize,
        table: &DeTable<'_>,
    ) -> Result<(), String> {
        self.keys(keys, &format!("{name}."), table)?;
        let is_missing = |key: &&Key| key.must_be_set() && !table.contains_key(key.name);
        match keys.iter().find(is_missing) {
            Some(key) => {
                let example = format!("{} = {}", key.name, key.example_toml());
                let message =
                    format!("{name}.{} is missing; write for example {example}", key.name);
                Err(self.at(place, &message))
            }
            None => Ok(()),
        }
    }

    fn word(
        &self,
        key: &Key,
        name: &str,
        value: &Spanned<DeValue<'_>>,
        word: &str,
    ) -> Result<(), String> {
        let Kind::Word(words) = key.kind else { return Ok(()) };
        if words().iter().any(|known| known.matches(word, false)) {
            return Ok(());
        }
        let is_word = word.len() <= 20 && word.chars().all(|c| c.is_ascii_alphabetic());
        let not = if is_word { format!(", not {word:?}") } else { String::new() };
        let words = key.words().unwrap_or_default();
        Err(self.at(value.span().start, &format!("{name} must be {words}{not}")))
    }

    /// A name with anything but letters in it may be an address.
    fn unknown(&self, keys: &[Key], prefix: &str, key: &str) -> String {
        let is_word = |c: char| c.is_ascii_lowercase() || c == '_' || c == '-';
        let nearest = nearest(keys, prefix, key).or_else(|| elsewhere(self.all, "", key));
        match nearest {
            Some(known) => format!("unknown key `{prefix}{key}`: did you mean `{known}`?"),
            None if key.chars().all(is_word) => {
                format!("unknown key `{prefix}{key}`; docs/config.md lists all keys")
            }
            None => "unknown key; docs/config.md lists all keys".to_owned(),
        }
    }

    fn at(&self, place: usize, message: &str) -> String {
        at(self.text, place, message)
    }
}

/// The key of the same table that is nearest, where a third of its letters is wrong at most.
fn nearest(keys: &[Key], prefix: &str, wrong: &str) -> Option<String> {
    let distance = |key: &Key| (strsim::damerau_levenshtein(key.name, wrong), key.name);
    let (distance, near) = keys.iter().map(distance).min()?;
    (distance <= (near.len() / 3).max(1)).then(|| format!("{prefix}{near}"))
}

/// The key of this name in another table.
fn elsewhere(keys: &[Key], prefix: &str, name: &str) -> Option<String> {
    keys.iter().find_map(|key| {
        if key.name == name {
            return Some(format!("{prefix}{name}"));
        }
        elsewhere(key.tables()?, &format!("{prefix}{}.", key.name), name)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::settings::FILE;

    fn check(text: &str) -> Result<(), String> {
        read(text, FILE).map(drop)
    }

    #[test]
    fn every_wrong_file_is_refused_in_plain_words_with_its_line() {
        for (text, said) in [
            ("profile = ", "line 1: not valid TOML"),
            ("\nwindwo = \"5m\"", "line 2: unknown key `windwo`: did you mean `window`?"),
            ("pony = 1", "unknown key `pony`"),
            ("\n\nretenton = 5", "line 3: unknown key `retenton`: did you mean `retention`?"),
            (
                "max_flows_v5 = 5",
                "line 1: unknown key `max_flows_v5`: did you mean `max_flows_v4`?",
            ),
            ("keep = \"90d\"", "line 1: unknown key `keep`: did you mean `retention.keep`?"),
            ("window = 5", "line 1: window must be a text in quotes, for example window = \"5m\""),
            ("interfaces = \"wg0\"", "interfaces must be a list of texts in quotes"),
            ("interfaces = [\"wg0\", 1]", "interfaces must be a list"),
            ("max_flows_v4 = \"many\"", "max_flows_v4 must be a whole number from 0"),
            ("spool_max_bytes = -1", "spool_max_bytes must be a whole number from 0"),
            ("retention = \"90d\"", "retention must be a table, written as [retention]"),
            (
                "[retention]\nkeeps = \"90d\"",
                "line 2: unknown key `retention.keeps`: did you mean `retention.keep`?",
            ),
            ("[retention]", "retention.keep is missing; write for example keep = \"90d\""),
            ("[retention]\nkeep = 90", "retention.keep must be a text in quotes"),
            ("[[targets]]\nprefix = \"a\"\nfrom = \"b\"", "targets.to is missing"),
            ("targets = [\"a\"]", "targets must be tables"),
            ("[[source]]\ninterface = \"wg0\"", "source.kind is missing"),
            (
                "[[source]]\nkind = \"openvpn\"\nhook = \"yes\"",
                "line 3: source.hook must be true or false, for example hook = false",
            ),
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
