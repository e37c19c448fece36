//! Signatures: of subscriptions, of requests to the HTTP API, and of webhooks. Compared in constant time.

use std::fmt;

use hmac::{Hmac, KeyInit, Mac};
use md5::Md5;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

/// Seconds by which the time of a request may differ from that of the server.
pub const MAX_AGE_S: u64 = 600;

/// Returns the signature of `text`, in lower-case hexadecimal digits.
pub fn sign(secret: &str, text: &[u8]) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("a key of any length is valid");
    mac.update(text);
    hex::encode(mac.finalize().into_bytes())
}

/// Whether two secrets are equal. The time that this takes depends only on their lengths.
pub fn is_equal(left: &str, right: &str) -> bool {
    left.as_bytes().ct_eq(right.as_bytes()).into()
}

/// Whether `auth`, which has the form `key:signature`, allows a subscription.
pub fn is_allowed(key: &str, secret: &str, auth: &str, text: &str) -> bool {
    let Some((given_key, signature)) = auth.split_once(':') else { return false };
    let is_key = is_equal(given_key, key);
    is_equal(signature, &sign(secret, text.as_bytes())) & is_key
}

/// Returns the MD5 digest of a body, which the signature of a request covers.
pub fn md5(body: &[u8]) -> String {
    hex::encode(Md5::digest(body))
}

/// A request to the HTTP API, as far as its signature covers it.
#[derive(Debug)]
pub struct Signed<'a> {
    pub method: &'a str,
    pub path: &'a str,
    /// The parameters of the query, decoded.
    pub query: &'a [(String, String)],
    pub body: &'a [u8],
}

/// The reason why a request is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    Missing(&'static str),
    Repeated,
    UnknownKey,
    Version,
    Time,
    Stale,
    Body,
    Signature,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing(name) => write!(f, "the parameter {name} is missing"),
            Self::Repeated => f.write_str("a parameter is given twice"),
            Self::UnknownKey => f.write_str("auth_key is not the key of this app"),
            Self::Version => f.write_str("auth_version is not 1.0"),
            Self::Time => f.write_str("auth_timestamp is not a number of seconds"),
            Self::Stale => write!(f, "auth_timestamp differs from the server's time by over {MAX_AGE_S} s"),
            Self::Body => f.write_str("body_md5 is not the digest of the body"),
            Self::Signature => f.write_str("auth_signature is not the signature of this request"),
        }
    }
}

