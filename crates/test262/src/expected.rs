//! Differences that are known and explained: expected.txt, beside Cargo.toml.

/// One line: which tests, and why they differ.
struct Rule {
    /// A path below `test/`, in which one `*` stands for anything. After a `~`, a text in the sandbox's
    /// verdict.
    path: String,
    reason: String,
}

/// The rules of expected.txt.
pub(crate) struct Expected(Vec<Rule>);

impl Expected {
    /// Lines of `path: reason`; others begin with `#`. `Err` names the line that is neither.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let mut rules = Vec::new();
        for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
            let (path, reason) = line
                .split_once(": ")
                .ok_or_else(|| format!("expected.txt: no reason in {line:?}"))?;
            rules.push(Rule { path: path.to_owned(), reason: reason.to_owned() });
        }
        Ok(Self(rules))
    }

    /// Why `path`, with this verdict of the sandbox, may differ.
    pub(crate) fn reason(&self, path: &str, verdict: &str) -> Option<&str> {
        let rule = self.0.iter().find(|rule| {
            if let Some(text) = rule.path.strip_prefix('~') {
                return verdict.contains(text);
            }
            match rule.path.split_once('*') {
                Some((start, end)) => {
                    path.strip_prefix(start).is_some_and(|rest| rest.ends_with(end))
                }
                None => path == rule.path,
            }
        })?;
        Some(&rule.reason)
    }
}

#[cfg(test)]
mod tests {
    use super::Expected;

    #[test]
    fn whole_paths_and_prefixes() {
        let rules = Expected::parse("# why\na/b.js: one\na/c*: two\n~no X: three\n")
            .expect("it is well-formed");
        assert_eq!(rules.reason("a/b.js", ""), Some("one"));
        assert_eq!(rules.reason("a/cat.js", ""), Some("two"));
        assert_eq!(rules.reason("a/b.jsx", "no Y"), None);
        assert_eq!(rules.reason("d", "there is no X here"), Some("three"));
        assert!(Expected::parse("a/b.js").is_err());
    }
}
