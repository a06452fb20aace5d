//! A script's requests to its own backend: the same arguments and the same answer as for any other, but no
//! allow-list, no address and no socket are concerned.

use std::time::Duration;

use http::Response;
use tokio::time::{Instant, timeout_at};

use super::echoes::Echoes;
use super::failure::{Failure, Kind};
use super::request::Request;
use super::response::Answer;
use super::secrets::Secrets;
use super::{Limits, host};
use crate::broker::origin::OwnApi;

/// The `url` of a call's arguments, to see whose it is.
#[derive(serde::Deserialize)]
struct Where {
    url: String,
}

/// The answer as JSON, if `api` is asked; `None` if the request is somebody else's.
pub(in crate::broker) async fn request(
    api: &dyn OwnApi,
    args: &str,
    deadline: Instant,
) -> Option<Result<String, Failure>> {
    let to: Where = serde_json::from_str(args).ok()?;
    let target = host::parse(&to.url).ok()?;
    if !api.serves(&target.url) {
        return None;
    }
    Some(send(api, args, deadline).await)
}

async fn send(api: &dyn OwnApi, args: &str, deadline: Instant) -> Result<String, Failure> {
    let limits = Limits::default();
    let request = Request::parse(args, &limits)?;
    let mut echoes = Echoes::default();
    // The app's secrets are for others: a token stays the text it is.
    let fields = request.fields(&Secrets::default(), false, limits.header_bytes, &mut echoes)?;
    let url = &request.target.url;
    let path = &url[url::Position::BeforePath..url::Position::AfterQuery];
    let mut message = http::Request::new(request.body.clone().unwrap_or_default());
    *message.method_mut() = request.method.clone();
    *message.uri_mut() =
        path.parse().map_err(|_| Failure::argument("the URL's path cannot be sent"))?;
    *message.headers_mut() = fields;
    let cap = request.timeout.map_or(limits.time, |ms| limits.time.min(Duration::from_millis(ms)));
    let end = deadline.min(Instant::now() + cap);
    let answered = timeout_at(end, api.call(message, end.into())).await;
    let answer: Response<_> = answered.map_err(|_| {
        Failure::new(Kind::Timeout, "the request to this app's own backend took too long")
    })?;
    if answer.body().len() > limits.response_bytes {
        return Err(super::response::too_large(limits.response_bytes));
    }
    let (head, body) = answer.into_parts();
    let scrubber = echoes.scrubber()?;
    let answer =
        Answer::new(head.status, &head.headers, body.to_vec(), url.as_str(), false, &scrubber);
    serde_json::to_string(&answer).map_err(|error| {
        tracing::error!(%error, "an answer of the own API is not JSON");
        Failure::network("the answer could not be read")
    })
}
