//! Each key with its value and the origin of the value: `flowlog config show`.

use serde::Serialize;

use super::{
    Config, Error, File,
    item::{Content, Item, Origin, Table},
    key::{Key, Unset},
    settings::FILE,
};

/// Every key of a configuration, with its value.
#[derive(Debug, Serialize)]
pub struct Shown {
    /// The keys, in the order of the reference.
    pub keys: Vec<ShownKey>,
}

/// A key with its value.
#[derive(Debug, Serialize)]
pub struct ShownKey {
    /// Its name with its table, as in `retention.keep` or `targets[0].from`.
    pub key: String,
    /// Its value, without secrets; `None` where it has none.
    pub value: Option<serde_json::Value>,
    /// What set the value: `default`, `file` or `flag`.
    pub origin: &'static str,
    /// The file that set it.
    pub file: Option<String>,
    /// The line of the file.
    pub line: Option<usize>,
    /// The option that set it.
    pub flag: Option<String>,
    /// What holds where there is no value.
    pub without: Option<&'static str>,
    /// Its table, as a line of the file.
    #[serde(skip)]
    header: String,
}

/// Shows a configuration, which may lack what must be set, but has no wrong value.
pub fn show(mut file: File, hostname: &str) -> Result<Shown, Error> {
    file.complete(hostname);
    let keys = FILE.concat();
    for key in &keys {
        if let Some(item) = file.table().0.get(key.name) {
            key.check(item).map_err(|wrong| file.wrong(wrong))?;
        }
    }
    match Config::from_file(file.clone(), hostname) {
        Ok(_) | Err(Error::Missing { .. }) => {}
        Err(error) => return Err(error),
    }
    let path = file.path().map(|path| path.display().to_string());
    let mut shown = Shown { keys: vec![] };
    shown.table(&keys, "", "", file.table());
    for key in &mut shown.keys {
        key.file = path.clone().filter(|_| key.line.is_some());
    }
    Ok(shown)
}

impl Shown {
    pub(super) fn table(&mut self, keys: &[Key], prefix: &str, header: &str, table: &Table) {
        for key in keys.iter().filter(|key| key.tables().is_none()) {
            self.keys.push(ShownKey::of(key, prefix, header, table.0.get(key.name)));
        }
        let tables = || keys.iter().filter_map(|key| Some((key, key.tables()?)));
        for (key, _) in tables().filter(|(key, _)| !table.0.contains_key(key.name)) {
            self.keys.push(ShownKey::of(key, prefix, header, None));
        }
        for (key, inner) in tables() {
            let name = format!("{prefix}{}", key.name);
            match table.0.get(key.name).map(|item| &item.content) {
                Some(Content::Table(table)) => {
                    self.table(inner, &format!("{name}."), &format!("[{name}]"), table);
                }
                Some(Content::List(tables)) => {
                    for (index, table) in tables.iter().enumerate() {
                        let Content::Table(table) = &table.content else { continue };
                        let prefix = format!("{name}[{index}].");
                        self.table(inner, &prefix, &format!("[[{name}]]"), table);
                    }
                }
                _ => {}
            }
        }
    }

    /// The configuration as a file, with the origin of each value behind it.
    #[must_use]
    pub fn text(&self) -> String {
        let assignments: Vec<String> = self.keys.iter().map(ShownKey::assignment).collect();
        let width = assignments.iter().map(|text| text.chars().count()).max().unwrap_or(0);
        let mut lines = vec![];
        let mut table = "";
        for (key, assignment) in self.keys.iter().zip(&assignments) {
            if key.table_name() != table {
                table = key.table_name();
                lines.push(format!("\n{}\n", key.header));
            }
            lines.push(format!("{assignment:<width$}  # {}\n", key.origin_text()));
        }
        lines.concat()
    }
}

impl ShownKey {
    fn of(key: &Key, prefix: &str, header: &str, item: Option<&Item>) -> Self {
        let default = key.default_item();
        let item = item.or(default.as_ref());
        let (origin, line, flag) = match item.map(|item| &item.origin) {
            None | Some(Origin::Default) => ("default", None, None),
            Some(Origin::Line(line)) => ("file", Some(*line), None),
            Some(Origin::Flag(long)) => ("flag", None, Some(format!("--{long}"))),
        };
        let without = match (item, key.unset) {
            (None, Unset::Words(words)) => Some(words),
            (None, Unset::Refused(_)) => Some("must be set"),
            _ => None,
        };
        Self {
            key: format!("{prefix}{}", key.name),
            value: item.map(|item| json(&key.shown(&item.content))),
            origin,
            file: None,
            line,
            flag,
            without,
            header: header.to_owned(),
        }
    }

