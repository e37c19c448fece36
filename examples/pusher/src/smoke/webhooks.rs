//! Webhooks, and the grace in which a return cancels them.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use tokio::time::sleep;

use super::done;
use super::limits::figure;
use crate::config::App;
use crate::harness::{Client, Hook, Process, Receiver, Target, expect};

/// Time between two looks at what has arrived.
const PAUSE: Duration = Duration::from_millis(10);

pub(super) async fn run() -> io::Result<()> {
    let app = App::new("1", "key", "secret");
    let receiver = Receiver::start(app.clone(), SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).await?;
    without_grace(&app, &receiver).await?;
    with_grace(&app).await
}

fn hook(name: &str, channel: &str, user: Option<&str>) -> Hook {
    Hook { name: name.to_owned(), channel: channel.to_owned(), user_id: user.map(str::to_owned) }
}

/// Waits until there are so many, and returns them.
async fn wait(receiver: &Receiver, number: usize) -> Vec<Hook> {
    while receiver.hooks().len() < number {
        sleep(PAUSE).await;
    }
    receiver.hooks()
}

async fn without_grace(app: &App, receiver: &Receiver) -> io::Result<()> {
    let url = receiver.url();
    let server = Process::start(&["--app", "1:key:secret", "--webhook", &url, "--grace-ms", "0"]).await?;
    let target = Target { address: server.address, app: app.clone() };
    // Tried again until they are accepted, in order.
    receiver.refuse(2);
    let mut first = Client::connect(&target).await?;
    first.subscribe("presence-a", Some("7")).await?;
    let mut second = Client::connect(&target).await?;
    second.subscribe("presence-a", Some("7")).await?;
    let came = [hook("channel_occupied", "presence-a", None), hook("member_added", "presence-a", Some("7"))];
    expect("came", wait(receiver, 2).await, came.to_vec())?;
    drop(first);
    second.subscribe("news", None).await?;
    expect(
        "one of two connections has left",
        wait(receiver, 3).await[2].clone(),
        hook("channel_occupied", "news", None),
    )?;
    drop(second);
    let mut left = wait(receiver, 6).await.split_off(3);
    left.sort();
    let expected = [
        hook("channel_vacated", "news", None),
        hook("channel_vacated", "presence-a", None),
        hook("member_removed", "presence-a", Some("7")),
    ];
    expect("left", left, expected.to_vec())?;
    expect("forged", receiver.forged(), 0)?;
    done("webhooks: signed, in order, tried again, one per change");
    Ok(())
}

async fn with_grace(app: &App) -> io::Result<()> {
    let receiver = Receiver::start(app.clone(), SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).await?;
    // No test waits for the end of this grace.
    let options = ["--app", "1:key:secret", "--webhook", &receiver.url(), "--grace-ms", "3600000"];
    let server = Process::start(&options).await?;
    let target = Target { address: server.address, app: app.clone() };
    for _ in 0..3 {
        let mut client = Client::connect(&target).await?;
        client.subscribe("presence-a", Some("7")).await?;
        drop(client);
        // The grace has begun: of the channel, and of its user.
        while figure(&target, "/connections").await? > 0 || figure(&target, "/events_in_grace").await? < 2 {
            sleep(PAUSE).await;
        }
    }
    let mut other = Client::connect(&target).await?;
    other.subscribe("news", None).await?;
    let expected = [
        hook("channel_occupied", "presence-a", None),
        hook("member_added", "presence-a", Some("7")),
        hook("channel_occupied", "news", None),
    ];
    expect("a client that returns", wait(&receiver, 3).await, expected.to_vec())?;
    done("no webhooks for a client that returns in time");
    Ok(())
}
