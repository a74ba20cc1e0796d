//! Kinds of failures, and how an answer shows which one it is.

use std::{error::Error as StdError, io};

use crate::store::request::Odd;

/// A kind of failure: it decides how soon to try again, and what to tell the operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Kind {
    /// The store is away, slow, throttles or fails by itself.
    Away,
    /// Credentials have expired, and may be renewed.
    Expired,
    /// The store has not what it said it has.
    Unfaithful,
    /// There is no such object.
    Missing,
    /// The credentials do not allow it.
    Denied,
    /// There are no credentials.
    NoCredentials,
    /// There is no such bucket or container.
    NoBucket,
    /// No space or quota is left.
    Full,
    /// The clock of this machine or of the store is wrong.
    Clock,
    /// Another daemon has the gateway's lock.
    Locked,
    /// The store is configured in a way that cannot work.
    Setup,
}

impl Kind {
    /// Whether it is expected to pass without anybody doing anything.
    #[must_use]
    pub const fn is_passing(self) -> bool {
        matches!(self, Self::Away | Self::Expired | Self::Unfaithful)
    }

    /// What somebody could do about it.
    #[must_use]
    pub const fn remedy(self) -> Option<&'static str> {
        Some(match self {
            Self::Away => {
                "check that the store answers, and the network or disk on the way; \
                 `flowlog run` tries again by itself"
            }
            Self::Unfaithful => {
                "find out which other program writes to the store, or answers in its place; \
                 `flowlog run` tries again by itself"
            }
            Self::Missing => "find out which other program deletes from the store",
            Self::Expired => {
                "keys from an instance, a role or a web identity are renewed; \
                 with keys from the environment, restart with new ones"
            }
            Self::Denied => "see docs/stores.md for the permissions that flowlog needs",
            Self::NoCredentials => {
                "set the usual variables of the cloud, such as AWS_ACCESS_KEY_ID"
            }
            Self::NoBucket => "make the bucket or container, or correct the URL",
            Self::Full => "free some space, or raise the quota",
            Self::Clock => "set the clock: stores refuse requests with a time that is minutes off",
            Self::Locked => "stop the other flowlog, or give this one another gateway name",
            Self::Setup => "correct the URL, the region or the endpoint",
        })
    }
}

/// Words of the clouds' answers. They are looked for before the status: S3 says 400 for a token that has
/// expired, and Azure 403.
const WORDS: [(Kind, &[&str]); 5] = [
    (
        Kind::Expired,
        &[
            "ExpiredToken",
            "RequestExpired",
            "TokenRefreshRequired",
            "Signature not valid in the specified time frame",
            "token is expired",
        ],
    ),
    (Kind::Clock, &["RequestTimeTooSkewed", "Request date header too old"]),
    (
        Kind::NoBucket,
        &["NoSuchBucket", "ContainerNotFound", "FilesystemNotFound", "bucket does not exist"],
    ),
    (Kind::Full, &["QuotaExceeded", "InsufficientStorage", "507 Insufficient"]),
    // The metadata service of a cloud is asked last, when there are no keys.
    (Kind::NoCredentials, &["169.254.169.254", "metadata.google.internal"]),
];

pub(super) fn kind_of(error: &(dyn StdError + 'static)) -> Kind {
    let said = causes(error).find_map(|cause| kind_of_io(cause.downcast_ref()?));
    if let Some(kind) = said {
        return kind;
    }
    match error.downcast_ref::<object_store::Error>() {
        Some(error) => kind_of_answer(error),
        None => Kind::Away,
    }
}

fn kind_of_answer(error: &object_store::Error) -> Kind {
    // The type that has status and body is private to object_store; what it shows has both.
    let text = error.to_string();
    let said = |(_, words): &&(Kind, &[&str])| words.iter().any(|word| text.contains(word));
    if let Some((kind, _)) = WORDS.iter().find(said) {
        return *kind;
    }
    match error {
        object_store::Error::PermissionDenied { .. }
        | object_store::Error::Unauthenticated { .. } => Kind::Denied,
        object_store::Error::NotFound { .. } => Kind::Missing,
        // The object changed meanwhile; the next attempt sees to what.
        object_store::Error::AlreadyExists { .. } | object_store::Error::Precondition { .. } => {
            Kind::Away
        }
        object_store::Error::InvalidPath { .. }
        | object_store::Error::NotSupported { .. }
        | object_store::Error::NotImplemented { .. }
        | object_store::Error::UnknownConfigurationKey { .. } => Kind::Setup,
        _ => match status(&text) {
            Some(401 | 403) => Kind::Denied,
            Some(408 | 429) => Kind::Away,
            Some(300..=499 | 501) => Kind::Setup,
            _ if text.contains("redirect without LOCATION") => Kind::Setup,
            _ => Kind::Away,
        },
    }
}

fn kind_of_io(error: &io::Error) -> Option<Kind> {
    match error.kind() {
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => Some(Kind::Denied),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Some(Kind::Full),
        io::ErrorKind::NotFound => Some(Kind::Missing),
        io::ErrorKind::NotADirectory => Some(Kind::Setup),
        _ if error.get_ref().is_some_and(<dyn StdError + Send + Sync>::is::<Odd>) => {
            Some(Kind::Setup)
        }
        _ => None,
    }
}

pub(super) fn causes<'a>(
    error: &'a (dyn StdError + 'static),
) -> impl Iterator<Item = &'a (dyn StdError + 'static)> {
    std::iter::successors(Some(error), |&error| error.source())
}

fn status(text: &str) -> Option<u16> {
    let (_, rest) = text.split_once("status code: ")?;
    rest.get(..3)?.parse().ok()
}
