//! Values of keys as they are written, each with its origin.

use std::{collections::BTreeMap, fmt};

use toml::de::{DeTable, DeValue};

/// What set a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Nothing did.
    Default,
    /// A line of the configuration file.
    Line(usize),
    /// An option of the command line.
    Flag(&'static str),
}

/// A value and its origin.
#[derive(Clone, Debug)]
pub struct Item {
    /// The value.
    pub content: Content,
    /// What set it.
    pub origin: Origin,
}

/// A value as it is written.
#[derive(Clone)]
pub enum Content {
    /// A text in quotes.
    Text(String),
    /// A whole number from 0.
    Number(u64),
    /// Yes or no.
    Boolean(bool),
    /// A list of values, or of tables.
    List(Vec<Item>),
    /// Keys within a table.
    Table(Table),
}

/// The keys that are set in a table.
#[derive(Clone, Debug, Default)]
pub struct Table(pub BTreeMap<String, Item>);

impl Item {
    /// A value that nothing but its key's own definition set.
    pub fn of_default(content: Content) -> Self {
        Self { content, origin: Origin::Default }
    }

    /// Reads a value as the definition of a key has it.
    pub fn of_toml(toml: &str) -> Option<Self> {
        let text = format!("key = {toml}");
        let table = DeTable::parse(&text).ok()?;
        let (_, value) = table.get_ref().iter().next()?;
        Some(Self::of_default(Content::read(value.get_ref(), &|_| Origin::Default)?))
    }
}

impl Table {
    /// Reads a table; `None` where a value is of a kind that no key has.
    pub fn read(table: &DeTable<'_>, origin: &impl Fn(usize) -> Origin) -> Option<Self> {
        let items = table.iter().map(|(key, value)| {
            let content = Content::read(value.get_ref(), origin)?;
            let item = Item { content, origin: origin(key.span().start) };
            Some((key.get_ref().to_string(), item))
        });
        items.collect::<Option<_>>().map(Self)
    }
}

impl Content {
    fn read(value: &DeValue<'_>, origin: &impl Fn(usize) -> Origin) -> Option<Self> {
        match value {
            DeValue::String(text) => Some(Self::Text(text.to_string())),
            DeValue::Integer(number) => {
                let number = u64::from_str_radix(number.as_str(), number.radix()).ok()?;
                Some(Self::Number(number))
            }
            DeValue::Boolean(value) => Some(Self::Boolean(*value)),
            DeValue::Array(values) => {
                let items = values.iter().map(|value| {
                    let content = Self::read(value.get_ref(), origin)?;
                    Some(Item { content, origin: origin(value.span().start) })
                });
                items.collect::<Option<_>>().map(Self::List)
            }
            DeValue::Table(table) => Table::read(table, origin).map(Self::Table),
            _ => None,
        }
    }
}

impl fmt::Debug for Content {
    /// Writes no text: it may be the address of a member, or a URL with a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(_) => f.write_str("[withheld]"),
            Self::Number(number) => number.fmt(f),
            Self::Boolean(value) => value.fmt(f),
            Self::List(items) => items.fmt(f),
            Self::Table(table) => table.fmt(f),
        }
    }
}

impl fmt::Display for Content {
    /// Writes it as TOML, but for tables, which are written on lines of their own.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            // What JSON escapes in a text is escaped in the same way in TOML.
            Self::Text(text) => write!(f, "{}", serde_json::Value::from(text.as_str())),
            Self::Number(number) => write!(f, "{number}"),
            Self::Boolean(value) => write!(f, "{value}"),
            Self::List(items) => {
                let items: Vec<String> =
                    items.iter().map(|item| item.content.to_string()).collect();
                write!(f, "[{}]", items.join(", "))
            }
            Self::Table(_) => f.write_str("{}"),
        }
    }
}
