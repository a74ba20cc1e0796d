//! The macro that defines keys: a small struct of settings, with a field for each key.
//!
//! The type of a field parses its value. The definition gives the check of a file and of options, the
//! reference, the installed file and `flowlog config show`. To add a key is to add a field to one of the
//! structs of `settings`.

use super::{
    item::Table,
    key::{Key, Value, Wrong},
};

/// The value of each key in turn, for [`keys!`].
pub fn value_of_next<T: Value>(
    keys: &mut std::slice::Iter<'_, Key>,
    table: &Table,
) -> Result<T, Wrong> {
    let missing = || Wrong {
        key: String::new(),
        origin: None,
        message: "there are fewer keys than settings".to_owned(),
    };
    keys.next().ok_or_else(missing)?.value(table)
}

/// Makes a struct of settings: for each key its meaning, its type, and what else there is to know.
///
/// What follows a colon is a value as TOML has it. See [`Key`] for what can be known of a key.
macro_rules! keys {
    (
        $(#[$about:meta])*
        pub struct $settings:ident {
            $(
                $(#[doc = $meaning:literal])+
                pub $key:ident: $type:ty
                $(, $property:ident $(: $toml:tt)? $(($($argument:expr),*))?)*;
            )+
        }
    ) => {
        $(#[$about])*
        #[derive(Clone, Debug)]
        pub struct $settings {
            $($(#[doc = $meaning])+ pub $key: $type,)+
        }

        impl $crate::config::key::Settings for $settings {
            const KEYS: &'static [$crate::config::key::Key] = &[$(
                $crate::config::key::Key::of::<$type>(stringify!($key), concat!($($meaning),+))
                    $(.$property($(stringify!($toml))? $($($argument),*)?))*
            ),+];

            fn of(
                table: &$crate::config::item::Table,
            ) -> Result<Self, $crate::config::key::Wrong> {
                let mut keys = Self::KEYS.iter();
                Ok(Self {
                    $($key: $crate::config::keys::value_of_next(&mut keys, table)?,)+
                })
            }
        }

        impl $crate::config::key::Value for $settings {
            const KIND: $crate::config::key::Kind = $crate::config::key::Kind::Table(
                <Self as $crate::config::key::Settings>::KEYS,
            );

            fn read(
                item: &$crate::config::item::Item,
            ) -> Result<Self, $crate::config::key::Wrong> {
                match &item.content {
                    $crate::config::item::Content::Table(table) => {
                        $crate::config::key::Settings::of(table)
                    }
                    _ => Err($crate::config::key::Wrong::of(item, "it must be a table")),
                }
            }
        }
    };
}

pub(super) use keys;
