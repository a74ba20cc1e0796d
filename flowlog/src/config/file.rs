//! A configuration file, and the options that come before it.

use std::path::{Path, PathBuf};

use super::{
    error::Error,
    item::{Content, Item, Origin, Table},
    key::{Flag, Key, Kind, Settings, Wrong},
    plain,
    settings::{FILE, TimeSettings},
};

/// What a configuration file sets, and what options set instead. Every key may be left out.
#[derive(Clone, Debug, Default)]
pub struct File {
    path: Option<PathBuf>,
    table: Table,
}

impl File {
    /// Reads a configuration file.
    pub fn read(path: &Path) -> Result<Self, Error> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| Error::Read { path: path.to_owned(), source })?;
        let file = Self::parse(&text)
            .map_err(|message| Error::Parse { path: path.to_owned(), message })?;
        Ok(Self { path: Some(path.to_owned()), ..file })
    }

    /// Parses the text of a configuration file; the error names the line and the remedy.
    pub fn parse(text: &str) -> Result<Self, String> {
        Ok(Self { path: None, table: plain::read(text, FILE)? })
    }

    /// Has the values of an option of the command line instead of the file's.
    pub(super) fn set(&mut self, key: &Key, flag: Flag, values: Vec<String>) {
        let origin = Origin::Flag(flag.long);
        let item = |value| Item { content: Content::Text(value), origin: origin.clone() };
        let mut items: Vec<Item> = values.into_iter().map(item).collect();
        let content = match (key.kind, items.pop()) {
            (_, None) => return,
            (Kind::List(_), Some(last)) => {
                items.push(last);
                Content::List(items)
            }
            (_, Some(last)) => last.content,
        };
        self.table.0.insert(key.name.to_owned(), Item { content, origin });
    }

    /// Has the defaults that depend on the machine and on other keys.
    pub(super) fn complete(&mut self, hostname: &str) {
        self.set_default("gateway", hostname);
        let times = TimeSettings::of(&self.table).ok();
        let window = self.table.0.get("window").map(|item| item.content.clone());
        if let (Some(Content::Text(window)), Some(times)) = (window, times)
            && times.window < times.drain_interval
        {
            self.set_default("drain_interval", &window);
        }
    }

    /// Has a value where nothing sets one.
    fn set_default(&mut self, name: &str, value: &str) {
        let item = || Item::of_default(Content::Text(value.to_owned()));
        self.table.0.entry(name.to_owned()).or_insert_with(item);
    }

    /// The settings of one part.
    pub fn settings<T: Settings>(&self) -> Result<T, Error> {
        T::of(&self.table).map_err(|wrong| self.wrong(wrong))
    }

    /// What is wrong with the value that a key has, wherever it comes from.
    pub(super) fn wrong_value(&self, key: &str, message: String) -> Error {
        let item = self.table.0.get(key);
        let origin = item.map_or(Origin::Default, |item| item.origin.clone());
        self.wrong(Wrong { key: key.to_owned(), origin: Some(origin), message })
    }

    pub(super) fn wrong(&self, Wrong { key, origin, message }: Wrong) -> Error {
        let place = match origin {
            None => return Error::Missing { key, message },
            Some(Origin::Default) => String::new(),
            Some(Origin::Flag(long)) => {
                return Error::Value { place: String::new(), key: format!("--{long}"), message };
            }
            Some(Origin::Line(line)) => match &self.path {
                Some(path) => format!("the configuration {}, line {line}: ", path.display()),
                None => format!("line {line}: "),
            },
        };
        Error::Value { place, key, message }
    }

    /// Where it was read.
    pub(super) fn path(&self) -> Option<&Path> {
        self.path.as_deref()
    }

    /// What is set.
    pub(super) const fn table(&self) -> &Table {
        &self.table
    }
}
