//! The JSON API under `/api/v1/`. Scripts rely on its names: fields are added, never renamed.

pub mod connections;
pub mod orders;
pub mod parked;
pub mod reconciliation;
pub mod sql;
pub mod work;

use actix_web::HttpResponse;
use serde::{Deserialize, Serialize};
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::{Modify, OpenApi, ToSchema};

use super::auth::{AnyRole, Signed};
use super::error::{self, WebError};

/// Rows of a list where none are asked for.
const LIMIT_DEFAULT: usize = 50;
/// Most rows of a list.
const LIMIT_MAX: usize = 200;

/// What every list takes.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct ListQuery {
    /// Rows.
    pub limit: String,
    /// Where to go on.
    pub cursor: String,
}

impl ListQuery {
    /// How many rows.
    ///
    /// # Errors
    /// Where it is no number from 1 to 200.
    pub fn limit(&self) -> Result<usize, WebError> {
        if self.limit.is_empty() {
            return Ok(LIMIT_DEFAULT);
        }
        self.limit.parse().ok().filter(|limit| (1..=LIMIT_MAX).contains(limit)).ok_or_else(|| {
            WebError::invalid(
                "invalid_limit",
                format!("limit is “{}” but must be a whole number from 1 to {LIMIT_MAX}.", self.limit),
            )
        })
    }

    /// Where to go on in a list that is numbered.
    ///
    /// # Errors
    /// Where the cursor is none of ours.
    pub fn offset(&self) -> Result<usize, WebError> {
        if self.cursor.is_empty() {
            return Ok(0);
        }
        self.cursor.parse().map_err(|_| {
            WebError::invalid("invalid_cursor", "The cursor is none that this list gave. Begin without one.")
        })
    }
}

/// A page of a list.
#[derive(Debug, Serialize, ToSchema)]
pub struct Page<T> {
    /// The rows.
    pub data: Vec<T>,
    /// Pass it as `cursor` for the next page; null on the last.
    pub next_cursor: Option<String>,
}

/// A page of a list that lies in memory as a whole.
pub(crate) fn page_of<T>(all: Vec<T>, query: &ListQuery) -> Result<Page<T>, WebError> {
    let (limit, offset) = (query.limit()?, query.offset()?);
    let end = offset.saturating_add(limit);
    let next_cursor = (all.len() > end).then(|| end.to_string());
    Ok(Page { data: all.into_iter().skip(offset).take(limit).collect(), next_cursor })
}

/// What became of a wish.
#[derive(Debug, Serialize, ToSchema)]
pub struct Done {
    /// What happens next.
    pub message: String,
}

#[derive(OpenApi)]
#[openapi(
    info(title = "Eider", description = "Orders, connections and reports of one installation."),
    paths(
        orders::list,
        orders::get,
        orders::events,
        orders::export,
        orders::retry,
        orders::settle,
        orders::enter_address,
        orders::told_by_hand,
        connections::list,
        connections::add,
        connections::get,
        connections::change,
        connections::sync,
        connections::pause,
        connections::resume,
        connections::test,
        reconciliation::days,
        reconciliation::compare,
        reconciliation::replays,
        reconciliation::replay,
        parked::list,
        parked::get,
        parked::replay,
        parked::replay_all,
        work::listings,
        work::effects,
        work::incidents,
        work::status,
        sql::run
    ),
    components(schemas(error::Problem)),
    modifiers(&Bearer),
    security(("bearer" = []))
)]
struct Description;

struct Bearer;

impl Modify for Bearer {
    fn modify(&self, openapi: &mut utoipa::openapi::OpenApi) {
        let scheme = SecurityScheme::Http(HttpBuilder::new().scheme(HttpAuthScheme::Bearer).build());
        openapi.components.get_or_insert_default().add_security_scheme("bearer", scheme);
    }
}

/// The API's description.
///
/// # Errors
/// Never.
pub async fn openapi(_who: Signed<AnyRole>) -> Result<HttpResponse, WebError> {
    Ok(error::json(&Description::openapi()))
}
