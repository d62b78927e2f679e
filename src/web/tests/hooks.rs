//! The address that platforms push to: open to who knows it, and to nobody else.

use actix_web::http::StatusCode;
use actix_web::test::TestRequest;

use super::site::Site;

#[actix_web::test]
async fn a_message_is_taken_without_a_session_and_from_another_site() {
    let site = Site::new().await;
    let message = TestRequest::post()
        .uri("/hooks/known")
        .insert_header(("Webhook-Id", "m1"))
        .insert_header(("Sec-Fetch-Site", "cross-site"))
        .set_payload("{\"scope\":\"store/order/created\"}");
    let taken = site.send(message).await;
    assert_eq!(taken.status, StatusCode::OK);
    assert_eq!(*site.engine.calls.lock().unwrap(), ["pushed m1 {\"scope\":\"store/order/created\"}"]);

    let unknown = site.send(TestRequest::post().uri("/hooks/guessed").set_payload("{}")).await;
    assert_eq!(unknown.status, StatusCode::NOT_FOUND);
    let full = site.send(TestRequest::post().uri("/hooks/full").set_payload("{}")).await;
    assert_eq!((full.status, full.header("retry-after")), (StatusCode::SERVICE_UNAVAILABLE, "30"));
    let large = TestRequest::post().uri("/hooks/known").set_payload(vec![b' '; 300_000]);
    assert_eq!(site.send(large).await.status, StatusCode::PAYLOAD_TOO_LARGE);
    let put = site.send(TestRequest::put().uri("/hooks/known").set_payload("{}")).await;
    assert_eq!(put.status, StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(site.engine.calls.lock().unwrap().len(), 1);
}

#[actix_web::test]
async fn a_platform_that_asks_whether_the_address_is_ours_is_answered() {
    let site = Site::new().await;
    let asked = site.send(TestRequest::get().uri("/hooks/known?challenge_code=a1")).await;
    assert_eq!((asked.status, asked.header("content-type")), (StatusCode::OK, "application/json"));
    assert_eq!(asked.json()["asked"], "challenge_code=a1");
    let unknown = site.send(TestRequest::get().uri("/hooks/guessed?challenge_code=a1")).await;
    assert_eq!(unknown.status, StatusCode::NOT_FOUND);
}