impl Signed<'_> {
    /// Checks the request. `now` is in seconds since 1970.
    pub fn check(&self, key: &str, secret: &str, now: u64) -> Result<(), Refused> {
        let given = self.parameter("auth_key")?;
        let (signature, version) = (self.parameter("auth_signature")?, self.parameter("auth_version")?);
        let time: u64 = self.parameter("auth_timestamp")?.parse().map_err(|_| Refused::Time)?;
        if !is_equal(given, key) {
            return Err(Refused::UnknownKey);
        }
        if version != "1.0" {
            return Err(Refused::Version);
        }
        if !is_equal(signature, &sign(secret, self.text()?.as_bytes())) {
            return Err(Refused::Signature);
        }
        // A request without a body may carry the digest of anything: clients differ in what they put there.
        if !self.body.is_empty() && !is_equal(self.parameter("body_md5")?, &md5(self.body)) {
            return Err(Refused::Body);
        }
        if time.abs_diff(now) > MAX_AGE_S {
            return Err(Refused::Stale);
        }
        Ok(())
    }

    /// Returns the text that is signed: the method, the path, and the sorted parameters but for the signature.
    pub fn text(&self) -> Result<String, Refused> {
        let parameters = self.query.iter().map(|(name, value)| (name.to_lowercase(), value));
        let mut parameters: Vec<_> = parameters.filter(|(name, _)| name != "auth_signature").collect();
        parameters.sort();
        if parameters.windows(2).any(|pair| pair[0].0 == pair[1].0) {
            return Err(Refused::Repeated);
        }
        let parameters: Vec<_> = parameters.iter().map(|(name, value)| format!("{name}={value}")).collect();
        Ok(format!("{}\n{}\n{}", self.method, self.path, parameters.join("&")))
    }

    fn parameter(&self, name: &'static str) -> Result<&str, Refused> {
        let found = self.query.iter().find(|(given, _)| given.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str()).ok_or(Refused::Missing(name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "278d425bdf160c739803";
    const SECRET: &str = "7ad3773142a6692b25b8";

    /// The examples of the documentation of the protocol.
    #[test]
    fn subscriptions_are_signed_as_documented() {
        let auth = "278d425bdf160c739803:58df8b0c36d6982b82c3ecf6b4662e34fe8c25bba48f5369f135bf843651c3a4";
        assert!(is_allowed(KEY, SECRET, auth, "1234.1234:private-foobar"));
        let auth = "278d425bdf160c739803:31935e7d86dba64c2a90aed31fdc61869f9b22ba9d8863bba239c03ca481bc80";
        let data = r#"{"user_id":10,"user_info":{"name":"Mr. Channels"}}"#;
        assert!(is_allowed(KEY, SECRET, auth, &format!("1234.1234:presence-foobar:{data}")));
    }

    #[test]
    fn a_wrong_key_signature_or_form_is_refused() {
        let text = "1.1:private-a";
        let signature = sign(SECRET, text.as_bytes());
        assert!(is_allowed(KEY, SECRET, &format!("{KEY}:{signature}"), text));
        let wrong = [
            format!("{KEY}x:{signature}"),
            format!("{KEY}:{}", signature.to_uppercase()),
            format!("{KEY}:{}", &signature[1..]),
            format!("{KEY}:{signature}0"),
            signature,
            String::new(),
            format!("{KEY}:"),
        ];
        assert!(wrong.iter().all(|auth| !is_allowed(KEY, SECRET, auth, text)));
    }

    const BODY: &[u8] = br#"{"name":"foo","channels":["project-3"],"data":"{\"some\":\"data\"}"}"#;
    const TIME: u64 = 1_353_088_179;

    fn query(changes: &[(&str, Option<&str>)]) -> Vec<(String, String)> {
        let query = [
            ("auth_key", KEY),
            ("auth_timestamp", "1353088179"),
            ("auth_version", "1.0"),
            ("body_md5", "ec365a775a4cd0599faeb73354201b6f"),
            ("auth_signature", "da454824c97ba181a32ccc17a72625ba02771f50b50e1e7430e47a1f3f457e6c"),
        ];
        let changed = |name: &str| changes.iter().find(|change| change.0 == name).map(|change| change.1);
        let kept =
            query.iter().filter_map(|(name, value)| Some((*name, changed(name).unwrap_or(Some(value))?)));
        let more = changes.iter().filter(|change| !query.iter().any(|(name, _)| *name == change.0));
        let more = more.filter_map(|(name, value)| Some((*name, (*value)?)));
        kept.chain(more).map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
    }

    fn check(query: &[(String, String)], body: &[u8], now: u64) -> Result<(), Refused> {
        Signed { method: "POST", path: "/apps/3/events", query, body }.check(KEY, SECRET, now)
    }

    #[test]
    fn requests_are_signed_as_documented() {
        assert_eq!(md5(BODY), "ec365a775a4cd0599faeb73354201b6f");
        assert_eq!(check(&query(&[]), BODY, TIME), Ok(()));
        assert_eq!(check(&query(&[]), BODY, TIME + MAX_AGE_S), Ok(()));
        assert_eq!(check(&query(&[]), BODY, TIME - MAX_AGE_S), Ok(()));
    }

    #[test]
    fn requests_that_are_stale_changed_or_incomplete_are_refused() {
        assert_eq!(check(&query(&[]), BODY, TIME + MAX_AGE_S + 1), Err(Refused::Stale));
        assert_eq!(check(&query(&[]), BODY, TIME - MAX_AGE_S - 1), Err(Refused::Stale));
        assert_eq!(check(&query(&[]), b"{}", TIME), Err(Refused::Body));
        let cases = [
            (("auth_key", None), Refused::Missing("auth_key")),
            (("auth_key", Some("other")), Refused::UnknownKey),
            (("auth_version", Some("2.0")), Refused::Version),
            (("auth_timestamp", Some("now")), Refused::Time),
            (("auth_timestamp", None), Refused::Missing("auth_timestamp")),
            (("auth_signature", None), Refused::Missing("auth_signature")),
            (("auth_signature", Some("00")), Refused::Signature),
            (("body_md5", Some("00")), Refused::Signature),
            (("info", Some("user_count")), Refused::Signature),
            (("AUTH_KEY", Some(KEY)), Refused::Repeated),
        ];
        for (change, refused) in cases {
            assert_eq!(check(&query(&[change]), BODY, TIME), Err(refused), "{change:?}");
        }
    }

    #[test]
    fn a_body_needs_a_digest_and_a_request_without_a_body_may_have_one() {
        let signed = |query: &mut Vec<(String, String)>, method, body: &[u8]| {
            let text = Signed { method, path: "/apps/3/channels", query, body: b"" }.text().unwrap();
            query.push((String::from("auth_signature"), sign(SECRET, text.as_bytes())));
            Signed { method, path: "/apps/3/channels", query, body }.check(KEY, SECRET, TIME)
        };
        let mut without = query(&[("body_md5", None), ("auth_signature", None)]);
        assert_eq!(signed(&mut without.clone(), "GET", b""), Ok(()));
        assert_eq!(signed(&mut without, "POST", b"{}"), Err(Refused::Missing("body_md5")));
        let mut with = query(&[("auth_signature", None)]);
        assert_eq!(signed(&mut with, "GET", b""), Ok(()));
    }
}
