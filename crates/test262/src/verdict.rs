//! How a variant ended on one side.

/// How a variant ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// It ran to its end, or `$DONE` said so.
    Completed,
    /// It threw: "Class: message".
    Threw(String),
    /// `$DONE` was never called.
    Never,
    /// A limit ended it.
    Limit(String),
    /// Our own failure, which no test may cause.
    Platform(String),
}

impl Ending {
    /// From what runner.js answers.
    pub(crate) fn answered(answer: &str) -> Self {
        if answer == "ok" { Self::Completed } else { Self::Threw(answer.to_owned()) }
    }

    /// Whether this is what the test wants.
    pub(crate) fn passes(&self, negative: Option<&str>) -> bool {
        match negative {
            None => *self == Self::Completed,
            Some(wanted) => matches!(self, Self::Threw(_)) && self.class() == wanted,
        }
    }

    /// What must be the same on both sides; messages may differ.
    pub(crate) fn class(&self) -> &str {
        match self {
            Self::Completed => "completed",
            Self::Threw(text) => text.split_once(':').map_or(text, |(class, _)| class),
            Self::Never => "never completed",
            Self::Limit(_) => "limit",
            Self::Platform(_) => "platform",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Ending;

    #[test]
    fn a_negative_test_wants_its_class() {
        let threw = Ending::answered("SyntaxError: no");
        assert!(threw.passes(Some("SyntaxError")) && !threw.passes(Some("TypeError")));
        assert!(!threw.passes(None) && Ending::answered("ok").passes(None));
        assert!(!Ending::Completed.passes(Some("SyntaxError")));
    }
}
