//! Servers on loopback: HTTP, with TLS or without, that say exactly what a test wants said; a DNS server
//! whose answers a test makes up; and the broker's side of it.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex};

use lode_worker::broker::AppContext;
use lode_worker::broker::egress::{AppEgress, policy::Policy, secrets::Secrets};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, UdpSocket};
use tokio_rustls::TlsAcceptor;

/// What a server does with a request: says some bytes, then hangs up or waits for ever.
pub(crate) struct Says {
    pub(crate) bytes: Vec<u8>,
    pub(crate) then_waits: bool,
}

impl Says {
    pub(crate) fn raw(bytes: impl Into<Vec<u8>>) -> Self {
        Self { bytes: bytes.into(), then_waits: false }
    }

    pub(crate) fn ok(body: impl AsRef<[u8]>) -> Self {
        Self::with("", body)
    }

    /// 200 with header lines, each ending in CRLF.
    pub(crate) fn with(headers: &str, body: impl AsRef<[u8]>) -> Self {
        let body = body.as_ref();
        let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n{headers}\r\n", body.len());
        Self::raw([head.as_bytes(), body].concat())
    }

    pub(crate) fn redirect(status: u16, to: &str) -> Self {
        Self::raw(format!("HTTP/1.1 {status} Go\r\nlocation: {to}\r\ncontent-length: 0\r\n\r\n"))
    }

    pub(crate) fn waiting(mut self) -> Self {
        self.then_waits = true;
        self
    }
}

/// A server, for as long as the test's runtime lives.
#[derive(Clone)]
pub(crate) struct Server {
    pub(crate) port: u16,
    /// Heads and bodies of the requests it got, as they came.
    pub(crate) seen: Arc<Mutex<Vec<String>>>,
}

impl Server {
    pub(crate) fn requests(&self) -> Vec<String> {
        self.seen.lock().expect("no test panics in it").clone()
    }

    pub(crate) async fn http(
        address: &str,
        says: impl Fn(&str) -> Says + Send + Sync + 'static,
    ) -> Self {
        Self::start(address, None, says).await
    }

    pub(crate) async fn https(
        authority: &Authority,
        names: &[&str],
        says: impl Fn(&str) -> Says + Send + Sync + 'static,
    ) -> Self {
        Self::start("127.0.0.1:0", Some(authority.acceptor(names)), says).await
    }

    /// Speaks first, and not TLS.
    pub(crate) async fn rude(greeting: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback");
        let port = listener.local_addr().expect("bound").port();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let _ = stream.write_all(greeting.as_bytes()).await;
            }
        });
        Self { port, seen: Arc::default() }
    }

    async fn start(
        address: &str,
        tls: Option<TlsAcceptor>,
        says: impl Fn(&str) -> Says + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind(address).await.expect("loopback");
        let server =
            Self { port: listener.local_addr().expect("bound").port(), seen: Arc::default() };
        let (seen, says) = (server.seen.clone(), Arc::new(says));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (tls, seen, says) = (tls.clone(), seen.clone(), says.clone());
                tokio::spawn(async move {
                    match tls {
                        None => serve(stream, &seen, &*says).await,
                        Some(tls) => {
                            if let Ok(stream) = tls.accept(stream).await {
                                serve(stream, &seen, &*says).await;
                            }
                        }
                    }
                });
            }
        });
        server
    }
}

async fn serve<S: AsyncRead + AsyncWrite + Unpin>(
    mut stream: S,
    seen: &Mutex<Vec<String>>,
    says: &(impl Fn(&str) -> Says + ?Sized),
) {
    let mut text = String::new();
    let mut buffer = [0; 4096];
    loop {
        let missing = text.split_once("\r\n\r\n").map(|(head, body)| {
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
            length.map_or(0, |length| length.parse::<usize>().expect("a number")) - body.len()
        });
        if missing == Some(0) {
            break;
        }
        match stream.read(&mut buffer).await {
            Ok(count @ 1..) => text += &String::from_utf8_lossy(&buffer[..count]),
            _ => return,
        }
    }
    let said = says(&text);
    seen.lock().expect("no test panics in it").push(text);
    let _ = stream.write_all(&said.bytes).await;
    let _ = stream.flush().await;
    if said.then_waits {
        std::future::pending::<()>().await;
    }
    let _ = stream.shutdown().await;
}

