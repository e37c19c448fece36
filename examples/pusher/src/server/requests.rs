//! The requests of the HTTP API.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{SystemTime, UNIX_EPOCH};

use axum::body::{Body, to_bytes};
use axum::extract::{Path, Query, State};
use axum::http::{Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value, json};
use tokio::runtime::Handle;
use tokio::task::yield_now;
use tokio::time::timeout;

use crate::api::{self, ApiError, Info, MAX_BODY, Trigger};
use crate::auth::Signed;
use crate::channel::{ChannelName, Kind};
use crate::entry::{AppId, Group, Snapshot, users as users_of};
use crate::hub::Hub;
use crate::protocol::event;

type Answer = Result<Value, ApiError>;
type Parameters = Query<Vec<(String, String)>>;

/// A request whose signature was checked.
struct Checked {
    hub: Arc<Hub>,
    app: AppId,
    query: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Checked {
    async fn new(
        hub: Arc<Hub>,
        id: &str,
        method: &str,
        uri: &Uri,
        query: Vec<(String, String)>,
        body: Body,
    ) -> Result<Self, ApiError> {
        let app =
            hub.find(|app| app.id == id).ok_or_else(|| ApiError::new(404, "there is no app with this id"))?;
        let body = timeout(hub.settings.request_timeout, to_bytes(body, MAX_BODY)).await;
        let body = body.map_err(|_| ApiError::new(408, "the body did not come in time"))?;
        let body =
            body.map_err(|_| ApiError::new(413, format!("the body is longer than {MAX_BODY} bytes")))?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let signed = Signed { method, path: uri.path(), query: &query, body: &body };
        let (key, secret) = (&hub.app(app).key, &hub.app(app).secret);
        signed.check(key, secret, now).map_err(|refused| ApiError::new(401, refused.to_string()))?;
        Ok(Self { app, query, body: body.to_vec(), hub })
    }

    fn parameter(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(given, _)| given == name).map(|(_, value)| value.as_str())
    }

    /// Sends an event, and returns the attributes of its channels that the request asks for.
    async fn send(&self, trigger: &Trigger) -> Map<String, Value> {
        let snapshot = (!trigger.info.is_none()).then(|| self.hub.pipeline.snapshot());
        let mut channels = Map::new();
        for channel in &trigger.channels {
            let frame = event(channel, &trigger.name, &trigger.data);
            self.hub.broadcast(self.app, channel, &frame, trigger.except);
            // The tasks of sockets write what they have, before there is more.
            yield_now().await;
            let attributes =
                snapshot.as_ref().map(|snapshot| attributes(snapshot, self.app, channel, trigger.info));
            channels.extend(attributes.map(|attributes| (channel.to_string(), attributes.into())));
        }
        self.hub.traffic.events.fetch_add(trigger.channels.len() as u64, Ordering::Relaxed);
        channels
    }
}

fn attributes(snapshot: &Snapshot, app: AppId, channel: &ChannelName, info: Info) -> Map<String, Value> {
    let mut attributes = Map::new();
    if info.user_count && channel.kind() == Kind::Presence {
        attributes.insert("user_count".into(), users_of(snapshot, app, channel).len().into());
    }
    if info.subscription_count {
        let count = snapshot.index().count(&Group::Channel(app, channel.clone()));
        attributes.insert("subscription_count".into(), count.into());
    }
    attributes
}

/// Makes the answer in the main runtime.
async fn respond(main: Handle, answer: impl Future<Output = Answer> + Send + 'static) -> Response {
    let failed = |_| Err(ApiError::new(500, "the request was not completed"));
    let text = async { answer.await.map(|value| value.to_string()) };
    match main.spawn(text).await.unwrap_or_else(failed) {
        Ok(text) => ([(header::CONTENT_TYPE, "application/json")], text).into_response(),
        Err(ApiError { status, reason }) => {
            let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            (status, format!("{reason}\n")).into_response()
        }
    }
}

