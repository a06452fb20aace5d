//! Egress: a script's HTTP requests, sent only where its app may send them.
