//! Requests to the HTTP API.

use std::io;
use std::time::{SystemTime, UNIX_EPOCH};

use super::Target;
use crate::auth::{Signed, md5, sign};

/// Sends a signed request. Returns the status and the body of the answer.
pub async fn request(
    target: &Target,
    method: &'static str,
    path: &str,
    more: &[(&str, &str)],
    body: String,
) -> io::Result<(u16, String)> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_err(io::Error::other)?.as_secs().to_string();
    let mut query =
        vec![("auth_key", target.app.key.as_str()), ("auth_timestamp", &now), ("auth_version", "1.0")];
    query.extend(more);
    let mut query: Vec<_> =
        query.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    if !body.is_empty() {
        query.push((String::from("body_md5"), md5(body.as_bytes())));
    }
    let text = Signed { method, path, query: &query, body: body.as_bytes() }.text();
    let text = text.map_err(|refused| io::Error::other(refused.to_string()))?;
    query.push((String::from("auth_signature"), sign(&target.app.secret, text.as_bytes())));
    let url = format!("http://{}{path}", target.address);
    let send = move || {
        let config = ureq::Agent::config_builder().http_status_as_error(false);
        let agent = config.build().new_agent();
        let mut answer = match method {
            "GET" => agent.get(url).query_pairs(query).call(),
            _ => agent.post(url).query_pairs(query).send(body),
        }
        .map_err(io::Error::other)?;
        let text = answer.body_mut().read_to_string().map_err(io::Error::other)?;
        Ok((answer.status().as_u16(), text))
    };
    tokio::task::spawn_blocking(send).await.map_err(io::Error::other)?
}
