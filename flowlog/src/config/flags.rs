//! The options of the command line that come before keys of the file.

use clap::{
    Arg, ArgAction, ArgMatches, Args, Command, FromArgMatches,
    builder::{PossibleValuesParser, ValueParser},
};

use super::{
    file::File,
    key::{Flag, Key, Kind},
    settings::FILE,
};

/// What options of `flowlog run` set: one for each key whose definition names one.
#[derive(Clone, Default)]
pub struct Flags(Vec<(Key, Flag, Vec<String>)>);

impl Flags {
    /// Sets in a configuration what the options set.
    pub fn apply(&self, file: &mut File) {
        for (key, flag, values) in &self.0 {
            file.set(key, *flag, values.clone());
        }
    }
}

impl Args for Flags {
    fn augment_args(command: Command) -> Command {
        flags().fold(command, |command, (key, flag)| command.arg(argument(key, flag)))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for Flags {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let given = flags().filter_map(|(key, flag)| {
            let values = matches.get_many::<String>(flag.long)?;
            Some((*key, flag, values.cloned().collect()))
        });
        Ok(Self(given.collect()))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

fn flags() -> impl Iterator<Item = (&'static Key, Flag)> {
    FILE.iter().copied().flatten().filter_map(|key| Some((key, key.flag?)))
}

fn argument(key: &Key, flag: Flag) -> Arg {
    let meaning = key.meaning().replace('`', "");
    let (first, _) = meaning.split_once(". ").unwrap_or((&meaning, ""));
    let first = first.trim_end_matches('.').to_owned();
    let default = key.default_item().map_or_else(String::new, |item| {
        format!(" [default: from the configuration file, else {}]", item.content)
    });
    let argument = Arg::new(flag.long)
        .long(flag.long)
        .short(flag.short)
        .value_name(flag.value_name)
        .help(first + &default)
        .long_help(meaning + &default);
    match key.kind {
        Kind::Word(words) => argument.value_parser(PossibleValuesParser::new(words())),
        Kind::List(_) => argument.action(ArgAction::Append).value_delimiter(','),
        _ => argument.value_parser(ValueParser::string()),
    }
}
