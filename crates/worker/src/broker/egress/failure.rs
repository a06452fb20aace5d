//! Why a request failed, in words for the script that sent it.

use std::fmt;

use lode_child::protocol::HostError;

/// The `name` of the error that a script sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The arguments make no request.
    Argument,
    /// The app, the operator or the address forbids it.
    NotAllowed,
    /// The other side or the network failed.
    Network,
    /// It took too long.
    Timeout,
    /// Too many bytes, headers or redirects.
    TooLarge,
    /// Too many at once.
    Busy,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Argument => "TypeError",
            Self::NotAllowed => "NotAllowedError",
            Self::Network => "NetworkError",
            Self::Timeout => "TimeoutError",
            Self::TooLarge => "LimitError",
            Self::Busy => "BusyError",
        }
    }
}

/// A failure, without a word about this machine or its network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) kind: Kind,
    pub(crate) message: String,
}

impl Failure {
    pub(crate) fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into() }
    }

    pub(crate) fn argument(message: impl Into<String>) -> Self {
        Self::new(Kind::Argument, message)
    }

    pub(crate) fn not_allowed(message: impl Into<String>) -> Self {
        Self::new(Kind::NotAllowed, message)
    }

    pub(crate) fn network(message: impl Into<String>) -> Self {
        Self::new(Kind::Network, message)
    }

    pub(crate) fn too_large(message: impl Into<String>) -> Self {
        Self::new(Kind::TooLarge, message)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl From<Failure> for HostError {
    fn from(failure: Failure) -> Self {
        Self { name: failure.kind.name().into(), message: failure.message }
    }
}