    fn table_name(&self) -> &str {
        self.key.rsplit_once('.').map_or("", |(table, _)| table)
    }

    fn assignment(&self) -> String {
        let name = self.key.rsplit('.').next().unwrap_or_default();
        match (&self.value, self.without) {
            (Some(value), _) => format!("{name} = {value}"),
            (None, without) => format!("# {name}: {}", without.unwrap_or_default()),
        }
    }

    fn origin_text(&self) -> String {
        match (&self.file, self.line, &self.flag) {
            (Some(file), Some(line), _) => format!("{file}:{line}"),
            (None, Some(line), _) => format!("line {line}"),
            (_, _, Some(flag)) => flag.clone(),
            _ => self.origin.to_owned(),
        }
    }
}

/// What has no tables in it is written in TOML as it is in JSON.
fn json(content: &Content) -> serde_json::Value {
    match content {
        Content::Text(text) => text.as_str().into(),
        Content::Number(number) => (*number).into(),
        Content::Boolean(value) => (*value).into(),
        Content::List(items) => items.iter().map(|item| json(&item.content)).collect(),
        Content::Table(_) => serde_json::Value::Null,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> Result<Shown, String> {
        show(File::parse(text)?, "gw1").map_err(|error| error.to_string())
    }

    fn key<'a>(shown: &'a Shown, name: &str) -> &'a ShownKey {
        shown.keys.iter().find(|key| key.key == name).unwrap()
    }

    #[test]
    fn each_value_comes_with_its_origin() {
        let shown =
            shown("profile = \"flows\"\n\nwindow = \"1s\"\n[retention]\nkeep = \"90d\"").unwrap();
        let window = key(&shown, "window");
        assert_eq!(
            (window.value.clone(), window.origin, window.line),
            (Some("1s".into()), "file", Some(3))
        );
        let keep = key(&shown, "retention.keep");
        assert_eq!((keep.origin, keep.line), ("file", Some(5)));
        assert_eq!(key(&shown, "retention.interval").origin, "default");
        assert_eq!(key(&shown, "drain_interval").value, Some("1s".into()), "as long as the window");
        assert_eq!(key(&shown, "gateway").value, Some("gw1".into()));
        assert_eq!(key(&shown, "interfaces").value, None);
        assert_eq!(key(&shown, "targets").without, Some("nobody"));
    }

    #[test]
    fn what_is_shown_is_a_configuration_file() {
        let text = "profile = \"flows\"\ninterfaces = [\"wg0\", \"tun*\"]\nspool = \"/a \\\"b\"\n[retention]\nkeep = \"90d\"";
        let first = shown(text).unwrap();
        let again = shown(&first.text()).unwrap();
        let values = |shown: &Shown| {
            shown.keys.iter().map(|key| (key.key.clone(), key.value.clone())).collect::<Vec<_>>()
        };
        assert_eq!(values(&first), values(&again));
    }

    #[test]
    fn no_password_and_no_member_is_shown() {
        let text = "profile = \"targeted\"\ninterfaces = [\"wg0\"]\nstore = \"s3://me:secret@bucket/a\"\n\
                    [[targets]]\nprefix = \"192.0.2.77\"\nfrom = \"2026-03-01T00:00:00Z\"\nto = \"2026-05-01T00:00:00Z\"";
        let shown = shown(text).unwrap();
        let json = serde_json::to_string(&shown).unwrap();
        for text in [shown.text(), json] {
            assert!(text.contains("s3://bucket/a") && text.contains("(withheld)"), "{text}");
            assert!(!text.contains("secret") && !text.contains("192.0.2.77"), "{text}");
        }
        assert_eq!(key(&shown, "targets[0].from").line, Some(6));
    }

    #[test]
    fn a_wrong_value_is_not_shown_but_refused() {
        let error = shown("window = \"7m\"").unwrap_err();
        assert!(error.contains("line 1: window: 420s does not divide an hour"), "{error}");
        assert!(shown("[retention]\nkeep = \"1\"").unwrap_err().contains("line 2: retention.keep"));
        assert!(shown("").is_ok(), "what must be set may be set elsewhere");
    }
}