/// Signs certificates.
pub(crate) struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).expect("no names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        Self(CertifiedIssuer::self_signed(params, key).expect("a certificate"))
    }

    pub(crate) fn der(&self) -> Vec<u8> {
        let certificate: &rcgen::Certificate = self.0.as_ref();
        certificate.der().to_vec()
    }

    fn acceptor(&self, names: &[&str]) -> TlsAcceptor {
        let names: Vec<String> = names.iter().map(|name| (*name).into()).collect();
        let key = KeyPair::generate().expect("a key");
        let params = CertificateParams::new(names).expect("names");
        let certificate = params.signed_by(&key, &self.0).expect("a certificate");
        let key = PrivateKeyDer::try_from(key.serialize_der()).expect("a key");
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], key)
            .expect("they belong together");
        TlsAcceptor::from(Arc::new(config))
    }
}

/// A DNS server over UDP. `answers(name, how often its A records were asked for before)` gives all its
/// addresses; times to live are 0.
pub(crate) struct Dns {
    pub(crate) address: SocketAddr,
    asked: Arc<Mutex<HashMap<String, usize>>>,
}

impl Dns {
    pub(crate) async fn start(
        answers: impl Fn(&str, usize) -> Vec<IpAddr> + Send + Sync + 'static,
    ) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").await.expect("loopback");
        let address = socket.local_addr().expect("bound");
        let asked = Arc::<Mutex<HashMap<String, usize>>>::default();
        let counts = asked.clone();
        tokio::spawn(async move {
            let mut query = [0; 1500];
            while let Ok((length, from)) = socket.recv_from(&mut query).await {
                let (name, kind, end) = question(&query[..length]);
                let before = {
                    let mut counts = counts.lock().expect("no test panics in it");
                    let count = counts.entry(name.clone()).or_default();
                    *count += usize::from(kind == 1);
                    count.saturating_sub(1)
                };
                let addresses = answers(&name, before);
                let addresses =
                    addresses.iter().filter(|a| kind == if a.is_ipv4() { 1 } else { 28 });
                let records: Vec<Vec<u8>> = addresses.map(record).collect();
                let mut reply = query[..end].to_vec();
                reply[2..4].copy_from_slice(&[0x81, 0x80]);
                reply[6..12].copy_from_slice(&[
                    0,
                    u8::try_from(records.len()).expect("few"),
                    0,
                    0,
                    0,
                    0,
                ]);
                reply.extend(records.concat());
                let _ = socket.send_to(&reply, from).await;
            }
        });
        Self { address, asked }
    }

    /// How often the A records of a name were asked for.
    pub(crate) fn asked(&self, name: &str) -> usize {
        self.asked.lock().expect("no test panics in it").get(name).copied().unwrap_or(0)
    }
}

/// The name, the type, and where the question ends.
fn question(query: &[u8]) -> (String, u16, usize) {
    let (mut at, mut name) = (12, String::new());
    while query[at] != 0 {
        let length = usize::from(query[at]);
        name += std::str::from_utf8(&query[at + 1..at + 1 + length]).expect("ASCII");
        name.push('.');
        at += 1 + length;
    }
    (
        name.trim_end_matches('.').to_lowercase(),
        u16::from_be_bytes([query[at + 1], query[at + 2]]),
        at + 5,
    )
}

fn record(address: &IpAddr) -> Vec<u8> {
    let (kind, bytes) = match address {
        IpAddr::V4(address) => (1, address.octets().to_vec()),
        IpAddr::V6(address) => (28, address.octets().to_vec()),
    };
    let length = u8::try_from(bytes.len()).expect("short");
    [&[0xc0, 12, 0, kind, 0, 1, 0, 0, 0, 0, 0, length][..], &bytes].concat()
}

/// An app that may send to these hosts.
pub(crate) fn app(allow: &[&str]) -> AppContext {
    with_secrets(allow, &[])
}

/// The same with secrets: name, value, host.
pub(crate) fn with_secrets(allow: &[&str], secrets: &[(&str, &str, &str)]) -> AppContext {
    let mut kept = Secrets::default();
    for (name, value, host) in secrets {
        let hosts = Policy::new([host]).expect("a pattern");
        kept.insert(name, (*value).into(), hosts).expect("a secret");
    }
    let egress = AppEgress { allow: Policy::new(allow).expect("patterns"), secrets: kept };
    AppContext { egress: Arc::new(egress), ..AppContext::new("app") }
}
