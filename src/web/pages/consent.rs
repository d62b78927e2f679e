//! Connecting on a platform's own page: the merchant goes there, says yes, and comes back with a code, by a redirect where
//! this installation can be reached, else pasted.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, PoisonError};

use actix_web::{HttpResponse, web};
use askama::Template;
use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;
use url::Url;

use super::{Shell, Visit, done};
use crate::clock::shifted;
use crate::domain::id::{ConnectionId, UserId};
use crate::secret::Secret;
use crate::vault::hash_token;
use crate::web::auth::{Access, CanManage, Signed};
use crate::web::engine::{ConnectionUpdate, ConsentAnswer, ConsentRequest, NewConnectionRequest};
use crate::web::error::WebError;
use crate::web::{AppState, routes};

/// How long a consent may take.
const OPEN_MAX: SignedDuration = SignedDuration::from_mins(30);
/// Consents that are open at the same time.
const OPEN_COUNT_MAX: usize = 100;
/// Where the platform sends the browser to where this installation has no public address: nothing listens there, and
/// the browser's address line holds the code.
const NOWHERE: &str = "https://localhost/";

/// What a consent is for.
#[derive(Debug, Clone)]
enum Purpose {
    /// A new connection.
    Add,
    /// New credentials for one that is there.
    Authorise(ConnectionId),
}

/// A consent that was begun.
#[derive(Debug, Clone)]
struct Open {
    user: Option<UserId>,
    purpose: Purpose,
    request: NewConnectionRequest,
    redirect_uri: String,
    verifier: Option<Secret>,
    expires_at: Timestamp,
}

/// Consents that were begun and not finished. In memory: after a restart they are begun again.
#[derive(Debug, Default)]
pub struct Consents {
    open: Mutex<HashMap<String, Open>>,
}

impl Consents {
    fn keep(&self, state: &str, open: Open, now: Timestamp) {
        let mut all = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|_, known| known.expires_at > now);
        if all.len() < OPEN_COUNT_MAX {
            all.insert(hash_token(state), open);
        }
    }

    fn find(&self, state: &str, user: Option<UserId>, now: Timestamp) -> Option<Open> {
        let all = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        all.get(&hash_token(state)).filter(|open| open.user == user && open.expires_at > now).cloned()
    }

    fn forget(&self, state: &str) {
        self.open.lock().unwrap_or_else(PoisonError::into_inner).remove(&hash_token(state));
    }
}

#[derive(Template)]
#[template(path = "pages/consent.html", config = ".askama.toml")]
struct ConsentPage {
    shell: Shell,
    title: String,
    url: String,
    state: String,
    redirect_uri: String,
    /// True where the browser comes back by itself.
    comes_back: bool,
    action: &'static str,
}

/// Begins a consent for a connection that is to be added.
///
/// # Errors
/// What is missing.
pub fn begin_new<A: Access>(
    who: &Signed<A>,
    visit: &Visit,
    state: &AppState,
    request: NewConnectionRequest,
) -> Result<HttpResponse, WebError> {
    begin(who, visit, state, Purpose::Add, request)
}

/// Begins a consent for a connection that is there, with what was entered over what is held.
///
/// # Errors
/// Where there is no such connection, or something is missing.
pub fn begin_again<A: Access>(
    who: &Signed<A>,
    visit: &Visit,
    state: &AppState,
    id: ConnectionId,
    entered: BTreeMap<String, Secret>,
) -> Result<HttpResponse, WebError> {
    let request = state.engine.request_of(id, entered).ok_or_else(|| WebError::no_connection(id))?;
    begin(who, visit, state, Purpose::Authorise(id), request)
}

