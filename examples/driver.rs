//! A link manager inside one async task: no thread, no lock, no clock of its own.
//!
//! The node asks for one link, finds its peer, dials it over loopback, agrees on a net with it, and shuts
//! down. The peer is a second task that accepts the connection and agrees to everything.
//!
//! `cargo run --example driver` prints:
//!
//! ```text
//! net 1 is short of 1 link: try 0000::0000::0000::0002
//! dial 0000::0000::0000::0002
//! connected to 0000::0000::0000::0002
//! announce net 1
//! net 1 has 1 link
//! shut down: 1 link closed
//! ```
#![allow(clippy::print_stdout, clippy::disallowed_methods)] // Prints, and reads the clock.

use std::io;
use std::net::SocketAddr;
use std::time::Instant;

use switchboard::link::DialId;
use switchboard::{Config, Effect, Handle, LinkManager, NetConfig, NetId, NodeAddr, StreamId};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::sleep_until;

const NET: NetId = NetId(1);
const PEER: NodeAddr = NodeAddr(2);

/// Results of the work that effects start.
enum Event {
    Dialled(DialId, io::Result<TcpStream>),
    Answered(StreamId, io::Result<(TcpStream, bool)>),
}

/// Everything that the task owns besides the driver.
struct Node {
    peer: SocketAddr,
    handle: Handle,
    work: JoinSet<Event>,
    stream: Option<TcpStream>,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let peer = listener.local_addr()?;
    tokio::spawn(accept_everything(listener));

    let mut driver = LinkManager::builder(Config::default()).own_addr(NodeAddr(1)).build()?;
    let handle = driver.handle();
    // The driver applies commands when it runs, so the tickets of these two are not waited for.
    handle.add_net(NET, NetConfig::new().min_links(1))?;
    handle.set_net_active(NET, true)?;

    let mut node = Node { peer, handle, work: JoinSet::new(), stream: None };
    let links = driver.links();
    while let Some(deadline) = driver.run_once(Instant::now()) {
        driver.effects().for_each(|effect| node.carry_out(effect));
        if links.snapshot().count(NET) > 0 {
            break;
        }
        // Each branch may be dropped at any point without losing anything. The first one is ready at once if
        // carrying out an effect has sent commands.
        tokio::select! {
            () = driver.wait_for_work() => {}
            () = sleep_until(deadline.into()) => {}
            Some(Ok(event)) = node.work.join_next() => node.report(event),
        }
    }
    let report = driver.shutdown(Instant::now());
    println!("shut down: {} link closed", report.links_closed);
    Ok(())
}

impl Node {
    /// Starts the work that an effect asks for, without waiting.
    fn carry_out(&mut self, effect: Effect<NodeAddr>) {
        match effect {
            Effect::RequestLinks { net, needed } => {
                println!("net {} is short of {needed} link: try {PEER}", net.0);
                // An error hands the command back: the mailbox is full or closed. The net asks again later.
                let _ = self.handle.create_link(PEER, net);
                let _ = self.handle.set_endpoint(PEER, self.peer);
            }
            Effect::Dial { addr, endpoint, dial, .. } => {
                println!("dial {addr}");
                self.work.spawn(async move { Event::Dialled(dial, TcpStream::connect(endpoint).await) });
            }
            Effect::Announce { net, stream, .. } => {
                println!("announce net {}", net.0);
                if let Some(socket) = self.stream.take() {
                    self.work.spawn(async move { Event::Answered(stream, ask(socket, net).await) });
                }
            }
            Effect::LinkCountChanged { net, uplinks, downlinks } => {
                println!("net {} has {} link", net.0, uplinks + downlinks);
            }
            _ => {}
        }
    }

    /// Reports a result to the manager.
    fn report(&mut self, event: Event) {
        let _ = match event {
            Event::Dialled(dial, Ok(socket)) => {
                println!("connected to {PEER}");
                self.stream = Some(socket);
                let _ = self.handle.add_uplink(PEER, StreamId(1), dial);
                self.handle.dial_connected(PEER, dial)
            }
            Event::Dialled(dial, Err(_)) => self.handle.dial_failed(PEER, dial, true),
            Event::Answered(stream, Ok((socket, accepted))) => {
                self.stream = Some(socket);
                if accepted {
                    self.handle.admit(NET, PEER, stream)
                } else {
                    self.handle.refuse(NET, PEER, stream)
                }
            }
            Event::Answered(stream, Err(_)) => self.handle.delete_stream(PEER, stream),
        };
    }
}

/// Sends the number of the net and reads one byte: whether the peer agrees.
async fn ask(mut socket: TcpStream, net: NetId) -> io::Result<(TcpStream, bool)> {
    socket.write_u64(net.0).await?;
    let accepted = socket.read_u8().await? == 1;
    Ok((socket, accepted))
}

async fn accept_everything(listener: TcpListener) -> io::Result<()> {
    let (mut socket, _) = listener.accept().await?;
    loop {
        socket.read_u64().await?;
        socket.write_u8(1).await?;
    }
}
