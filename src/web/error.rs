//! How an answer leaves: the only place that knows HTTP codes.
//!
//! A page's error says what happened and what to do next; the API's is a problem document (RFC 9457) with a
//! stable `code`. Details go to the log, never to the reader.

use actix_web::body::{BoxBody, EitherBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::{StatusCode, header};
use actix_web::middleware::Next;
use actix_web::{HttpResponse, ResponseError};
use askama::Template;
use serde::Serialize;
use thiserror::Error;

use super::{assets, htmx, routes};
use crate::store::StoreError;
use crate::vault::VaultError;

/// Media type of a problem document.
pub const PROBLEM_TYPE: &str = "application/problem+json";

/// Why a request was not served.
#[derive(Debug, Error)]
pub enum WebError {
    /// Nobody is signed in.
    #[error("Sign in to see this.")]
    SignInNeeded,
    /// The role does not suffice.
    #[error("Your role ({role}) may not do this. It needs a role that may {needed}. Ask the owner.")]
    Forbidden {
        /// The role of who asked.
        role: &'static str,
        /// What the handler needs.
        needed: &'static str,
    },
    /// The request came from another site.
    #[error(
        "This request did not come from this site's own page, so nothing was changed. Open the page again and \
         repeat it; scripts send the header Origin with this site's address, or use the API with a token."
    )]
    CrossSite,
    /// There is no such thing.
    #[error("{0}")]
    NotFound(String),
    /// The request cannot be understood.
    #[error("{message}")]
    Invalid {
        /// Stable code for programs.
        code: &'static str,
        /// What is wrong and what to do.
        message: String,
    },
    /// What was asked for cannot be done now.
    #[error("{0}")]
    Refused(String),
    /// Too many attempts.
    #[error("Too many attempts. Wait {0} seconds, then try again.")]
    TooManyAttempts(u64),
    /// The store did not answer well.
    #[error("{0}")]
    Store(StoreError),
    /// Something of ours failed; the text is for the log only.
    #[error("Something went wrong here, not with your order. Try again; the log says more.")]
    Internal(String),
}

impl WebError {
    /// A request that cannot be understood.
    pub fn invalid(code: &'static str, message: impl Into<String>) -> Self {
        Self::Invalid { code, message: message.into() }
    }

    /// An order that is not here.
    pub fn no_order(order_no: impl std::fmt::Display) -> Self {
        Self::NotFound(format!("There is no order {order_no} here. Use Find an order on the orders page."))
    }

    /// A connection that is not here.
    pub fn no_connection(id: impl std::fmt::Display) -> Self {
        Self::NotFound(format!("There is no connection {id} here. The connections page lists all."))
    }

    /// A payload that is not parked, or not any more.
    pub fn no_parked(payload: impl std::fmt::Display) -> Self {
        Self::NotFound(format!(
            "Payload {payload} is not parked: it was read in the meantime, or never was. The list shows what is."
        ))
    }

    /// The stable code for programs.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::SignInNeeded => "sign_in_needed",
            Self::Forbidden { .. } => "forbidden",
            Self::CrossSite => "cross_site",
            Self::NotFound(_) => "not_found",
            Self::Invalid { code, .. } => code,
            Self::Refused(_) => "refused",
            Self::TooManyAttempts(_) => "too_many_attempts",
            Self::Store(error) => store_parts(error).1,
            Self::Internal(_) => "internal",
        }
    }
}

impl From<StoreError> for WebError {
    fn from(error: StoreError) -> Self {
        match error {
            // A statement of ours that fails is our mistake, not the reader's.
            StoreError::Sql { message } => Self::Internal(message),
            error => Self::Store(error),
        }
    }
}

impl From<VaultError> for WebError {
    fn from(error: VaultError) -> Self {
        Self::Internal(error.to_string())
    }
}

impl From<askama::Error> for WebError {
    fn from(error: askama::Error) -> Self {
        Self::Internal(error.to_string())
    }
}

