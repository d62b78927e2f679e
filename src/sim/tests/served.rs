//! The same worlds over real HTTP.

use std::sync::Arc;

use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::quiet;
use crate::clock::{Clock as _, SystemClock};
use crate::sim::server::{self, Layout};
use crate::sim::{SimOptions, World};

/// Sends one request and reads until the connection ends; an error counts as its end.
async fn ask(base: &str, head: &str, body: &str) -> String {
    let address = base.trim_start_matches("http://").trim_end_matches('/');
    let mut stream = TcpStream::connect(address).await.unwrap();
    let length = body.len();
    let request = format!("{head}\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    String::from_utf8_lossy(&answer).into_owned()
}

fn body_of(answer: &str) -> Value {
    serde_json::from_str(answer.split_once("\r\n\r\n").unwrap().1).unwrap()
}

#[actix_web::test]
async fn one_address_serves_all_platforms_and_hands_out_connections() {
    let world = Arc::new(World::open(SimOptions { orders: 10, ..quiet() }, Arc::new(SystemClock)).unwrap());
    let running = server::start(&world, &Layout::Single("127.0.0.1:0".parse().unwrap())).unwrap();
    let url = running.url.clone().unwrap();
    let host = "host: 127.0.0.1";
    let connections = body_of(&ask(&url, &format!("GET /_sim/connections HTTP/1.1\r\n{host}"), "").await);
    assert_eq!(connections[0]["base_url"].as_str().unwrap(), format!("{url}bigcommerce"));
    let token = connections[0]["credentials"]["access_token"].as_str().unwrap();
    let head =
        format!("GET /bigcommerce/stores/eidersim01/v2/store HTTP/1.1\r\n{host}\r\nx-auth-token: {token}");
    let answer = ask(&url, &head, "").await;
    assert!(answer.to_lowercase().contains("x-rate-limit-requests-left"), "{answer}");
    assert_eq!(body_of(&answer)["currency"], "USD");
    let orders = body_of(&ask(&url, &format!("GET /amazon/_sim/orders HTTP/1.1\r\n{host}"), "").await);
    assert_eq!(orders.as_array().unwrap().len(), 10);
    for path in ["/_sim/connections", "/amazon/_sim/orders"] {
        let answer = ask(&url, &format!("GET {path} HTTP/1.1\r\nhost: shop.example.com"), "").await;
        assert!(answer.starts_with("HTTP/1.1 403"), "{answer}");
    }
    running.stop().await;
}

#[actix_web::test]
async fn the_network_breaks_as_the_world_says() {
    let world = Arc::new(World::open(quiet(), Arc::new(SystemClock)).unwrap());
    let running = server::start(&world, &Layout::PortEach([("amazon".to_owned(), 0)].into())).unwrap();
    let base = running.sims["bigcommerce"].clone();
    let connections = world.connections(|_| String::new());
    let token = connections[0]["credentials"]["access_token"].as_str().unwrap();
    let head =
        format!("GET /stores/eidersim01/v2/store HTTP/1.1\r\nhost: localhost\r\nx-auth-token: {token}");
    let mut answers = Vec::new();
    for kind in ["reset", "partial"] {
        let fault = format!("{{\"operation\":\"*\",\"kind\":\"{kind}\",\"count\":1}}");
        let planned = ask(&base, "POST /_sim/fault HTTP/1.1\r\nhost: localhost", &fault).await;
        assert!(planned.starts_with("HTTP/1.1 200"), "{planned}");
        answers.push(ask(&base, &head, "").await);
    }
    assert_eq!(answers[0], "", "nothing arrives");
    let (top, body) = answers[1].split_once("\r\n\r\n").unwrap();
    let promised = top
        .to_lowercase()
        .lines()
        .find_map(|line| line.strip_prefix("content-length: ")?.parse::<usize>().ok());
    assert_eq!(promised.unwrap() / 2, body.len(), "half of what was promised");
    assert_eq!(body_of(&ask(&base, &head, "").await)["name"], "Eider Test Goods");
    running.stop().await;
}

/// The counts that a look at a real run is told by: what nobody takes is refused, and what a fault takes never leaves.
#[actix_web::test]
async fn messages_are_counted_by_what_became_of_them() {
    let options = SimOptions { marketplaces: &crate::sim::MARKETPLACES, ..quiet() };
    let world = Arc::new(World::open(options, Arc::new(SystemClock)).unwrap());
    let running = server::start(&world, &Layout::Single("127.0.0.1:0".parse().unwrap())).unwrap();
    let url = running.url.clone().unwrap();
    // A port that nobody listens on.
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let hook = serde_json::json!({"url": format!("http://{free}/hooks/x"), "secret": "whsec_c2VjcmV0"});
    assert!(world.control("etsy", "hook", Some(&hook)).0.is_success());
    let lost = serde_json::json!({"operation": "*", "kind": "lost_webhook", "count": 1});
    assert!(world.control("etsy", "fault", Some(&lost)).0.is_success());
    let listings = world.control("etsy", "listings", None).1;
    let wish = serde_json::json!({"sku": listings[0]["sku"], "quantity": 1, "paid": true});
    let host = "host: 127.0.0.1";
    for (name, count) in [("lost", 1), ("refused", 1)] {
        assert!(world.control("etsy", "sell", Some(&wish)).0.is_success());
        let mut told = Value::Null;
        for _ in 0..100 {
            told = body_of(&ask(&url, &format!("GET /_sim/messages HTTP/1.1\r\n{host}"), "").await);
            if told["etsy"][name] == count {
                break;
            }
            SystemClock.sleep(std::time::Duration::from_millis(50)).await;
        }
        assert_eq!(told["etsy"][name], count, "{told}");
        assert_eq!((&told["etsy"]["delivered"], &told["etsy"]["given_up"]), (&0.into(), &0.into()), "{told}");
    }
    running.stop().await;
}
