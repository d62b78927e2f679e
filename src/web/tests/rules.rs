//! Who is answered: sign-in, roles, origins, limits.

use std::collections::BTreeSet;

use actix_web::http::{Method, StatusCode};
use actix_web::test::TestRequest;
use serde_json::json;

use super::site::{Site, order};
use crate::domain::user::Role;
use crate::web::{assets, routes};

/// Everything that answers somebody who is not signed in.
const OPEN: [(&str, &str); 15] = [
    ("GET", "/healthz"),
    ("GET", "/readyz"),
    ("GET", "/assets/{hash}/{name:.*}"),
    ("GET", "/login"),
    ("POST", "/login"),
    ("GET", "/login/{token}"),
    ("GET", "/setup/{token}"),
    ("POST", "/setup/{token}"),
    ("GET", "/bigcommerce/auth"),
    ("GET", "/bigcommerce/load"),
    ("GET", "/bigcommerce/uninstall"),
    ("GET", "/bigcommerce/remove_user"),
    ("GET", "/bigcommerce/opened"),
    ("GET", "/bigcommerce/tab/{token}"),
    ("POST", "/bigcommerce/link"),
];

#[actix_web::test]
async fn nothing_answers_without_sign_in_but_what_must() {
    let site = Site::new().await;
    let open: BTreeSet<(&str, &str)> = OPEN.into();
    let mut guarded_count = 0;
    for address in routes::all() {
        let is_open = open.contains(&(address.method.as_str(), address.path));
        assert_eq!(address.needed.is_none(), is_open, "{} {}", address.method, address.path);
        if is_open {
            continue;
        }
        guarded_count += 1;
        let path = address
            .path
            .replace("{no}", "1")
            .replace("{id}", "1")
            .replace("{payload}", "1")
            .replace("{effect}", "1")
            .replace("{verdict}", "done")
            .replace("{parcel}", "1")
            .replace("{sha256}", "aa")
            .replace("{channel}", "amazon");
        let request = TestRequest::with_uri(&path)
            .method(address.method.clone())
            .insert_header(("Sec-Fetch-Site", "same-origin"));
        let answer = site.send(request).await;
        if routes::takes_tokens(&path) {
            assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{path}");
            assert_eq!(answer.json()["code"], "sign_in_needed");
        } else {
            assert_eq!(answer.status, StatusCode::SEE_OTHER, "{path}");
            assert!(answer.header("location").starts_with("/login"), "{path}");
        }
    }
    assert!(guarded_count > 30);
    assert!(site.engine.calls.lock().unwrap().is_empty());
}

#[actix_web::test]
async fn a_role_does_what_it_may_and_no_more() {
    let site = Site::new().await;
    let cases = [
        (Role::Analyst, "GET", "/api/v1/orders", false),
        (Role::Analyst, "GET", "/api/v1/status", true),
        (Role::Warehouse, "GET", "/api/v1/orders", true),
        (Role::Warehouse, "POST", "/api/v1/connections/1/sync", false),
        (Role::Staff, "POST", "/api/v1/connections/1/sync", true),
        (Role::Staff, "POST", "/api/v1/connections/1/pause", false),
        (Role::Manager, "POST", "/api/v1/connections/1/pause", true),
        (Role::Staff, "POST", "/api/v1/sql", false),
    ];
    for role in Role::ALL {
        site.add_token(role);
    }
    for (role, method, path, is_allowed) in cases {
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        let answer = site.api(method, path, &format!("token-of-{role}"), None).await;
        let is_refused = answer.status == StatusCode::FORBIDDEN;
        assert_eq!(is_refused, !is_allowed, "{role} {path}: {}", answer.body);
    }
}

#[actix_web::test]
async fn only_this_sites_own_pages_change_something() {
    let site = Site::new().await;
    let cookie = site.owner().await;
    let cases: [(&[(&str, &str)], bool); 7] = [
        (&[("Sec-Fetch-Site", "same-origin")], true),
        (&[("Sec-Fetch-Site", "none")], true),
        (&[("Sec-Fetch-Site", "cross-site"), ("Origin", "http://shop.test")], false),
        (&[("Host", "shop.test"), ("Origin", "http://shop.test")], true),
        (&[("Host", "shop.test"), ("Origin", "http://evil.test")], false),
        (&[("Host", "shop.test"), ("Origin", "null")], false),
        (&[("Host", "shop.test"), ("X-Forwarded-Host", "evil.test"), ("Origin", "http://evil.test")], false),
    ];
    for (headers, is_allowed) in cases {
        let mut request = TestRequest::post().uri("/connections/1/sync").cookie(cookie.clone());
        for header in headers {
            request = request.insert_header(*header);
        }
        let answer = site.send(request).await;
        assert_eq!(answer.status == StatusCode::SEE_OTHER, is_allowed, "{headers:?}: {}", answer.status);
        assert_eq!(answer.status == StatusCode::FORBIDDEN, !is_allowed, "{headers:?}: {}", answer.status);
    }
    assert_eq!(site.engine.calls.lock().unwrap().len(), 3);
}

#[actix_web::test]
async fn a_sign_in_link_works_once() {
    let site = Site::new().await;
    let link = crate::web::sign_in_link(&site.state, crate::domain::id::UserId(1));
    assert_eq!(site.send(TestRequest::get().uri(&link)).await.status, StatusCode::SEE_OTHER);
    assert_eq!(site.send(TestRequest::get().uri(&link)).await.status, StatusCode::NOT_FOUND);
}