impl ResponseError for WebError {
    fn status_code(&self) -> StatusCode {
        match self {
            Self::SignInNeeded => StatusCode::UNAUTHORIZED,
            Self::Forbidden { .. } | Self::CrossSite => StatusCode::FORBIDDEN,
            Self::NotFound(_) => StatusCode::NOT_FOUND,
            Self::Invalid { .. } => StatusCode::BAD_REQUEST,
            Self::Refused(_) => StatusCode::CONFLICT,
            Self::TooManyAttempts(_) => StatusCode::TOO_MANY_REQUESTS,
            Self::Store(error) => store_parts(error).0,
            Self::Internal(_) => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }
}

fn store_parts(error: &StoreError) -> (StatusCode, &'static str) {
    match error {
        StoreError::Timeout => (StatusCode::GATEWAY_TIMEOUT, "query_timeout"),
        StoreError::TooManyRows => (StatusCode::BAD_REQUEST, "too_many_rows"),
        // Only the console lets one through: there the statement is the reader's.
        StoreError::Sql { .. } => (StatusCode::BAD_REQUEST, "sql_error"),
        StoreError::Invalid(_) => (StatusCode::BAD_REQUEST, "invalid"),
        StoreError::NotFound => (StatusCode::NOT_FOUND, "not_found"),
        StoreError::Changed => (StatusCode::CONFLICT, "changed"),
        StoreError::FreeSpace { .. } => (StatusCode::INSUFFICIENT_STORAGE, "free_space"),
        StoreError::DiskFull { .. } => (StatusCode::INSUFFICIENT_STORAGE, "disk_full"),
        StoreError::Closed => (StatusCode::SERVICE_UNAVAILABLE, "stopping"),
        StoreError::Locked { .. } | StoreError::NewerFile { .. } | StoreError::Fatal(_) => {
            (StatusCode::INTERNAL_SERVER_ERROR, "store_failed")
        }
    }
}

/// A problem document.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct Problem {
    /// `about:blank`: the code says it all.
    pub r#type: String,
    /// A short name of the status.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// What happened and what to do.
    pub detail: String,
    /// Stable code.
    pub code: String,
}

#[derive(Template)]
#[template(path = "pages/error.html", config = ".askama.toml")]
struct ErrorPage<'a> {
    title: &'a str,
    message: &'a str,
    css: &'a str,
}

#[derive(Template)]
#[template(path = "parts/notice.html", config = ".askama.toml")]
struct ErrorNotice<'a> {
    message: &'a str,
}

/// The answer that asks a visitor to sign in, a problem, a page or a fragment: whatever the request can show.
///
/// # Errors
/// Those of the rest of the chain that are no answer of ours.
pub async fn render<B: MessageBody + 'static>(
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<EitherBody<B, BoxBody>>, actix_web::Error> {
    let is_api = routes::takes_tokens(request.path());
    let is_fragment = htmx::Htmx::of(request.headers()).wants_fragment;
    let wanted = request.uri().path_and_query().map(|target| target.as_str().to_owned());
    let is_read = request.method().is_safe();
    let response = match next.call(request).await {
        Ok(response) => response,
        Err(error) => return Err(error),
    };
    if response.status().as_u16() < 400 || has_own_body(&response) {
        return Ok(response.map_into_left_body());
    }
    let status = response.status();
    let (code, message) = explain(&response);
    let answer = if is_api {
        problem(status, &code, &message)
    } else if status == StatusCode::UNAUTHORIZED {
        to_login(is_fragment, wanted.as_deref().filter(|_| is_read))
    } else if is_fragment {
        error_fragment(status, &message)
    } else {
        error_page(status, &message)
    };
    Ok(response.into_response(answer).map_into_right_body())
}

fn has_own_body<B>(response: &ServiceResponse<B>) -> bool {
    // A handler that answers a form with what to mend has written its page already.
    response.response().error().is_none() && response.response().headers().contains_key(header::CONTENT_TYPE)
}

fn explain<B>(response: &ServiceResponse<B>) -> (String, String) {
    let status = response.status();
    let Some(error) = response.response().error() else {
        return (
            "not_found".to_owned(),
            "There is no such page here. The menu lists what there is.".to_owned(),
        );
    };
    if let Some(error) = error.as_error::<WebError>() {
        if let WebError::Internal(text) = error {
            tracing::error!(error = %text, path = response.request().path(), "a request failed");
        }
        return (error.code().to_owned(), error.to_string());
    }
    if status.is_server_error() {
        tracing::error!(error = %error, path = response.request().path(), "a request failed");
        return ("internal".to_owned(), WebError::Internal(String::new()).to_string());
    }
    let code = if status == StatusCode::NOT_FOUND { "not_found" } else { "invalid_request" };
    (code.to_owned(), format!("The request could not be read: {error}."))
}

