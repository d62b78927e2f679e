//! Etsy's grants: its page on which a merchant says yes, codes with PKCE, and refresh tokens of which each works once.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use http::{Response, StatusCode};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::json;
use sha2::{Digest as _, Sha256};

use super::super::draw::Draw;
use super::super::reply;
use super::{Call, Etsy, KEYSTRING, OTHER_SHOP_ID, OTHER_USER_ID, SHOP_ID, USER_ID};

/// How long an access token lives.
const TOKEN_SECONDS: i64 = 3_600;
/// How long a code lives.
const CODE_SECONDS: i64 = 600;

/// What a code was given for.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Code {
    challenge: String,
    redirect_uri: String,
    /// The microsecond when it dies.
    dies: i64,
    /// Whether the other shop's owner said yes.
    #[serde(default)]
    is_others: bool,
}

impl Etsy {
    /// Etsy's page. The merchant always says yes, and the browser goes back at once.
    pub(super) fn consent(&mut self, call: &Call<'_>) -> Response<Bytes> {
        let query = call.request.uri().query().unwrap_or("");
        let fields: BTreeMap<String, String> =
            form_urlencoded::parse(query.as_bytes()).into_owned().collect();
        let field = |name: &str| fields.get(name).map_or("", String::as_str);
        let is_right = field("response_type") == "code"
            && field("client_id") == KEYSTRING
            && field("code_challenge_method") == "S256"
            && !field("code_challenge").is_empty()
            && !field("state").is_empty()
            && !field("scope").is_empty()
            && field("redirect_uri").starts_with("http");
        if !is_right {
            let body = json!({"error": "invalid_request"});
            return reply::json(StatusCode::BAD_REQUEST, &body);
        }
        let code = Draw::new(self.seed, "etsy.code", self.meta.tokens_issued).code(40);
        self.meta.tokens_issued += 1;
        self.changes.meta = true;
        let given = Code {
            challenge: field("code_challenge").to_owned(),
            redirect_uri: field("redirect_uri").to_owned(),
            dies: call.now.as_microsecond() + CODE_SECONDS * 1_000_000,
            is_others: self.meta.is_other_signed_in,
        };
        self.meta.codes.insert(code.clone(), given);
        let mut back = form_urlencoded::Serializer::new(String::new());
        back.append_pair("code", &code).append_pair("state", field("state"));
        let mut response = reply::empty(StatusCode::FOUND);
        let location = format!("{}?{}", field("redirect_uri"), back.finish());
        reply::set_header(&mut response, "location", &location);
        response
    }

    /// The token endpoint.
    pub(super) fn token(&mut self, call: &Call<'_>) -> Response<Bytes> {
        let fields: BTreeMap<String, String> =
            form_urlencoded::parse(call.request.body()).into_owned().collect();
        let field = |name: &str| fields.get(name).map_or("", String::as_str);
        let refused = |error: &str, text: &str| {
            let body = json!({"error": error, "error_description": text});
            reply::json(StatusCode::BAD_REQUEST, &body)
        };
        if field("client_id") != KEYSTRING {
            return refused("invalid_client", "The client_id is not known");
        }
        let mut is_others = false;
        match field("grant_type") {
            "refresh_token" if field("refresh_token") == self.refresh_token() => {}
            "refresh_token" if field("refresh_token") == self.other_refresh_token() => is_others = true,
            "refresh_token" => {
                return refused("invalid_grant", "The refresh token is invalid or has been used");
            }
            "authorization_code" => {
                let known = self.meta.codes.remove(field("code"));
                self.changes.meta = true;
                is_others = known.as_ref().is_some_and(|known| known.is_others);
                let digest = URL_SAFE_NO_PAD.encode(Sha256::digest(field("code_verifier")));
                let is_right = known.is_some_and(|known| {
                    known.challenge == digest
                        && known.redirect_uri == field("redirect_uri")
                        && known.dies > call.now.as_microsecond()
                });
                if !is_right {
                    return refused("invalid_grant", "The code, its verifier or its address is wrong");
                }
            }
            _ => return refused("unsupported_grant_type", "The grant type is not known"),
        }
        // From here on the old refresh token is dead, whatever becomes of this answer.
        let (user, refresh) = if is_others {
            self.meta.other_refresh += 1;
            (OTHER_USER_ID, self.other_refresh_token())
        } else {
            self.meta.refresh += 1;
            (USER_ID, self.refresh_token())
        };
        let access = self.issue_access_token(user, call.now);
        let body = json!({
            "access_token": access,
            "token_type": "Bearer",
            "expires_in": TOKEN_SECONDS,
            "refresh_token": refresh,
        });
        reply::json(StatusCode::OK, &body)
    }

    /// The refresh token that is valid now.
    pub fn refresh_token(&self) -> String {
        format!("{USER_ID}.{}", Draw::new(self.seed, "etsy.refresh", self.meta.refresh).code(60))
    }

    /// The other owner's refresh token that is valid now.
    pub fn other_refresh_token(&self) -> String {
        let number = self.meta.other_refresh;
        format!("{OTHER_USER_ID}.{}", Draw::new(self.seed, "etsy.refresh.other", number).code(60))
    }

    /// Decides who says yes on Etsy's page from now on. The answer is that shop and a refresh token of its owner.
    pub fn sign_in(&mut self, is_other: bool) -> (i64, String) {
        self.meta.is_other_signed_in = is_other;
        self.changes.meta = true;
        if is_other { (OTHER_SHOP_ID, self.other_refresh_token()) } else { (SHOP_ID, self.refresh_token()) }
    }

    /// Ends the merchant's grant: all tokens die, and a new refresh token is there as after a new consent.
    pub fn revoke(&mut self) {
        self.meta.refresh += 1;
        self.meta.tokens.clear();
        self.changes.meta = true;
    }

    fn issue_access_token(&mut self, user: i64, now: Timestamp) -> String {
        let number = self.meta.tokens_issued;
        self.meta.tokens_issued += 1;
        let token = format!("{user}.{}", Draw::new(self.seed, "etsy.access", number).code(60));
        let now = now.as_microsecond();
        self.meta.tokens.retain(|_, dies| *dies > now);
        self.meta.tokens.insert(token.clone(), now + TOKEN_SECONDS * 1_000_000);
        self.changes.meta = true;
        token
    }
}
