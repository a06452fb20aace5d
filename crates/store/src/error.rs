//! What can go wrong, and who is to blame.

use std::fmt;

use crate::query::QueryError;

/// Why the store did not do what it was asked. Only [`Unavailable`](Self::Unavailable) and
/// [`Newer`](Self::Newer) are the platform's; all others are the request's, and their texts are for clients.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum StoreError {
    /// Something with this id (or key, or username) exists already. Nothing was written.
    Duplicate {
        /// The id that is taken.
        id: String,
    },
    /// The query, the update or the grouping cannot be done.
    Query(QueryError),
    /// The document, the id or the name cannot be stored.
    Invalid(String),
    /// There is no app with this key, so nothing can be stored for it.
    NoApp(String),
    /// The query looked at data for longer than [`crate::SLOWEST_QUERY`].
    TooSlow,
    /// The query found more than [`crate::LARGEST_ANSWER`].
    TooLarge,
    /// Others kept changing the same documents at the same time. Trying again may help.
    Contended,
    /// The database was made by a newer version of this program.
    Newer {
        /// The version of its layout.
        found: i64,
        /// The newest layout that this program knows.
        known: i64,
    },
    /// The database cannot be reached or does not work. The text is for operators, not for clients.
    Unavailable(String),
}

impl StoreError {
    /// Whether the platform is to blame, and not the request.
    pub fn is_platform(&self) -> bool {
        matches!(self, Self::Unavailable(_) | Self::Newer { .. })
    }

    /// `Duplicate` with the id that the database does not tell.
    pub(crate) fn named(self, taken: &str) -> Self {
        match self {
            Self::Duplicate { .. } => Self::Duplicate { id: taken.to_owned() },
            other => other,
        }
    }

    pub(crate) fn unavailable(doing: &str, error: impl fmt::Display) -> Self {
        Self::Unavailable(format!("{doing}: {error}"))
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Duplicate { id } => write!(f, "{id:?} exists already"),
            Self::Query(error) => error.fmt(f),
            Self::Invalid(what) => f.write_str(what),
            Self::NoApp(app) => write!(f, "there is no app {app:?}"),
            Self::TooSlow => write!(
                f,
                "the query took longer than {} s; an index or a narrower query would help",
                crate::SLOWEST_QUERY.as_secs()
            ),
            Self::TooLarge => write!(
                f,
                "what the query found has more than {} MiB; ask for fewer at a time",
                crate::LARGEST_ANSWER >> 20
            ),
            Self::Contended => {
                f.write_str("too many requests change the same documents at once; try again")
            }
            Self::Newer { found, known } => write!(
                f,
                "the database has layout {found}, made by a newer version of lode; this one knows \
                 layouts up to {known}: run the newer version, or restore a backup from before it"
            ),
            Self::Unavailable(detail) => write!(f, "the database does not work: {detail}"),
        }
    }
}

impl std::error::Error for StoreError {}

impl From<QueryError> for StoreError {
    fn from(error: QueryError) -> Self {
        Self::Query(error)
    }
}
