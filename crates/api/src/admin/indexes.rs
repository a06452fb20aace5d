//! Indexes on fields of a collection.

use axum::Json;
use axum::extract::State;
use http::StatusCode;
use lode_store::Place;

use super::{Operator, Problem};
use crate::api::Api;
use crate::call::{Path, check_collection};
use crate::error::{ApiError, Kind};

#[utoipa::path(get, operation_id = "listIndexes", path = "/admin/apps/{app}/collections/{collection}/indexes", tag = "indexes",
    params(("app" = String, Path), ("collection" = String, Path)),
    responses((status = 200, body = Vec<String>), (status = "4XX", body = Problem)))]
/// The fields that have one.
pub(crate) async fn list(
    _: Operator,
    State(api): State<Api>,
    Path((app, collection)): Path<(String, String)>,
) -> Result<Json<Vec<String>>, ApiError> {
    api.0.apps.get(&app).await?;
    let place = Place { app: &app, collection: &collection };
    Ok(Json(api.0.store.indexes(place).await?))
}

#[utoipa::path(put, operation_id = "createIndex", path = "/admin/apps/{app}/collections/{collection}/indexes/{field}",
    tag = "indexes",
    params(("app" = String, Path), ("collection" = String, Path), ("field" = String, Path)),
    responses((status = 204), (status = "4XX", body = Problem)))]
/// Makes one, which takes as long as the collection is large.
pub(crate) async fn create(
    _: Operator,
    State(api): State<Api>,
    Path((app, collection, field)): Path<(String, String, String)>,
) -> Result<StatusCode, ApiError> {
    api.0.apps.get(&app).await?;
    if collection != "user" {
        check_collection(&collection)?;
    }
    let place = Place { app: &app, collection: &collection };
    api.0.store.create_index(place, &field).await?;
    Ok(StatusCode::NO_CONTENT)
}

#[utoipa::path(delete, operation_id = "dropIndex", path = "/admin/apps/{app}/collections/{collection}/indexes/{field}",
    tag = "indexes",
    params(("app" = String, Path), ("collection" = String, Path), ("field" = String, Path)),
    responses((status = 204), (status = "4XX", body = Problem)))]
pub(crate) async fn delete(
    _: Operator,
    State(api): State<Api>,
    Path((app, collection, field)): Path<(String, String, String)>,
) -> Result<StatusCode, ApiError> {
    api.0.apps.get(&app).await?;
    let place = Place { app: &app, collection: &collection };
    if !api.0.store.drop_index(place, &field).await? {
        return Err(ApiError::new(Kind::NotFound, "there is no index on that field"));
    }
    Ok(StatusCode::NO_CONTENT)
}
