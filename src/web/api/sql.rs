//! SQL over the `report` views, read-only.

use actix_web::{HttpResponse, web};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use crate::web::AppState;
use crate::web::auth::{CanQuery, Signed};
use crate::web::error::{self, WebError};

/// Most rows of an answer; `truncated` says that there are more.
const ROW_COUNT_MAX: usize = 10_000;

/// A query.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SqlBody {
    /// One SELECT.
    sql: String,
    /// Values for its `?`.
    #[serde(default)]
    #[schema(value_type = Vec<Object>)]
    params: Vec<Value>,
}

/// A column of an answer.
#[derive(Debug, Serialize, ToSchema)]
pub struct ColumnBody {
    name: String,
    r#type: String,
}

/// An answer.
#[derive(Debug, Serialize, ToSchema)]
pub struct SqlAnswer {
    columns: Vec<ColumnBody>,
    #[schema(value_type = Vec<Vec<Object>>)]
    rows: Vec<Vec<Value>>,
    truncated: bool,
    ms: u64,
}

/// Runs one SELECT over the `report` views.
///
/// # Errors
/// What the database says of it.
#[utoipa::path(post, path = "/api/v1/sql", request_body = SqlBody, responses((status = 200, body = SqlAnswer)))]
pub async fn run(
    _who: Signed<CanQuery>,
    state: web::Data<AppState>,
    input: web::Bytes,
) -> Result<HttpResponse, WebError> {
    let input: SqlBody = serde_json::from_slice(&input)
        .map_err(|error| WebError::invalid("invalid_json", format!("The body cannot be read: {error}.")))?;
    let result = state.store.query(input.sql, input.params, ROW_COUNT_MAX).await.map_err(WebError::Store)?;
    let rows = result.json_rows()?;
    Ok(error::json(&SqlAnswer {
        columns: result
            .columns
            .into_iter()
            .map(|column| ColumnBody { name: column.name, r#type: column.kind })
            .collect(),
        rows,
        truncated: result.truncated,
        ms: u64::try_from(result.duration.as_millis()).unwrap_or(u64::MAX),
    }))
}
