mod auth;
mod channel;
mod config;
mod entry;
mod outbox;
mod protocol;
mod subscribe;
fn main() {}
