use serde_json::{Value, json};

use super::*;

fn body(change: impl FnOnce(&mut Value)) -> Vec<u8> {
    let mut body = json!({"name": "greet", "channels": ["a"], "data": "{}"});
    change(&mut body);
    body.to_string().into_bytes()
}

fn refusal(change: impl FnOnce(&mut Value)) -> (u16, String) {
    let error = event(&body(change)).unwrap_err();
    (error.status, error.reason)
}

#[test]
fn an_event_has_a_name_channels_and_data() {
    let trigger = event(&body(|_| ())).unwrap();
    assert_eq!((trigger.name.as_str(), trigger.data.as_str()), ("greet", "{}"));
    assert_eq!((trigger.except, trigger.info), (None, Info::default()));
    for name in ["name", "channels", "data"] {
        let refused = refusal(|body| drop(body.as_object_mut().unwrap().remove(name)));
        assert_eq!(refused, (400, format!("{name} is missing")));
    }
    for text in ["", "[]", "{", "\u{0}", "7"] {
        assert_eq!(event(text.as_bytes()).unwrap_err().status, 400, "{text}");
    }
    assert_eq!(event(b"\xff{}").unwrap_err().reason, "the body is not UTF-8");
    assert_eq!(event("[".repeat(60_000).as_bytes()).unwrap_err().reason, "the body is nested too deep");
}

#[test]
fn names_and_numbers_are_bounded() {
    assert!(event(&body(|body| body["name"] = "ä".repeat(200).into())).is_ok());
    assert_eq!(refusal(|body| body["name"] = "x".repeat(201).into()).0, 400);
    let channels = |number: usize| (0..number).map(|number| format!("c{number}")).collect::<Vec<_>>();
    assert_eq!(event(&body(|body| body["channels"] = channels(100).into())).unwrap().channels.len(), 100);
    assert_eq!(refusal(|body| body["channels"] = channels(101).into()).0, 400);
    assert_eq!(refusal(|body| body["channels"] = json!([])).0, 400);
    assert_eq!(refusal(|body| body["channels"] = json!(["x".repeat(165)])).0, 400);
    assert_eq!(refusal(|body| body["channels"] = json!(["a", "b c"])).0, 400);
    assert_eq!(refusal(|body| body["channel"] = "a".into()).0, 400);
    assert!(event(&body(|body| body["data"] = "x".repeat(MAX_DATA).into())).is_ok());
    assert_eq!(refusal(|body| body["data"] = "x".repeat(MAX_DATA + 1).into()).0, 413);
    assert_eq!(refusal(|body| body["data"] = json!({})).0, 400);
}

#[test]
fn a_channel_given_twice_gets_one_copy() {
    let trigger = event(&body(|body| body["channels"] = json!(["a", "b", "a"]))).unwrap();
    assert_eq!(trigger.channels.len(), 2);
}

#[test]
fn a_socket_id_must_look_like_one() {
    let except = |id: &str| event(&body(|body| body["socket_id"] = id.into())).map(|trigger| trigger.except);
    assert_eq!(except("1.2"), Ok(Some(SocketId::new(1, 2))));
    for id in ["", "1", "a.b", "1.2\n", "1.2:private-a"] {
        assert_eq!(except(id).unwrap_err().status, 400, "{id}");
    }
    assert!(event(&body(|body| body["socket_id"] = Value::Null)).is_ok());
}

#[test]
fn one_wrong_event_refuses_its_batch() {
    let one = |channel: &str| json!({"name": "greet", "channel": channel, "data": ""});
    let read = |events: Vec<Value>| batch(json!({"batch": events}).to_string().as_bytes());
    assert_eq!(read(vec![one("a"), one("b")]).unwrap().len(), 2);
    assert_eq!(read(vec![one("a"); 10]).unwrap().len(), 10);
    assert_eq!(read(vec![one("a"); 11]).unwrap_err().status, 400);
    let error = read(vec![one("a"), one("b c"), one("d")]).unwrap_err();
    assert!(error.status == 400 && error.reason.starts_with("event 1: "), "{error}");
    assert_eq!(batch(b"{}").unwrap_err().status, 400);
    let many = json!({"name": "x", "channels": ["a", "b"], "data": ""});
    assert_eq!(read(vec![many]).unwrap_err().status, 400);
}

#[test]
fn info_knows_two_attributes() {
    assert_eq!(info(None), Ok(Info::default()));
    let both = Info { user_count: true, subscription_count: true };
    assert_eq!(info(Some("subscription_count,user_count")), Ok(both));
    assert_eq!(info(Some("user_count,secret")).unwrap_err().status, 400);
    assert!(both.check(true).is_ok());
    assert_eq!(both.check(false).unwrap_err().status, 400);
    assert!(Info { subscription_count: true, user_count: false }.check(false).is_ok());
}
