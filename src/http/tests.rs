//! The door against a server of raw sockets, which can misbehave in every way that platforms do.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::*;

/// What the server does with a connection once the request's head has arrived.
#[derive(Clone, Copy)]
enum Behaviour {
    Answer(&'static str),
    Silent,
    Reset,
    ResetInsideBody,
    Drip,
    Endless,
}

async fn server(behaviour: Behaviour) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream, behaviour));
        }
    });
    address
}

async fn serve(mut stream: TcpStream, behaviour: Behaviour) {
    let mut head = Vec::new();
    while !head.windows(4).any(|window| window == b"\r\n\r\n") {
        if stream.read_buf(&mut head).await.unwrap_or(0) == 0 {
            return;
        }
    }
    match behaviour {
        Behaviour::Answer(answer) => {
            let _ = stream.write_all(answer.as_bytes()).await;
        }
        Behaviour::Silent => std::future::pending().await,
        Behaviour::Reset => {}
        Behaviour::ResetInsideBody => {
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf").await;
        }
        Behaviour::Drip => {
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\n").await;
            let mut tick = tokio::time::interval(Duration::from_millis(5));
            while stream.write_all(b".").await.is_ok() {
                tick.tick().await;
            }
        }
        Behaviour::Endless => {
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").await;
            while stream.write_all(b"8\r\n01234567\r\n").await.is_ok() {}
        }
    }
}

fn transport(allow_private: bool) -> HttpTransport {
    HttpTransport::new(HttpSettings {
        allow_private,
        connect_timeout: Duration::from_millis(200),
        ..HttpSettings::default()
    })
    .unwrap()
}

fn call(url: &str) -> Call {
    Call::new("test", http::Request::builder().uri(url).body(Bytes::new()).unwrap())
}

async fn outcome_of(behaviour: Behaviour) -> Result<Answer, TransportError> {
    let address = server(behaviour).await;
    let mut call = call(&format!("http://{address}/orders?token=secret"));
    call.timeout = Duration::from_millis(300);
    call.body_bytes_max = 2_000_000;
    transport(true).send(call).await
}

#[tokio::test]
async fn any_status_is_an_answer() {
    let answer = outcome_of(Behaviour::Answer(
        "HTTP/1.1 429 Too Many Requests\r\nretry-after: 7\r\ncontent-length: 5\r\n\r\nlater",
    ))
    .await
    .unwrap();
    assert_eq!(answer.status, 429);
    assert_eq!(answer.headers["retry-after"], "7");
    assert_eq!(&answer.body[..], b"later");
}

#[tokio::test]
async fn a_redirect_is_handed_back_and_not_followed() {
    let target = server(Behaviour::Answer("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")).await;
    let answer = format!("HTTP/1.1 302 Found\r\nlocation: http://{target}/\r\ncontent-length: 0\r\n\r\n");
    let answer = outcome_of(Behaviour::Answer(answer.leak())).await.unwrap();
    assert_eq!(answer.status, 302);
}

#[tokio::test]
async fn silence_after_the_request_leaves_doubt() {
    let error = outcome_of(Behaviour::Silent).await.unwrap_err();
    assert_eq!(error, TransportError::TimedOut { request_sent: true });
    assert!(error.in_doubt());
}

#[tokio::test]
async fn silence_before_the_request_leaves_none() {
    // The server never answers the TLS handshake, so the request cannot have left.
    let address = server(Behaviour::Silent).await;
    let error = transport(true).send(call(&format!("https://{address}/"))).await.unwrap_err();
    assert_eq!(error, TransportError::TimedOut { request_sent: false });
    assert!(!error.in_doubt());
}

#[tokio::test]
async fn a_closed_port_leaves_no_doubt() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let error = transport(true).send(call(&format!("http://{address}/"))).await.unwrap_err();
    assert!(matches!(error, TransportError::ConnectFailed(_)), "{error:?}");
    assert!(!error.in_doubt());
}