pub(super) async fn events(
    State(hub): State<Arc<Hub>>,
    Path(id): Path<String>,
    Query(query): Parameters,
    uri: Uri,
    body: Body,
) -> Response {
    let main = hub.main.clone();
    let answer = async move {
        let request = Checked::new(hub, &id, "POST", &uri, query, body).await?;
        let trigger = api::event(&request.body)?;
        let channels = request.send(&trigger).await;
        Ok(if trigger.info.is_none() { json!({}) } else { json!({ "channels": channels }) })
    };
    respond(main, answer).await
}

pub(super) async fn batch_events(
    State(hub): State<Arc<Hub>>,
    Path(id): Path<String>,
    Query(query): Parameters,
    uri: Uri,
    body: Body,
) -> Response {
    let main = hub.main.clone();
    let answer = async move {
        let request = Checked::new(hub, &id, "POST", &uri, query, body).await?;
        let triggers = api::batch(&request.body)?;
        let asked = triggers.iter().any(|trigger| !trigger.info.is_none());
        let mut sent = Vec::new();
        for trigger in &triggers {
            let attributes = request.send(trigger).await.into_iter().next();
            sent.push(attributes.map_or_else(|| json!({}), |(_, attributes)| attributes));
        }
        Ok(if asked { json!({ "batch": sent }) } else { json!({}) })
    };
    respond(main, answer).await
}

pub(super) async fn channels(
    State(hub): State<Arc<Hub>>,
    Path(id): Path<String>,
    Query(query): Parameters,
    uri: Uri,
    method: Method,
    body: Body,
) -> Response {
    let main = hub.main.clone();
    let answer = async move {
        let request = Checked::new(hub, &id, method.as_str(), &uri, query, body).await?;
        let prefix = request.parameter("filter_by_prefix").unwrap_or_default();
        let info = api::info(request.parameter("info"))?.check(prefix.starts_with("presence-"))?;
        let snapshot = request.hub.pipeline.snapshot();
        let groups = snapshot.index().groups().filter_map(|(group, _)| match group {
            Group::Channel(app, name) if *app == request.app && name.as_str().starts_with(prefix) => {
                Some(name)
            }
            _ => None,
        });
        let channels: Map<_, _> = groups
            .map(|name| (name.to_string(), attributes(&snapshot, request.app, name, info).into()))
            .collect();
        Ok(json!({ "channels": channels }))
    };
    respond(main, answer).await
}

pub(super) async fn channel(
    State(hub): State<Arc<Hub>>,
    Path((id, name)): Path<(String, String)>,
    Query(query): Parameters,
    uri: Uri,
    method: Method,
    body: Body,
) -> Response {
    let main = hub.main.clone();
    let answer = async move {
        let request = Checked::new(hub, &id, method.as_str(), &uri, query, body).await?;
        let channel = api::channel(&name)?;
        let info = api::info(request.parameter("info"))?.check(channel.kind() == Kind::Presence)?;
        let snapshot = request.hub.pipeline.snapshot();
        let is_occupied = snapshot.index().count(&Group::Channel(request.app, channel.clone())) > 0;
        let mut answer = attributes(&snapshot, request.app, &channel, info);
        answer.insert("occupied".into(), is_occupied.into());
        Ok(answer.into())
    };
    respond(main, answer).await
}

pub(super) async fn users(
    State(hub): State<Arc<Hub>>,
    Path((id, name)): Path<(String, String)>,
    Query(query): Parameters,
    uri: Uri,
    method: Method,
    body: Body,
) -> Response {
    let main = hub.main.clone();
    let answer = async move {
        let request = Checked::new(hub, &id, method.as_str(), &uri, query, body).await?;
        let channel = api::channel(&name)?;
        api::presence(&channel)?;
        let users = users_of(&request.hub.pipeline.snapshot(), request.app, &channel);
        let users: Vec<_> = users.iter().map(|member| json!({ "id": *member.user })).collect();
        Ok(json!({ "users": users }))
    };
    respond(main, answer).await
}
