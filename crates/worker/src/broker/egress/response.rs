//! What comes back: collected within its caps, unpacked, cleared of secrets, and made JSON.

use std::io::Read;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use flate2::read::{DeflateDecoder, MultiGzDecoder, ZlibDecoder};
use http::header::CONTENT_ENCODING;
use http::{HeaderMap, StatusCode};
use http_body_util::BodyExt;
use hyper::body::{Body, Incoming};
use serde::Serialize;

use super::echoes::Scrubber;
use super::failure::Failure;
use super::quota::Permit;

/// Encodings one over the other that are undone: `gzip, br` is two.
const MAX_ENCODINGS: usize = 2;

/// A whole body as it came, at most `most` bytes of it, which `permit` holds.
pub(super) async fn collect(
    mut body: Incoming,
    most: usize,
    permit: &Permit,
) -> Result<Vec<u8>, Failure> {
    let hint = body.size_hint().lower();
    if usize::try_from(hint).map_or(true, |hint| hint > most) {
        return Err(too_large(most));
    }
    let mut bytes = Vec::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| {
            tracing::debug!(%error, "egress: the body broke off");
            Failure::network("the response's body broke off")
        })?;
        let Ok(data) = frame.into_data() else { continue };
        if bytes.len() + data.len() > most {
            return Err(too_large(most));
        }
        permit.hold(data.len())?;
        bytes.extend_from_slice(&data);
    }
    Ok(bytes)
}

/// It has more than `most` bytes.
pub(super) fn too_large(most: usize) -> Failure {
    Failure::too_large(format!("the response's body is larger than {most} bytes"))
}

/// How a body is packed, outermost last, if all of it is known here; else it is left as it is.
pub(super) fn encodings(headers: &HeaderMap) -> Option<Vec<Encoding>> {
    let mut encodings = Vec::new();
    for value in headers.get_all(CONTENT_ENCODING) {
        for name in value.to_str().ok()?.split(',') {
            match name.trim().to_ascii_lowercase().as_str() {
                "" | "identity" => {}
                "gzip" | "x-gzip" => encodings.push(Encoding::Gzip),
                "deflate" => encodings.push(Encoding::Deflate),
                "br" => encodings.push(Encoding::Brotli),
                _ => return None,
            }
        }
    }
    (encodings.len() <= MAX_ENCODINGS).then_some(encodings)
}

/// One encoding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Encoding {
    Gzip,
    Deflate,
    Brotli,
}

/// Undoes the encodings, each to at most `most` bytes: what would be more is never made.
pub(super) fn decode(
    mut bytes: Vec<u8>,
    encodings: &[Encoding],
    most: usize,
) -> Result<Vec<u8>, Failure> {
    for encoding in encodings.iter().rev() {
        if bytes.is_empty() {
            break; // the answer to HEAD, and servers that pack nothing into nothing
        }
        bytes = unpack(*encoding, &bytes, most)?;
    }
    Ok(bytes)
}

fn unpack(encoding: Encoding, bytes: &[u8], most: usize) -> Result<Vec<u8>, Failure> {
    let mut out = Vec::new();
    let reader: &mut dyn Read = match encoding {
        Encoding::Gzip => &mut MultiGzDecoder::new(bytes),
        // RFC 9110, section 8.4.1.2: zlib's format; some servers send deflate without it.
        Encoding::Deflate if is_zlib(bytes) => &mut ZlibDecoder::new(bytes),
        Encoding::Deflate => &mut DeflateDecoder::new(bytes),
        Encoding::Brotli => &mut brotli_decompressor::Decompressor::new(bytes, 4096),
    };
    // One byte more than is allowed tells too much from just enough.
    match reader.take(most as u64 + 1).read_to_end(&mut out) {
        Ok(_) if out.len() > most => Err(too_large(most)),
        Ok(_) => Ok(out),
        Err(_) => Err(Failure::network("the response's body is not packed as its headers say")),
    }
}

/// RFC 1950, section 2.2: method 8 and a check of the first two bytes.
fn is_zlib(bytes: &[u8]) -> bool {
    match bytes {
        [first, second, ..] => {
            first & 0x0f == 8 && (u16::from(*first) << 8 | u16::from(*second)).is_multiple_of(31)
        }
        _ => false,
    }
}

/// What the script gets.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Answer {
    status: u16,
    status_text: &'static str,
    headers: Vec<(String, String)>,
    /// Present if the body is UTF-8 and shorter so.
    #[serde(skip_serializing_if = "Option::is_none")]
    body: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    body_base64: Option<String>,
    url: String,
    redirected: bool,
}

impl Answer {
    /// Puts one together.
    pub(super) fn new(
        status: StatusCode,
        headers: &HeaderMap,
        body: Vec<u8>,
        url: &str,
        redirected: bool,
        scrubber: &Scrubber<'_>,
    ) -> Self {
        let headers = headers.iter().filter_map(|(name, value)| {
            let name = name.as_str().to_owned();
            // What would be in its place is no header's name.
            if scrubber.scrub_text(name.clone()) != name {
                return None;
            }
            // One character per byte, as the fetch standard has it.
            let text = value.as_bytes().iter().map(|byte| char::from(*byte)).collect();
            Some((name, scrubber.scrub_text(text)))
        });
        let headers = headers.collect();
        let (body, body_base64) = match String::from_utf8(body) {
            Ok(text) if is_plain(&text) => (Some(text), None),
            Ok(text) => (None, Some(BASE64_STANDARD.encode(text))),
            Err(bytes) => (None, Some(BASE64_STANDARD.encode(bytes.as_bytes()))),
        };
        Self {
            status: status.as_u16(),
            status_text: status.canonical_reason().unwrap_or(""),
            headers,
            body,
            body_base64,
            url: scrubber.scrub_text(url.to_owned()),
            redirected,
        }
    }
}

/// Whether a text is no longer as JSON than as base64: JSON writes a control character with six bytes.
fn is_plain(text: &str) -> bool {
    let extra: usize = text
        .bytes()
        .map(|byte| match byte {
            b'"' | b'\\' | b'\n' | b'\r' | b'\t' => 1,
            0..=0x1f => 5,
            _ => 0,
        })
        .sum();
    extra <= text.len() / 3
}

#[cfg(test)]
mod tests {
    use super::super::echoes::Echoes;
    use super::*;

    #[test]
    fn a_header_whose_name_holds_a_secret_is_left_out() {
        let mut echoes = Echoes::default();
        // Names come in lower case.
        echoes.add("S3cret-Key", "key");
        let scrubber = echoes.scrubber().expect("a scrubber");
        let mut headers = HeaderMap::new();
        for (name, value) in [("x-s3cret-key", "a"), ("s3cret-key", "b"), ("x-other", "S3cret-Key")]
        {
            headers.insert(name, value.parse().expect("a value"));
        }
        let answer = Answer::new(StatusCode::OK, &headers, Vec::new(), "", false, &scrubber);
        assert_eq!(answer.headers, [("x-other".to_owned(), "[secret:key]".to_owned())]);
    }
}