fn begin<A: Access>(
    who: &Signed<A>,
    visit: &Visit,
    state: &AppState,
    purpose: Purpose,
    request: NewConnectionRequest,
) -> Result<HttpResponse, WebError> {
    let token = state.entropy.token(32);
    let comes_back = state.network.public_url.as_ref().is_some_and(|url| url.scheme() == "https");
    let redirect_uri = if comes_back { state.network.link(routes::CONSENT) } else { NOWHERE.to_owned() };
    let wish = ConsentRequest { redirect_uri: redirect_uri.clone(), state: token.clone() };
    let start = state.engine.start_consent(&request, &wish).map_err(WebError::Refused)?;
    let now = state.clock.now();
    let title = request.alias.clone();
    let open = Open {
        user: who.account.user_id,
        purpose,
        request,
        redirect_uri: redirect_uri.clone(),
        verifier: start.verifier,
        expires_at: shifted(now, OPEN_MAX),
    };
    state.consents.keep(&token, open, now);
    visit.page(&ConsentPage {
        shell: visit.shell(who, format!("Connect {title}"), "connections"),
        title,
        url: start.url.to_string(),
        state: token,
        redirect_uri,
        comes_back,
        action: routes::CONSENT,
    })
}

/// What comes back, by the browser or pasted.
#[derive(Debug, Deserialize)]
pub struct Back {
    /// Ties it to what was begun.
    #[serde(default)]
    state: String,
    /// The code; none where the merchant said no.
    #[serde(default)]
    code: String,
    /// The address at which the browser ended, or the code alone.
    #[serde(default)]
    pasted: String,
    /// Why there is no code.
    #[serde(default)]
    error: String,
    /// The same, for people.
    #[serde(default)]
    error_description: String,
}

/// The browser comes back from the platform.
///
/// # Errors
/// Why it is not connected.
pub async fn back(
    who: Signed<CanManage>,
    state: web::Data<AppState>,
    query: web::Query<Back>,
) -> Result<HttpResponse, WebError> {
    finish(&who, &state, query.into_inner()).await
}

/// The merchant pasted what came back.
///
/// # Errors
/// Why it is not connected.
pub async fn paste(
    who: Signed<CanManage>,
    state: web::Data<AppState>,
    fields: web::Form<Back>,
) -> Result<HttpResponse, WebError> {
    let mut back = fields.into_inner();
    let pasted = std::mem::take(&mut back.pasted);
    let pasted = pasted.trim();
    match Url::parse(pasted) {
        Ok(address) => {
            let field = |name: &str| {
                address.query_pairs().find(|(known, _)| known == name).map(|(_, value)| value.into_owned())
            };
            if field("state").is_some_and(|found| found != back.state) {
                return Err(WebError::Refused(
                    "This address belongs to another attempt: paste the one of the page that you opened last."
                        .to_owned(),
                ));
            }
            back.code = field("code").unwrap_or_default();
            back.error = field("error").unwrap_or_default();
            back.error_description = field("error_description").unwrap_or_default();
        }
        Err(_) => back.code = pasted.to_owned(),
    }
    finish(&who, &state, back).await
}

async fn finish(who: &Signed<CanManage>, state: &AppState, back: Back) -> Result<HttpResponse, WebError> {
    let now = state.clock.now();
    let open = state.consents.find(&back.state, who.account.user_id, now).ok_or_else(|| {
        WebError::Refused(
            "This attempt is over or was begun by somebody else: begin again under Connections.".to_owned(),
        )
    })?;
    if back.code.is_empty() {
        let why = [back.error_description, back.error].into_iter().find(|text| !text.is_empty());
        let why = why.unwrap_or_else(|| "there is no code in it".to_owned());
        return Err(WebError::Refused(format!(
            "{} was not connected: {why}. Begin again under Connections.",
            open.request.alias
        )));
    }
    let answer = ConsentAnswer {
        code: Secret::new(back.code),
        redirect_uri: open.redirect_uri.clone(),
        verifier: open.verifier.clone(),
    };
    let credentials = state.engine.finish_consent(&open.request, answer).await.map_err(WebError::Refused)?;
    // A code is good once.
    state.consents.forget(&back.state);
    let id = match open.purpose {
        Purpose::Add => {
            let request = NewConnectionRequest { credentials, ..open.request };
            let added = state.engine.add_connection(request, who.actor()).await;
            added.map_err(|refused| WebError::Refused(refused.message))?
        }
        Purpose::Authorise(id) => {
            let update = ConnectionUpdate { credentials, ..ConnectionUpdate::default() };
            let changed = state.engine.change_connection(id, update, who.actor()).await;
            changed.map_err(|refused| WebError::Refused(refused.message))?;
            id
        }
    };
    done(&routes::connection(id), "Connected. Its orders are being read.")
}
