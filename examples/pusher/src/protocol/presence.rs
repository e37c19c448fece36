//! The data of a user in a presence channel.

use std::fmt;
use std::sync::Arc;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::{MAX_NESTING, is_shallow};
use crate::channel::MAX_USER;

/// A user in a presence channel.
#[derive(Clone, Debug)]
pub struct Member {
    /// The id; a number is its text.
    pub user: Arc<str>,
    /// The data that the app gives about the user, unchanged.
    pub info: Option<Box<RawValue>>,
}

/// The longest data about a user, in bytes: each member of a channel receives those of all others.
const MAX_INFO: usize = 2048;

/// The reason why `channel_data` is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MemberError {
    Missing,
    NotJson,
    UserId,
    TooLong,
    InfoTooLong,
}

impl Member {
    /// Reads the `channel_data` of a subscription.
    pub fn parse(data: Option<&str>) -> Result<Self, MemberError> {
        #[derive(Deserialize)]
        struct Data<'a> {
            #[serde(borrow)]
            user_id: Option<&'a RawValue>,
            user_info: Option<Box<RawValue>>,
        }

        let data = data.ok_or(MemberError::Missing)?;
        if !is_shallow(data, MAX_NESTING) {
            return Err(MemberError::NotJson);
        }
        let data: Data<'_> = serde_json::from_str(data).map_err(|_| MemberError::NotJson)?;
        let user = data.user_id.and_then(user_id).ok_or(MemberError::UserId)?;
        if user.len() > MAX_USER {
            return Err(MemberError::TooLong);
        }
        if data.user_info.as_ref().is_some_and(|info| info.get().len() > MAX_INFO) {
            return Err(MemberError::InfoTooLong);
        }
        Ok(Self { user: user.into(), info: data.user_info })
    }
}

/// Returns the text of an id that is a text or a number, and not empty.
fn user_id(raw: &RawValue) -> Option<String> {
    let text = raw.get();
    let first = text.bytes().next()?;
    if first == b'"' {
        return serde_json::from_str(text).ok().filter(|id: &String| !id.is_empty());
    }
    (first == b'-' || first.is_ascii_digit()).then(|| text.to_owned())
}

impl fmt::Display for MemberError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing => f.write_str("a presence channel requires channel_data"),
            Self::NotJson => f.write_str("channel_data is not a JSON object"),
            Self::UserId => f.write_str("channel_data has no user_id that is a text or a number"),
            Self::TooLong => write!(f, "the user_id is longer than {MAX_USER} characters"),
            Self::InfoTooLong => write!(f, "the user_info is longer than {MAX_INFO} bytes"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_data_about_a_user_is_bounded() {
        let parse = |length| {
            let info = "x".repeat(length - 2);
            Member::parse(Some(&format!(r#"{{"user_id":7,"user_info":"{info}"}}"#)))
        };
        assert!(parse(MAX_INFO).is_ok());
        assert_eq!(parse(MAX_INFO + 1).unwrap_err(), MemberError::InfoTooLong);
    }

    fn user(data: &str) -> Result<String, MemberError> {
        Member::parse(Some(data)).map(|member| member.user.to_string())
    }

    #[test]
    fn numeric_user_ids_are_taken_as_their_text() {
        assert_eq!(user(r#"{"user_id":"10"}"#).unwrap(), "10");
        assert_eq!(user(r#"{"user_id":10}"#).unwrap(), "10");
        assert_eq!(user(r#"{"user_id":-1}"#).unwrap(), "-1");
        assert_eq!(
            user(r#"{"user_id":123456789012345678901234567890}"#).unwrap(),
            "123456789012345678901234567890"
        );
    }

    #[test]
    fn wrong_channel_data_is_refused() {
        assert_eq!(Member::parse(None).unwrap_err(), MemberError::Missing);
        for data in ["", "[]", "{", "null", "7", &"[".repeat(100_000)] {
            assert_eq!(user(data), Err(MemberError::NotJson), "{data:.20}");
        }
        for data in
            ["{}", r#"{"user_id":""}"#, r#"{"user_id":null}"#, r#"{"user_id":{}}"#, r#"{"user_id":true}"#]
        {
            assert_eq!(user(data), Err(MemberError::UserId), "{data}");
        }
        assert_eq!(user(&format!(r#"{{"user_id":"{}"}}"#, "x".repeat(129))), Err(MemberError::TooLong));
    }

    #[test]
    fn user_info_is_kept_as_it_is() {
        let member = Member::parse(Some(r#"{"user_id":1,"user_info":{"name":"Ada",  "n":[1]}}"#)).unwrap();
        assert_eq!(member.info.unwrap().get(), r#"{"name":"Ada",  "n":[1]}"#);
    }
}