#[tokio::test]
async fn a_reset_leaves_doubt_before_and_inside_the_body() {
    for behaviour in [Behaviour::Reset, Behaviour::ResetInsideBody] {
        let error = outcome_of(behaviour).await.unwrap_err();
        assert!(matches!(error, TransportError::ResetMidway(_)), "{error:?}");
        assert!(error.in_doubt());
        assert!(!error.to_string().contains("secret"), "{error}");
    }
}

#[tokio::test]
async fn a_dripping_answer_meets_the_deadline() {
    let error = outcome_of(Behaviour::Drip).await.unwrap_err();
    assert_eq!(error, TransportError::TimedOut { request_sent: true });
}

#[tokio::test]
async fn a_body_over_the_limit_is_cut_off_whether_announced_or_not() {
    let announced = server(Behaviour::Answer("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n123456789")).await;
    let endless = server(Behaviour::Endless).await;
    for address in [announced, endless] {
        let mut call = call(&format!("http://{address}/"));
        call.body_bytes_max = 8;
        let error = transport(true).send(call).await.unwrap_err();
        assert_eq!(error, TransportError::BodyTooLarge { limit: 8 });
    }
    let mut exact = call(&format!("http://{announced}/"));
    exact.body_bytes_max = 9;
    assert_eq!(transport(true).send(exact).await.unwrap().body.len(), 9);
}

#[tokio::test]
async fn private_addresses_are_blocked_however_they_are_written() {
    let port = server(Behaviour::Answer("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")).await.port();
    for host in ["127.0.0.1", "localhost", "2130706433", "0x7f.1", "[::1]", "[::ffff:127.0.0.1]", "0.0.0.0"] {
        let error = transport(false).send(call(&format!("http://{host}:{port}/"))).await.unwrap_err();
        assert!(matches!(error, TransportError::Blocked { .. }), "{host}: {error:?}");
        assert!(error.to_string().contains("network.allow_private"), "{error}");
    }
}

#[tokio::test]
async fn another_scheme_is_not_sent() {
    let error = transport(true).send(call("ftp://localhost/")).await.unwrap_err();
    assert!(matches!(error, TransportError::Invalid(_)), "{error:?}");
}

#[test]
fn public_means_routed_on_the_internet() {
    let public = ["1.1.1.1", "100.63.0.1", "172.32.0.1", "192.0.1.1", "2606:4700::1111", "::ffff:8.8.8.8"];
    for address in public {
        assert!(address::is_public(address.parse().unwrap()), "{address}");
    }
    let local = [
        "0.1.2.3",
        "10.0.0.1",
        "100.64.0.1",
        "100.127.255.255",
        "127.9.9.9",
        "169.254.169.254",
        "172.31.0.1",
        "192.0.0.8",
        "192.168.1.1",
        "198.18.0.1",
        "203.0.113.1",
        "224.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "fc00::1",
        "fd00:ec2::254",
        "fe80::1",
        "ff02::1",
        "::ffff:10.0.0.1",
        "64:ff9b::a00:1",
        "2002:7f00:1::",
        "2001:db8::1",
        "2001::1",
        "::127.0.0.1",
    ];
    for address in local {
        assert!(!address::is_public(address.parse().unwrap()), "{address}");
    }
}

#[test]
fn what_may_be_a_credential_is_not_logged() {
    assert_eq!(loggable_path("/stores/abc123/v2/orders"), "/stores/abc123/v2/orders");
    assert_eq!(loggable_path("/orders/112-1234567-1234567"), "/orders/112-1234567-1234567");
    assert_eq!(loggable_path("/services/T0/B0/abcdefghij0123456789abcd"), "/services/T0/B0/***");
    let mut call = call("http://user:pass@shop.example/a?token=secret");
    call.request.headers_mut().insert("authorization", "Bearer secret".parse().unwrap());
    let printed = format!("{call:?}");
    assert!(!printed.contains("secret") && !printed.contains("pass"), "{printed}");
}
