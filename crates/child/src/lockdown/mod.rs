//! How a child gives up everything it does not need, before any guest is loaded.
