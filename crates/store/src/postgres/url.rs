//! The connection URL, with the two parameters of libpq's that the driver does not know.

use std::path::PathBuf;

use tokio_postgres::Config;

use crate::StoreError;

pub(super) struct Server {
    pub(super) config: Config,
    /// `sslrootcert`: a file of certificate authorities in PEM, instead of the public ones.
    pub(super) root_certificate: Option<PathBuf>,
}

/// Reads `postgres://user:password@host/database?sslmode=require&sslrootcert=/path`. With `require` the
/// server's certificate is always verified, name and all, so that libpq's `verify-ca` and `verify-full`
/// mean the same here.
pub(super) fn parse(url: &str) -> Result<Server, StoreError> {
    let (base, query) = url.split_once('?').unwrap_or((url, ""));
    let mut root_certificate = None;
    let mut kept = Vec::new();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        match pair.split_once('=') {
            Some(("sslrootcert", path)) => root_certificate = Some(PathBuf::from(path)),
            Some(("sslmode", "verify-ca" | "verify-full")) => kept.push("sslmode=require"),
            _ => kept.push(pair),
        }
    }
    let mut plain = base.to_owned();
    if !kept.is_empty() {
        plain = format!("{base}?{}", kept.join("&"));
    }
    let config = plain
        .parse::<Config>()
        // The driver's error may quote the URL, and with it the password: its cause is told, no more.
        .map_err(|_| {
            StoreError::Unavailable("the database's URL is not a valid postgres:// URL".into())
        })?;
    Ok(Server { config, root_certificate })
}

#[cfg(test)]
mod tests {
    use super::parse;
    use tokio_postgres::config::SslMode;

    #[test]
    fn certificates_are_verified_by_any_name_of_the_mode() {
        for mode in ["require", "verify-ca", "verify-full"] {
            let url = format!("postgres://u:p@h/d?sslmode={mode}&sslrootcert=/ca.pem");
            let server = parse(&url).expect("a URL");
            assert_eq!(server.config.get_ssl_mode(), SslMode::Require);
            assert_eq!(server.root_certificate.as_deref(), Some("/ca.pem".as_ref()));
        }
    }

    #[test]
    fn a_password_is_in_no_error() {
        let error = parse("postgres://u:geheim@h:notaport/d?nonsense=1").err().expect("an error");
        assert!(!error.to_string().contains("geheim"), "{error}");
    }
}
