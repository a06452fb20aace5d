//! What is asked before anything else.

use axum::Json;
use http::StatusCode;
use serde_json::{Value, json};

use crate::call::Call;
use crate::error::ApiError;

/// `GET /appdata/:app`: Kinvey's handshake, which its SDKs call `ping`.
pub(crate) async fn app(call: Call) -> Result<Json<Value>, ApiError> {
    Ok(Json(json!({
        "version": env!("CARGO_PKG_VERSION"),
        "kinvey": format!("hello {}", call.app.record.name),
        "appName": call.app.record.name,
        "environmentName": call.app.record.name,
    })))
}

/// `GET /`.
pub(crate) async fn server() -> Json<Value> {
    Json(json!({ "server": "lode", "version": env!("CARGO_PKG_VERSION") }))
}

/// `GET /healthz`: for those who watch over the server.
pub(crate) async fn healthy() -> StatusCode {
    StatusCode::OK
}