#[actix_web::test]
async fn the_setup_link_makes_the_owner_once() {
    let site = Site::new().await;
    site.state.vault.update(|document| document.users.clear()).unwrap();
    let link = crate::web::setup_link(&site.state).unwrap().unwrap();
    let send = |password: &'static str| {
        let fields = [("name", "grace"), ("password", password), ("repeated", password)];
        TestRequest::post().uri(&link).insert_header(("Sec-Fetch-Site", "same-origin")).set_form(fields)
    };
    assert_eq!(site.send(send("short")).await.status, StatusCode::UNPROCESSABLE_ENTITY);
    let answer = site.send(send("a long enough one")).await;
    assert_eq!(answer.status, StatusCode::SEE_OTHER);
    assert!(answer.header("set-cookie").contains("HttpOnly"));
    assert_eq!(site.send(send("a long enough one")).await.status, StatusCode::NOT_FOUND);
    assert!(crate::web::setup_link(&site.state).unwrap().is_none());
    let fields = [("name", "grace"), ("password", "a long enough one"), ("next", "/connections")];
    let login = TestRequest::post().uri("/login").insert_header(("Sec-Fetch-Site", "same-origin"));
    let answer = site.send(login.set_form(fields)).await;
    assert_eq!(answer.header("location"), "/connections");
}

#[actix_web::test]
async fn guessing_passwords_is_slowed_down() {
    let site = Site::new().await;
    let attempt = || {
        TestRequest::post()
            .uri("/login")
            .insert_header(("Sec-Fetch-Site", "same-origin"))
            .set_form([("name", "nobody"), ("password", "guess")])
    };
    let first = site.send(attempt()).await;
    assert_eq!(first.status, StatusCode::UNPROCESSABLE_ENTITY);
    let mut last = first.status;
    for _ in 0..12 {
        last = site.send(attempt()).await.status;
    }
    assert_eq!(last, StatusCode::TOO_MANY_REQUESTS);
}

#[test]
fn a_sign_in_never_leads_to_another_site() {
    for bad in ["https://evil.test", "//evil.test", "/\\evil.test", "evil", "/\tx"] {
        assert_eq!(routes::local_or_home(Some(bad)), "/", "{bad}");
    }
    assert_eq!(routes::local_or_home(Some("/orders?status=open")), "/orders?status=open");
}

#[actix_web::test]
async fn a_page_of_work_is_light_and_asks_nobody_else() {
    let site = Site::new().await;
    site.import((0..60).map(|number| order(&format!("113-{number:07}-1234567"), number)).collect()).await;
    let cookie = site.owner().await;
    let mut total = 0;
    let page = site.get("/orders").await;
    for path in ["/orders", assets::url("app.css"), assets::url("htmx.min.js"), assets::url("icon.svg")] {
        let request =
            TestRequest::get().uri(path).cookie(cookie.clone()).insert_header(("Accept-Encoding", "gzip"));
        let app = actix_web::test::init_service(
            actix_web::App::new().app_data(site.state.clone()).configure(crate::web::configure),
        )
        .await;
        let answer = actix_web::test::call_service(&app, request.to_request()).await;
        assert_eq!(answer.status(), StatusCode::OK, "{path}");
        assert_eq!(answer.headers().get("content-encoding").unwrap(), "gzip", "{path}");
        total += actix_web::body::to_bytes(answer.into_body()).await.map_err(|_| "body").unwrap().len();
    }
    assert!(total <= 60 * 1024, "{total} bytes");
    let policy = page.header("content-security-policy");
    assert!(policy.contains("default-src 'none'") && !policy.contains("unsafe"));
    for foreign in ["src=\"http", "href=\"http", "<style", "style=\"", "onclick", "<script>"] {
        assert!(!page.body.contains(foreign), "{foreign}");
    }
}

#[actix_web::test]
async fn the_api_says_what_is_wrong() {
    let site = Site::new().await;
    let token = site.add_token(Role::Owner);
    let answer = site.api(Method::GET, "/api/v1/orders?limit=201", &token, None).await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST);
    assert_eq!(answer.header("content-type"), "application/problem+json");
    assert_eq!(answer.json()["code"], "invalid_limit");
    let body = json!({"channel": "amazon", "alias": "A", "credentials": {"client_idd": "x"}});
    let answer = site.api(Method::POST, "/api/v1/connections", &token, Some(body)).await;
    assert!(
        answer.json()["detail"].as_str().unwrap().contains("Did you mean “client_id”?"),
        "{}",
        answer.body
    );
    let answer = site.api(Method::GET, "/api/v1/nothing", &token, None).await;
    assert_eq!((answer.status, answer.json()["code"].clone()), (StatusCode::NOT_FOUND, json!("not_found")));
}

#[actix_web::test]
async fn the_description_names_every_api_address() {
    let site = Site::new().await;
    let token = site.add_token(Role::Analyst);
    let answer = site.api(Method::GET, "/api/openapi.json", &token, None).await;
    let paths = answer.json()["paths"].clone();
    for address in routes::all().iter().filter(|address| address.path.starts_with("/api/v1/")) {
        let method = address.method.as_str().to_lowercase();
        assert!(paths[address.path][&method].is_object(), "{method} {}", address.path);
    }
}
