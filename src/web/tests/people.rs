//! Sessions and users, as their owners see and end them.

use std::time::Duration;

use actix_web::cookie::Cookie;
use actix_web::http::StatusCode;
use actix_web::test::TestRequest;

use super::site::{Answer, Site};
use crate::domain::user::Role;

const DAY: Duration = Duration::from_secs(24 * 3_600);

async fn get(site: &Site, path: &str, cookie: &Cookie<'static>) -> Answer {
    site.send(TestRequest::get().uri(path).cookie(cookie.clone())).await
}

async fn post(site: &Site, path: &str, cookie: &Cookie<'static>, fields: &[(&str, &str)]) -> Answer {
    let request = TestRequest::post().uri(path).cookie(cookie.clone()).set_form(fields);
    site.send(request.insert_header(("Sec-Fetch-Site", "same-origin"))).await
}

#[actix_web::test]
async fn a_session_in_use_never_ends_by_itself_and_an_idle_one_does() {
    let site = Site::new().await;
    let (daily, idle) = (site.owner().await, site.owner().await);
    for _ in 0..30 {
        site.clock.advance(DAY);
        assert_eq!(get(&site, "/orders", &daily).await.status, StatusCode::OK);
    }
    assert_eq!(get(&site, "/orders", &idle).await.status, StatusCode::SEE_OTHER);
    site.clock.advance(7 * DAY);
    assert_eq!(get(&site, "/orders", &daily).await.status, StatusCode::SEE_OTHER);
}

#[actix_web::test]
async fn the_use_of_a_session_is_written_once_a_minute_at_most() {
    let site = Site::new().await;
    let cookie = site.owner().await;
    let seen = async || {
        let user = crate::domain::id::UserId(1);
        let now = site.state.clock.now();
        let read = move |read: &crate::store::Read<'_>| crate::store::sessions::of_user(read, user, now);
        site.state.store.read(read).await.unwrap()[0].last_seen_at
    };
    let first = seen().await;
    site.clock.advance(Duration::from_secs(59));
    get(&site, "/orders", &cookie).await;
    assert_eq!(seen().await, first);
    site.clock.advance(Duration::from_secs(1));
    get(&site, "/orders", &cookie).await;
    assert_eq!(seen().await, site.state.clock.now());
}

#[actix_web::test]
async fn sessions_are_listed_and_ended_one_by_one_by_their_owner_only() {
    let site = Site::new().await;
    let sign_in = async |agent: &'static str| {
        let link = crate::web::sign_in_link(&site.state, crate::domain::id::UserId(1));
        let answer = site.send(TestRequest::get().uri(&link).insert_header(("User-Agent", agent))).await;
        Cookie::parse_encoded(answer.header("set-cookie").to_owned()).unwrap().into_owned()
    };
    let desk = sign_in("Mozilla/5.0 (X11; Linux x86_64; rv:127.0) Gecko/20100101 Firefox/127.0").await;
    let lost = sign_in("Mozilla/5.0 (Linux; Android 14) Chrome/126.0 Mobile Safari/537.36").await;
    let page = get(&site, "/settings", &desk).await;
    let text = page.texts("main").join(" ");
    assert!(text.contains("Firefox on Linux This one") && text.contains("Chrome on Android"), "{text}");
    let hash = page.attribute("input[name=session]", "value").unwrap();

    let other = site.session(site.add_user("bob", Role::Staff)).await;
    post(&site, "/settings/sessions/end", &other, &[("session", &hash)]).await;
    assert_eq!(get(&site, "/orders", &lost).await.status, StatusCode::OK, "nobody ends another's session");
    post(&site, "/settings/sessions/end", &desk, &[("session", &hash)]).await;
    assert_eq!(get(&site, "/orders", &lost).await.status, StatusCode::SEE_OTHER);
    assert_eq!(get(&site, "/orders", &desk).await.status, StatusCode::OK);
}

#[actix_web::test]
async fn the_owner_adds_a_user_changes_the_role_resets_the_password_and_removes_them() {
    let site = Site::new().await;
    let added = site.post("/settings/users", &[("name", " bob "), ("role", "staff")]).await;
    let link = added.attribute("a.secret", "href").unwrap();
    assert!(site.get("/settings").await.texts("main").join(" ").contains("waits for the link"));
    assert!(site.get("/settings").await.attribute("a.secret", "href").is_none(), "a link is shown once");
    let password = [("password", "correct horse battery"), ("repeated", "correct horse battery")];
    let set = TestRequest::post().uri(&link).insert_header(("Sec-Fetch-Site", "same-origin"));
    let signed_in = site.send(set.set_form(password)).await;
    let bob = Cookie::parse_encoded(signed_in.header("set-cookie").to_owned()).unwrap().into_owned();
    assert_eq!(get(&site, "/orders", &bob).await.status, StatusCode::OK);
    assert_eq!(
        post(&site, "/settings/users", &bob, &[("name", "eve"), ("role", "owner")]).await.status,
        StatusCode::FORBIDDEN
    );
    let twice = site.post("/settings/users", &[("name", "BOB"), ("role", "staff")]).await;
    assert_eq!(twice.status, StatusCode::CONFLICT);

    site.post("/settings/users/2/role", &[("role", "analyst")]).await;
    assert_eq!(get(&site, "/orders", &bob).await.status, StatusCode::FORBIDDEN, "a new role counts at once");
    let reset = site.post("/settings/users/2/password", &[]).await;
    assert_ne!(reset.attribute("a.secret", "href").unwrap(), link);
    assert_eq!(get(&site, "/settings", &bob).await.status, StatusCode::SEE_OTHER, "signed out everywhere");

    for _ in 0..2 {
        assert_eq!(site.post("/settings/users/2/remove", &[]).await.header("location"), "/settings");
    }
    let gone = reset.attribute("a.secret", "href").unwrap();
    assert_eq!(site.send(TestRequest::get().uri(&gone)).await.status, StatusCode::NOT_FOUND);
}

#[actix_web::test]
async fn somebody_always_owns_the_installation() {
    let site = Site::new().await;
    let last = site.post("/settings/users/1/role", &[("role", "staff")]).await;
    assert_eq!(last.status, StatusCode::CONFLICT);
    assert!(last.body.contains("Make somebody else an owner first."));
    assert_eq!(site.post("/settings/users/1/remove", &[]).await.status, StatusCode::CONFLICT);
    let own = site.post("/settings/users/1/password", &[]).await;
    assert!(own.header("location").starts_with("/setup/"), "the own password is changed at once");
    assert_eq!(site.get("/orders").await.status, StatusCode::OK);
}
