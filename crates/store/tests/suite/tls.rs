//! PostgreSQL over TLS: only a server whose certificate is good.

use std::fs::{self, Permissions};
use std::net::TcpListener;
use std::os::unix::fs::{PermissionsExt as _, chown};

use lode_store::Store;

use crate::cluster::{Cluster, server_user};

#[test]
fn only_a_verified_server_is_spoken_to() {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
    let directory = tempfile::tempdir().expect("a temporary directory");
    let certificate = directory.path().join("certificate.pem");
    let key = directory.path().join("key.pem");
    fs::write(&certificate, made.cert.pem()).expect("a file");
    fs::write(&key, made.signing_key.serialize_pem()).expect("a file");
    // PostgreSQL wants a key that only it can read.
    fs::set_permissions(&key, Permissions::from_mode(0o600)).expect("permissions");
    if let Some((uid, gid)) = server_user() {
        for path in [directory.path(), &certificate, &key] {
            chown(path, Some(uid), Some(gid)).expect("giving a file away");
        }
    }
    // Free now, and most probably when the server starts.
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("its number").port();
    drop(listener);
    let mut cluster = Cluster::start(
        port,
        &[
            "fsync=off",
            "listen_addresses=127.0.0.1",
            "ssl=on",
            &format!("ssl_cert_file={}", certificate.display()),
            &format!("ssl_key_file={}", key.display()),
        ],
    );
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        cluster.database().await;
        let url = |host: &str, more: &str| {
            format!("postgres://lode@{host}:{port}/test_1?sslmode=require{more}")
        };
        let authority = format!("&sslrootcert={}", certificate.display());
        let store = Store::open(&url("localhost", &authority)).await.expect("an open store");
        assert_eq!(store.apps().await, Ok(vec![]));
        // A certificate of no authority, and one for another name.
        for url in [url("localhost", ""), url("127.0.0.1", &authority)] {
            let error = Store::open(&url).await.err().expect("a refusal");
            assert!(error.to_string().contains("certificate"), "{error}");
        }
    });
    drop(runtime);
    drop(cluster);
}
