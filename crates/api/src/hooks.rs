//! Which handlers of a deployment are called when.

use std::collections::HashMap;

use lode_worker::Handler;

/// A deployment's handlers, by what calls them.
#[derive(Debug, Default)]
pub(crate) struct Hooks {
    collections: HashMap<String, HashMap<String, u32>>,
    endpoints: HashMap<String, u32>,
}

impl Hooks {
    /// Finds out from where the handlers stand: `collections/<name>/<any>.js` and
    /// `collections/<name>.js` hold a collection's hooks, `endpoints/<name>.js` an endpoint; in a
    /// deployment without these folders a file at the top is either, by what it exports.
    ///
    /// # Errors
    /// Two handlers for one thing: their scripts.
    pub(crate) fn of(handlers: &[Handler]) -> Result<Self, String> {
        let mut hooks = Self::default();
        for (index, handler) in handlers.iter().enumerate() {
            let index = u32::try_from(index).map_err(|error| error.to_string())?;
            let parts: Vec<&str> = handler.script.split('/').collect();
            let is_endpoint = handler.name == "onRequest";
            let before = match *parts.as_slice() {
                ["collections", name, _] if !is_endpoint => hooks.add(name, handler, index),
                ["collections", file] if !is_endpoint => hooks.add(stem(file), handler, index),
                ["endpoints", file] if is_endpoint => hooks.endpoint(stem(file), index),
                [file] if is_endpoint => hooks.endpoint(stem(file), index),
                [file] => hooks.add(stem(file), handler, index),
                _ => None,
            };
            if let Some(other) = before.and_then(|index| handlers.get(index as usize)) {
                return Err(format!(
                    "{} and {} both have {} for the same thing",
                    other.script, handler.script, handler.name
                ));
            }
        }
        Ok(hooks)
    }

    fn add(&mut self, collection: &str, handler: &Handler, index: u32) -> Option<u32> {
        // Exported functions that are no hooks are the script's own business.
        if !handler.name.starts_with("on") {
            return None;
        }
        let hooks = self.collections.entry(collection.to_owned()).or_default();
        hooks.insert(handler.name.clone(), index)
    }

    fn endpoint(&mut self, name: &str, index: u32) -> Option<u32> {
        self.endpoints.insert(name.to_owned(), index)
    }

    /// A collection's hook: the first of `names` that it has.
    pub(crate) fn hook(
        &self,
        collection: &str,
        names: &[&'static str],
    ) -> Option<(&'static str, u32)> {
        let hooks = self.collections.get(collection)?;
        names.iter().find_map(|name| Some((*name, *hooks.get(*name)?)))
    }

    /// A custom endpoint.
    pub(crate) fn custom(&self, name: &str) -> Option<u32> {
        self.endpoints.get(name).copied()
    }

    /// What there is, for showing: `orders/onPreSave`, `quote`.
    pub(crate) fn names(&self) -> Vec<String> {
        let hooks = self.collections.iter().flat_map(|(collection, hooks)| {
            hooks.keys().map(move |hook| format!("{collection}/{hook}"))
        });
        let mut names: Vec<String> = hooks.chain(self.endpoints.keys().cloned()).collect();
        names.sort();
        names
    }
}

fn stem(file: &str) -> &str {
    file.rsplit_once('.').map_or(file, |(stem, _)| stem)
}

#[cfg(test)]
mod tests {
    use lode_worker::{Form, Handler};

    use super::Hooks;

    fn handler(script: &str, name: &str) -> Handler {
        Handler { script: script.into(), name: name.into(), form: Form::Script }
    }

    #[test]
    fn both_layouts_are_understood() {
        let hooks = Hooks::of(&[
            handler("collections/orders/onPreSave.js", "onPreSave"),
            handler("collections/books.ts", "onPostFetch"),
            handler("collections/books.ts", "helper"),
            handler("endpoints/quote.js", "onRequest"),
        ])
        .expect("no two are alike");
        assert_eq!(hooks.hook("orders", &["onPreInsert", "onPreSave"]), Some(("onPreSave", 0)));
        assert_eq!(hooks.hook("books", &["onPostFetch"]), Some(("onPostFetch", 1)));
        assert_eq!(hooks.hook("quote", &["onRequest"]), None);
        assert_eq!(hooks.custom("quote"), Some(3));
        assert_eq!(hooks.names(), ["books/onPostFetch", "orders/onPreSave", "quote"]);
        let flat = [handler("orders.ts", "onPreSave"), handler("quote.mjs", "onRequest")];
        let hooks = Hooks::of(&flat).expect("no two are alike");
        assert_eq!(hooks.hook("orders", &["onPreSave"]), Some(("onPreSave", 0)));
        assert_eq!(hooks.custom("quote"), Some(1));
    }

    #[test]
    fn two_handlers_for_one_hook_are_refused() {
        let twice = [
            handler("collections/orders/onPreSave.js", "onPreSave"),
            handler("collections/orders.js", "onPreSave"),
        ];
        assert!(Hooks::of(&twice).expect_err("there are two").contains("collections/orders.js"));
    }
}