fn problem(status: StatusCode, code: &str, message: &str) -> HttpResponse {
    let problem = Problem {
        r#type: "about:blank".to_owned(),
        title: status.canonical_reason().unwrap_or("Error").to_owned(),
        status: status.as_u16(),
        detail: message.to_owned(),
        code: code.to_owned(),
    };
    let body = serde_json::to_vec(&problem).unwrap_or_default();
    let mut answer = HttpResponse::build(status);
    if status == StatusCode::UNAUTHORIZED {
        answer.insert_header((header::WWW_AUTHENTICATE, "Bearer"));
    }
    answer.content_type(PROBLEM_TYPE).body(body)
}

fn to_login(is_fragment: bool, wanted: Option<&str>) -> HttpResponse {
    let login = routes::login(wanted);
    if is_fragment {
        return HttpResponse::NoContent().insert_header((htmx::REDIRECT, login)).finish();
    }
    see_other(&login)
}

fn error_fragment(status: StatusCode, message: &str) -> HttpResponse {
    let body = ErrorNotice { message }.render().unwrap_or_default();
    HttpResponse::build(status)
        .insert_header((htmx::RETARGET, "#notice"))
        .insert_header((htmx::RESWAP, "innerHTML"))
        .content_type(HTML)
        .body(body)
}

fn error_page(status: StatusCode, message: &str) -> HttpResponse {
    let title = match status {
        StatusCode::FORBIDDEN => "Not allowed",
        StatusCode::NOT_FOUND => "Not found",
        StatusCode::TOO_MANY_REQUESTS => "Too many attempts",
        _ => "That did not work",
    };
    let page = ErrorPage { title, message, css: assets::url("app.css") };
    HttpResponse::build(status).content_type(HTML).body(page.render().unwrap_or_default())
}

const HTML: &str = "text/html; charset=utf-8";

/// A page or a fragment.
///
/// # Errors
/// Where the template fails.
pub fn html(template: &impl Template) -> Result<HttpResponse, WebError> {
    Ok(HttpResponse::Ok()
        .insert_header((header::VARY, "HX-Request"))
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .content_type(HTML)
        .body(template.render()?))
}

/// A form again, with what to mend.
///
/// # Errors
/// Where the template fails.
pub fn form_again(template: &impl Template) -> Result<HttpResponse, WebError> {
    Ok(HttpResponse::UnprocessableEntity()
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .content_type(HTML)
        .body(template.render()?))
}

/// On to another page, by GET.
#[must_use]
pub fn see_other(to: &str) -> HttpResponse {
    HttpResponse::SeeOther().insert_header((header::LOCATION, to)).finish()
}

/// A JSON answer.
pub fn json(value: &impl Serialize) -> HttpResponse {
    HttpResponse::Ok().insert_header((header::CACHE_CONTROL, "no-store")).json(value)
}

/// JSON of something new.
pub fn created(value: &impl Serialize) -> HttpResponse {
    HttpResponse::Created().json(value)
}

/// A file whose content never changes under its address.
#[must_use]
pub fn asset(media_type: &str, content: Vec<u8>) -> HttpResponse {
    HttpResponse::Ok()
        .insert_header((header::CACHE_CONTROL, "public, max-age=31536000, immutable"))
        .content_type(media_type)
        .body(content)
}

/// Metrics in the OpenMetrics text format.
#[must_use]
pub fn metrics(text: String) -> HttpResponse {
    HttpResponse::Ok()
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .content_type("application/openmetrics-text; version=1.0.0; charset=utf-8")
        .body(text)
}

/// A file of rows to be saved.
#[must_use]
pub fn csv(name: &str, content: &'static str) -> HttpResponse {
    HttpResponse::Ok()
        .insert_header((header::CONTENT_DISPOSITION, format!("attachment; filename=\"{name}\"")))
        .content_type("text/csv; charset=utf-8")
        .body(content)
}

/// Plain text.
#[must_use]
pub fn text(content: &'static str) -> HttpResponse {
    HttpResponse::Ok().content_type("text/plain; charset=utf-8").body(content)
}

/// Not now.
#[must_use]
pub fn unavailable(content: &'static str) -> HttpResponse {
    HttpResponse::ServiceUnavailable().content_type("text/plain; charset=utf-8").body(content)
}
