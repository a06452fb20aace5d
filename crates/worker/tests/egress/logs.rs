//! What the operator's log says of scripts' mistakes.

use std::fmt::{Debug, Write as _};
use std::sync::{Arc, Mutex};

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

use super::*;

/// Keeps what Lode says, as it would be shown.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<String>>);

impl Subscriber for Log {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target().starts_with("lode")
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        event.record(&mut Shown(&mut self.0.lock().expect("no test panics in it")));
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

struct Shown<'a>(&'a mut String);

impl Visit for Shown<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        let _ = write!(self.0, "{field}={value:?} ");
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        let _ = write!(self.0, "{field}={value} ");
    }
}

#[tokio::test]
async fn what_a_script_wrote_does_nothing_in_the_log() {
    let broker = broker(Config::default()).await;
    let log = Log::default();
    let _guard = tracing::subscriber::set_default(log.clone());
    // serde's message names the field.
    let args = json!({ "url": "https://a.test/", "\u{1b}[2Jx\nERROR forged\u{202e}": 1 });
    assert_eq!(fails(&broker, &app(&["a.test"]), args, "unknown field").await, "TypeError");
    let said = log.0.lock().expect("no test panics in it").clone();
    assert!(said.contains("egress refused or failed") && said.contains("forged"), "{said}");
    assert!(!said.contains(['\n', '\u{1b}', '\u{202e}']), "{said:?}");
}
