//! `URL` for the guest: parsing by the `url` crate, which implements the WHATWG URL standard. The guest
//! sends length-prefixed texts, and gets the components back as JSON (lode.h).

use std::borrow::Cow;

use url::{Url, quirks};

/// Longer URLs are refused: parsing happens outside the guest's interruptible code.
const MAX_BYTES: usize = 64 * 1024;

/// The answer to `input`, `input, base` or `href, field, value`: a JSON array of the components, or
/// `null` when something is not a URL.
pub(crate) fn answer(request: &[u8]) -> Vec<u8> {
    let components = if request.len() > MAX_BYTES { None } else { components(request) };
    serde_json::to_vec(&components).unwrap_or_default()
}

fn components(request: &[u8]) -> Option<[String; 11]> {
    let texts = texts(request)?;
    let texts: Vec<&str> = texts.iter().map(AsRef::as_ref).collect();
    let url = match texts.as_slice() {
        [input] => Url::parse(input).ok()?,
        [input, base] => Url::parse(base).ok()?.join(input).ok()?,
        [href, field, value] => {
            let mut url = Url::parse(href).ok()?;
            set(&mut url, field, value)?;
            url
        }
        _ => return None,
    };
    Some([
        url[..].to_owned(),
        quirks::origin(&url),
        quirks::protocol(&url).to_owned(),
        quirks::username(&url).to_owned(),
        quirks::password(&url).to_owned(),
        quirks::host(&url).to_owned(),
        quirks::hostname(&url).to_owned(),
        quirks::port(&url).to_owned(),
        quirks::pathname(&url).to_owned(),
        quirks::search(&url).to_owned(),
        quirks::hash(&url).to_owned(),
    ])
}

/// Splits a request. Lone surrogates, which UTF-8 cannot hold, become U+FFFD, as the standard says.
fn texts(mut request: &[u8]) -> Option<Vec<Cow<'_, str>>> {
    let mut texts = Vec::new();
    while let Some((len, rest)) = request.split_first_chunk() {
        let (text, rest) = rest.split_at_checked(u32::from_le_bytes(*len) as usize)?;
        texts.push(String::from_utf8_lossy(text));
        request = rest;
    }
    request.is_empty().then_some(texts)
}

/// A setter that does not apply changes nothing, as the standard says; only `href` can fail.
fn set(url: &mut Url, field: &str, value: &str) -> Option<()> {
    match field {
        "href" => quirks::set_href(url, value).ok()?,
        "protocol" => drop(quirks::set_protocol(url, value)),
        "username" => drop(quirks::set_username(url, value)),
        "password" => drop(quirks::set_password(url, value)),
        "host" => drop(quirks::set_host(url, value)),
        "hostname" => drop(quirks::set_hostname(url, value)),
        "port" => drop(quirks::set_port(url, value)),
        "pathname" => quirks::set_pathname(url, value),
        "search" => quirks::set_search(url, value),
        "hash" => quirks::set_hash(url, value),
        _ => return None,
    }
    Some(())
}
