//! What a key of the configuration file is, and what can be known of one.

use std::fmt;

use clap::builder::PossibleValue;

use super::item::{Content, Item, Origin, Table};

/// A key of the configuration file.
#[derive(Clone, Copy)]
pub struct Key {
    /// Its name within its table.
    pub name: &'static str,
    /// The kind of value that it takes.
    pub kind: Kind,
    /// What holds where it is not set.
    pub unset: Unset,
    /// The option of `flowlog run` that comes before it.
    pub flag: Option<Flag>,
    /// Its value in the installed file, as TOML, where that is not left to the default.
    pub in_file: Option<&'static str>,
    meaning: &'static str,
    example: Option<&'static str>,
    pub(super) least: u64,
    redact: fn(&str) -> String,
    check: fn(&Key, &Item) -> Result<(), Wrong>,
}

/// The kind of value that a key takes.
#[derive(Clone, Copy)]
pub enum Kind {
    /// A text in quotes.
    Text,
    /// A text that is one of these words.
    Word(fn() -> Vec<PossibleValue>),
    /// A whole number from 0 to this.
    Number(u64),
    /// `true` or `false`.
    Boolean,
    /// A list of values, or of tables.
    List(&'static Kind),
    /// A table of its own.
    Table(&'static [Key]),
}

/// What holds where a key is not set.
#[derive(Clone, Copy)]
pub enum Unset {
    /// This value, as TOML.
    Value(&'static str),
    /// What these words say.
    Words(&'static str),
    /// Nothing: it must be set; where else that can be done.
    Refused(&'static str),
}

/// An option of the command line.
#[derive(Clone, Copy)]
pub struct Flag {
    /// Its name, without dashes.
    pub long: &'static str,
    /// What its value is.
    pub value_name: &'static str,
    /// Its letter.
    pub short: Option<char>,
}

/// A value that makes no sense, or a key that must be set and is not.
#[derive(Debug)]
pub struct Wrong {
    /// The key, with the tables that it is in.
    pub key: String,
    /// What set it; `None` where nothing did.
    pub origin: Option<Origin>,
    /// What is wrong with it, and what would be right.
    pub message: String,
}

/// A type of values of keys.
pub trait Value: Sized {
    /// The kind of value in the file.
    const KIND: Kind;

    /// Reads a value of this kind.
    fn read(item: &Item) -> Result<Self, Wrong>;

    /// What there is where a key is not set that has words for that.
    fn unset() -> Option<Self> {
        None
    }
}

/// A small struct of settings, which `keys!` makes.
pub trait Settings: Sized {
    /// Its keys.
    const KEYS: &'static [Key];

    /// Reads those that are set in a table, and has the defaults of the others.
    fn of(table: &Table) -> Result<Self, Wrong>;
}

impl Key {
    /// A key with values of a type.
    pub const fn of<T: Value>(name: &'static str, meaning: &'static str) -> Self {
        Self {
            name,
            meaning,
            kind: T::KIND,
            unset: Unset::Refused("in the file"),
            flag: None,
            in_file: None,
            example: None,
            least: 0,
            redact: str::to_owned,
            check: |key, item| key.read::<T>(item).map(drop),
        }
    }

    /// The value where it is not set.
    pub const fn default(mut self, toml: &'static str) -> Self {
        self.unset = Unset::Value(toml);
        self
    }

    /// What holds where it is not set, in words.
    pub const fn otherwise(mut self, words: &'static str) -> Self {
        self.unset = Unset::Words(words);
        self
    }

    /// An example of a value; without one it is the default.
    pub const fn example(mut self, toml: &'static str) -> Self {
        self.example = Some(toml);
        self
    }

    /// The value in the installed file.
    pub const fn in_file(mut self, toml: &'static str) -> Self {
        self.in_file = Some(toml);
        self
    }

    /// The least number.
    pub const fn least(mut self, least: u64) -> Self {
        self.least = least;
        self
    }

    /// An option of `flowlog run` that comes before it.
    pub const fn flag(mut self, long: &'static str, value_name: &'static str) -> Self {
        self.flag = Some(Flag { long, value_name, short: None });
        if let Unset::Refused(_) = self.unset {
            self.unset = Unset::Refused("in the file or by its option");
        }
        self
    }

    /// The letter of that option.
    pub const fn short(mut self, letter: char) -> Self {
        if let Some(flag) = &mut self.flag {
            flag.short = Some(letter);
        }
        self
    }

    /// How a value is shown that may have a secret in it.
    pub const fn secret(mut self, redact: fn(&str) -> String) -> Self {
        self.redact = redact;
        self
    }

    /// What it means, as Markdown.
    pub fn meaning(&self) -> &'static str {
        self.meaning.trim()
    }

    /// A value to write down, as TOML.
    pub fn example_toml(&self) -> &'static str {
        match (self.example, self.unset) {
            (Some(example), _) => example,
            (None, Unset::Value(default)) => default,
            (None, _) => "\"\"",
        }
    }

    /// Whether a table is of no use without it.
    pub const fn must_be_set(&self) -> bool {
        matches!(self.unset, Unset::Refused(_)) && self.tables().is_none()
    }

    /// The keys of the table, or of the tables, that it stands for.
    pub const fn tables(&self) -> Option<&'static [Self]> {
        match self.kind {
            Kind::Table(keys) => Some(keys),
            Kind::List(Kind::Table(keys)) => Some(*keys),
            _ => None,
        }
    }

    /// Whether it stands for any number of values or tables.
    pub const fn is_list(&self) -> bool {
        matches!(self.kind, Kind::List(_))
    }

    /// Its default as a value, where it has one.
    pub fn default_item(&self) -> Option<Item> {
        match self.unset {
            Unset::Value(toml) => Item::of_toml(toml),
            Unset::Words(_) | Unset::Refused(_) => None,
        }
    }

    /// A text of it as it may be shown.
    pub fn shown(&self, content: &Content) -> Content {
        match content {
            Content::Text(text) => Content::Text((self.redact)(text)),
            other => other.clone(),
        }
    }

    /// Checks a value of it.
    pub fn check(&self, item: &Item) -> Result<(), Wrong> {
        (self.check)(self, item)
    }

    /// The value in a table, or the default.
    pub fn value<T: Value>(&self, table: &Table) -> Result<T, Wrong> {
        if let Some(item) = table.0.get(self.name) {
            return self.read(item);
        }
        let value = match self.unset {
            Unset::Value(_) => self.default_item().map(|item| self.read(&item)).transpose()?,
            Unset::Words(_) => T::unset(),
            Unset::Refused(_) => None,
        };
        value.ok_or_else(|| Wrong {
            key: self.name.to_owned(),
            origin: None,
            message: self.missing(),
        })
    }

    fn read<T: Value>(&self, item: &Item) -> Result<T, Wrong> {
        if let Content::Number(number) = item.content
            && number < self.least
        {
            let better = match self.unset {
                Unset::Value(default) if number != 0 => format!(", better {default}"),
                _ => String::new(),
            };
            let message =
                format!("{number} is too small; it must be at least {}{better}", self.least);
            return Err(Wrong::of(item, message).within(self.name));
        }
        T::read(item).map_err(|wrong| wrong.within(self.name))
    }

    /// What to do where it must be set and is not.
    fn missing(&self) -> String {
        let option = self.flag.map_or_else(String::new, |flag| format!("--{} or ", flag.long));
        match self.words() {
            Some(words) => format!("it must be set, with {option}in the file: {words}"),
            None => format!(
                "it must be set, with {option}in the file; for example {} = {}",
                self.name,
                self.example_toml()
            ),
        }
    }

    /// The words that it takes, each with its meaning.
    pub fn words(&self) -> Option<String> {
        let Kind::Word(words) = self.kind else { return None };
        let words: Vec<String> = words().iter().map(described).collect();
        let (last, others) = words.split_last()?;
        Some(if others.is_empty() {
            last.clone()
        } else {
            format!("{} or {last}", others.join(", "))
        })
    }
}

fn described(word: &PossibleValue) -> String {
    let name = word.get_name();
    let Some(help) = word.get_help() else { return format!("{name:?}") };
    let help = help.to_string();
    let mut letters = help.chars();
    let first = letters.next().map_or('-', |letter| letter.to_ascii_lowercase());
    format!("{name:?} ({first}{})", letters.as_str())
}

impl Wrong {
    /// The value is wrong.
    pub fn of(item: &Item, message: impl fmt::Display) -> Self {
        let message = message.to_string();
        Self { key: String::new(), origin: Some(item.origin.clone()), message }
    }

    /// The same of a key within a table, or in a list.
    pub fn within(mut self, name: &str) -> Self {
        let between = if self.key.is_empty() || self.key.starts_with('[') { "" } else { "." };
        self.key = format!("{name}{between}{}", self.key);
        self
    }
}
