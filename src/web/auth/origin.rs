//! Whether a request that changes something comes from this site's own page, and where the client really is.
//!
//! Links are never built from the Host header; forwarded headers count only from a trusted proxy.

use std::net::IpAddr;

use actix_web::body::{BoxBody, EitherBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header::{self, HeaderMap};
use actix_web::middleware::Next;
use actix_web::{HttpRequest, web};
use ipnet::IpNet;
use url::{Origin, Url};

use super::bearer;
use crate::web::AppState;
use crate::web::error::WebError;

/// Where this site is, as configured.
#[derive(Debug, Clone, Default)]
pub struct Network {
    /// The address that people use, if it is configured.
    pub public_url: Option<Url>,
    /// Whose forwarded headers count.
    pub trusted_proxies: Vec<IpNet>,
}

impl Network {
    /// The client's address: the peer's, or what a trusted proxy says, from the right.
    #[must_use]
    pub fn client_address(&self, request: &HttpRequest) -> Option<IpAddr> {
        let peer = request.peer_addr()?.ip();
        if !self.trusts(peer) {
            return Some(peer);
        }
        let forwarded = text(request.headers(), "X-Forwarded-For").unwrap_or_default();
        let hops = forwarded.rsplit(',').filter_map(|hop| hop.trim().parse::<IpAddr>().ok());
        Some(hops.into_iter().find(|hop| !self.trusts(*hop)).unwrap_or(peer))
    }

    /// True where browsers reach this site by HTTPS, so that cookies are marked `Secure`.
    #[must_use]
    pub fn is_https(&self) -> bool {
        self.public_url.as_ref().is_some_and(|url| url.scheme() == "https")
    }

    /// An absolute link: from the configured address, else relative.
    #[must_use]
    pub fn link(&self, path: &str) -> String {
        match &self.public_url {
            Some(url) => format!("{}{path}", url.as_str().trim_end_matches('/')),
            None => path.to_owned(),
        }
    }

    fn trusts(&self, address: IpAddr) -> bool {
        self.trusted_proxies.iter().any(|proxy| proxy.contains(&address))
    }

    fn own_origin(&self, request: &HttpRequest) -> Option<Origin> {
        let is_behind_proxy = request.peer_addr().is_some_and(|peer| self.trusts(peer.ip()));
        let forwarded =
            |name| if is_behind_proxy { text(request.headers(), name).map(first_word) } else { None };
        let scheme = forwarded("X-Forwarded-Proto").unwrap_or("http");
        let host = forwarded("X-Forwarded-Host").or_else(|| text(request.headers(), "Host"))?;
        Url::parse(&format!("{scheme}://{host}")).ok().map(|url| url.origin())
    }

    fn is_own(&self, request: &HttpRequest) -> bool {
        let headers = request.headers();
        if let Some(site) = text(headers, "Sec-Fetch-Site") {
            return matches!(site, "same-origin" | "none");
        }
        let Some(origin) = text(headers, "Origin").and_then(|origin| Url::parse(origin).ok()) else {
            return false;
        };
        let origin = origin.origin();
        let is_public = self.public_url.as_ref().is_some_and(|url| url.origin() == origin);
        is_public || self.own_origin(request).is_some_and(|own| own == origin)
    }
}

/// Lets a request through that changes nothing, carries a token, or comes from our own page.
///
/// # Errors
/// Those of the rest of the chain; all other requests are answered with [`WebError::CrossSite`].
pub async fn guard<B: MessageBody + 'static>(
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<EitherBody<B, BoxBody>>, actix_web::Error> {
    let is_allowed = request.method().is_safe()
        || bearer(request.request()).is_some()
        || request
            .app_data::<web::Data<AppState>>()
            .is_some_and(|state| state.network.is_own(request.request()));
    if !is_allowed {
        return Ok(request.error_response(WebError::CrossSite).map_into_right_body());
    }
    next.call(request).await.map(ServiceResponse::map_into_left_body)
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let name = header::HeaderName::try_from(name).ok()?;
    headers.get(name)?.to_str().ok()
}

fn first_word(text: &str) -> &str {
    text.split(',').next().unwrap_or_default().trim()
}
