use std::io::{Read, Write};
use std::net::TcpListener;

use super::*;
use crate::channel::ChannelName;

fn channel(name: &str) -> Group {
    Group::Channel(0, ChannelName::parse(name).unwrap())
}

fn member(name: &str, user: &str) -> Group {
    Group::Member(0, ChannelName::parse(name).unwrap(), user.into())
}

#[test]
fn events_have_the_documented_names() {
    let items = [
        (channel("a"), Change::Occupied, r#"{"name":"channel_occupied","channel":"a"}"#),
        (channel("a"), Change::Vacated, r#"{"name":"channel_vacated","channel":"a"}"#),
        (
            member("presence-a", "7"),
            Change::Occupied,
            r#"{"name":"member_added","channel":"presence-a","user_id":"7"}"#,
        ),
        (
            member("presence-a", "7"),
            Change::Vacated,
            r#"{"name":"member_removed","channel":"presence-a","user_id":"7"}"#,
        ),
    ];
    for (group, change, expected) in items {
        let item = item(&group, change).unwrap();
        assert_eq!(serde_json::to_string(&item).unwrap(), expected);
    }
    assert!(item(&Group::Address(0, [127, 0, 0, 1].into()), Change::Occupied).is_none());
}

#[test]
fn a_body_without_events_is_not_posted() {
    assert_eq!(body(&[], 5), None);
}

#[test]
fn many_dead_letters_are_logged_once_per_second() {
    let log = Occasional::default();
    assert!(log.admit(7) && !log.admit(7) && !log.admit(6));
    assert!(log.admit(8) && !log.admit(8));
}

/// Answers one request with a status, and returns it.
fn receive(listener: &TcpListener, status: &str) -> String {
    let (mut socket, _) = listener.accept().unwrap();
    let (mut request, mut buffer) = (Vec::new(), [0; 4096]);
    loop {
        let read = socket.read(&mut buffer).unwrap();
        request.extend_from_slice(&buffer[..read]);
        let text = String::from_utf8_lossy(&request);
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.to_lowercase();
            let length = length.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
            if body.len() >= length.unwrap_or(0) {
                break;
            }
        }
    }
    write!(socket, "HTTP/1.1 {status}\r\nContent-Length: 0\r\nLocation: /\r\nConnection: close\r\n\r\n")
        .unwrap();
    String::from_utf8(request).unwrap()
}

#[test]
fn webhooks_are_signed_and_any_status_but_success_is_tried_again() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/hook", listener.local_addr().unwrap());
    let app = App { webhook: Some(url), ..App::new("1", "key", "secret") };
    let counts = Arc::new(Counts::default());
    let webhooks = Webhooks::new([app].into(), counts.clone());
    for status in ["200 OK", "204 No Content", "302 Found", "400 Bad Request", "500 Internal Server Error"] {
        let body = String::from("{}");
        let is_success = std::thread::scope(|scope| {
            let request = scope.spawn(|| receive(&listener, status));
            let app = &webhooks.apps[0];
            let result = webhooks.post(app, app.webhook.as_ref().unwrap(), &body);
            let request = request.join().unwrap();
            assert!(request.starts_with("POST /hook HTTP/1.1"), "{request}");
            let head = request.to_lowercase();
            assert!(head.contains("x-pusher-key: key\r\n"), "{head}");
            assert!(
                head.contains(&format!("x-pusher-signature: {}\r\n", sign("secret", body.as_bytes()))),
                "{head}"
            );
            assert!(request.ends_with(&body));
            result.is_ok()
        });
        assert_eq!(is_success, status.starts_with('2'), "{status}");
    }
}

#[test]
fn an_app_without_an_address_has_no_webhooks() {
    let webhooks = Webhooks::new([App::new("1", "k", "s")].into(), Arc::default());
    assert_eq!(webhooks.deliver(&0, &[]), []);
    assert_eq!(webhooks.counts.posted.load(Ordering::Relaxed), 0);
}
