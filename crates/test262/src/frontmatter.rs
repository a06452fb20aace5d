//! The comment at a test's top that says how it is run: the few keys of its YAML that matter here.

/// What a test says about itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Frontmatter {
    pub(crate) flags: Vec<String>,
    pub(crate) includes: Vec<String>,
    pub(crate) features: Vec<String>,
    /// The error's class that the test must end with.
    pub(crate) negative: Option<String>,
}

impl Frontmatter {
    /// Reads `text`'s. A test without one has no flags.
    pub(crate) fn of(text: &str) -> Self {
        let mut found = Self::default();
        let Some((_, rest)) = text.split_once("/*---") else { return found };
        let Some((yaml, _)) = rest.split_once("---*/") else { return found };
        let mut key = "";
        // Old tests end their lines with a lone carriage return.
        for line in yaml.split(['\n', '\r']) {
            let value = if line.starts_with([' ', '\t']) {
                line.trim()
            } else {
                let Some((name, value)) = line.split_once(':') else { continue };
                key = name.trim();
                value.trim()
            };
            match key {
                "flags" => list(value, &mut found.flags),
                "includes" => list(value, &mut found.includes),
                "features" => list(value, &mut found.features),
                "negative" => {
                    if let Some(class) = value.strip_prefix("type:") {
                        found.negative = Some(class.trim().to_owned());
                    }
                }
                _ => {}
            }
        }
        found
    }

    pub(crate) fn flag(&self, name: &str) -> bool {
        self.flags.iter().any(|flag| flag == name)
    }
}

/// Both `[a, b]` and one `- a` per line.
fn list(value: &str, items: &mut Vec<String>) {
    let value = value.strip_prefix("- ").unwrap_or(value).trim_matches(['[', ']']);
    let values = value.split(',').map(str::trim).filter(|item| !item.is_empty());
    items.extend(values.map(str::to_owned));
}

#[cfg(test)]
mod tests {
    use super::Frontmatter;

    #[test]
    fn both_forms_of_lists_and_a_negative() {
        let text = "// Copyright\n/*---\ndescription: >\n  flags: not these\nflags: [module, async]\n\
                    includes:\n  - a.js\n  - b.js\nnegative:\n  phase: parse\n  type: SyntaxError\n---*/\n1";
        let found = Frontmatter::of(text);
        assert_eq!(found.flags, ["module", "async"]);
        assert_eq!(found.includes, ["a.js", "b.js"]);
        assert_eq!(found.negative.as_deref(), Some("SyntaxError"));
        assert!(found.flag("async") && !found.flag("raw"));
    }

    #[test]
    fn none_at_all() {
        assert_eq!(Frontmatter::of("1 + 1"), Frontmatter::default());
    }
}
