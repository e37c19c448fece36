//! The example `mesh`: the program as its users run it, and its wire protocol and checks.

// An `expect` that fails fails the test.
#![allow(clippy::expect_used)]

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

#[path = "../examples/mesh/describe.rs"]
mod describe;
#[path = "../examples/mesh/kept.rs"]
mod kept;
#[path = "../examples/mesh/ledger.rs"]
mod ledger;
#[path = "../examples/mesh/names.rs"]
mod names;
// Only the example spawns managers.
#[allow(dead_code)]
#[path = "../examples/mesh/plan.rs"]
mod plan;
#[path = "../examples/mesh/truth.rs"]
mod truth;
// Only the example needs the socket of a connection.
#[allow(dead_code)]
#[path = "../examples/mesh/wire.rs"]
mod wire;

/// The example, which `cargo test` builds along with this test.
fn program() -> Command {
    let test = std::env::current_exe().expect("a test has a path");
    let profile = test.parent().and_then(|deps| deps.parent()).expect("a test is in target/<profile>/deps");
    let name = format!("mesh{}", std::env::consts::EXE_SUFFIX);
    let program: PathBuf = [profile.as_os_str(), "examples".as_ref(), name.as_ref()].iter().collect();
    assert!(
        program.is_file(),
        "{} is missing: plain `cargo test` builds it; otherwise run `cargo build --example mesh` first",
        program.display()
    );
    Command::new(&program)
}

fn mesh(flags: &[&str]) -> Output {
    program().args(flags).output().expect("the example starts")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Parses the object in the last line of standard output.
fn report(output: &Output) -> Value {
    let stdout = text(&output.stdout);
    let last = stdout.lines().last().unwrap_or_default();
    serde_json::from_str(last)
        .unwrap_or_else(|error| panic!("{error} in {last:?}; stderr: {}", text(&output.stderr)))
}

fn number(report: &Value, path: &str) -> u64 {
    report.pointer(path).and_then(Value::as_u64).unwrap_or_else(|| panic!("no number {path} in {report}"))
}

#[test]
fn a_mesh_under_fire_ends_with_both_ends_of_every_link_in_agreement() {
    let output = mesh(&["--nodes", "6", "--seconds", "4", "--churn", "3", "--seed", "7", "--json"]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert_eq!(text(&output.stdout).lines().count(), 1, "one object and nothing else");
    let report = report(&output);
    for (field, expected) in [("/nodes", 6), ("/nets", 2), ("/seconds", 4), ("/seed", 7)] {
        assert_eq!(number(&report, field), expected, "{field}");
    }
    for field in ["/ghosts", "/disagreements", "/dropped_commands", "/versions_went_backwards"] {
        assert_eq!(number(&report, field), 0, "{field}");
    }
    for field in ["/links_established", "/reconnects", "/kills", "/cuts", "/dials", "/commands", "/publishes"]
    {
        assert!(number(&report, field) > 0, "{field}");
    }
    for field in [
        "/restarts",
        "/restored_links",
        "/reconfigured",
        "/static_members",
        "/embedded_members",
        "/host_joins",
        "/host_leaves",
        "/explanations",
        "/explained_kept",
        "/explained_delays",
        "/rests",
        "/named_links",
        "/bytes_sent",
        "/bytes_received",
    ] {
        assert!(number(&report, field) > 0, "{field}");
    }
    assert_eq!(number(&report, "/restarts"), number(&report, "/kills"), "each restart has an export");
    assert_eq!(number(&report, "/minimum_reached"), 6, "by every node");
    assert_eq!(number(&report, "/permanent_links"), 3, "of every other node");
    assert_eq!(number(&report, "/static_members"), 6, "three keep two each");
    assert!(number(&report, "/bytes_received") <= number(&report, "/bytes_sent"));
    for field in ["/refused", "/stale_answers"] {
        number(&report, field);
    }
    let query = ["p50", "p99", "p999", "max"].map(|field| number(&report, &format!("/query_ns/{field}")));
    assert!(query[0] > 0 && query.is_sorted(), "{query:?}");
    let visible = ["p50", "p99", "max"].map(|field| number(&report, &format!("/visible_us/{field}")));
    assert!(visible[2] > 0 && visible.is_sorted(), "{visible:?}");
}

#[test]
fn a_quiet_mesh_without_readers_reports_in_words() {
    let flags = [
        "--nodes",
        "3",
        "--nets",
        "1",
        "--min-links",
        "2",
        "--seconds",
        "1",
        "--churn",
        "0",
        "--readers",
        "0",
    ];
    let output = mesh(&flags);
    let stdout = text(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert!(stdout.contains("3 nodes, 1 nets, 1 s"), "{stdout}");
    assert!(stdout.contains("0 kills, 0 cuts, 0 links deleted, 0 announcements refused"), "{stdout}");
    assert!(stdout.contains("0 ghosts, 0 disagreements"), "{stdout}");
}

/// Returns the head and the body of a response.
fn get(endpoint: &str, path: &str) -> (String, String) {
    let mut socket = TcpStream::connect(endpoint).expect("the program listens");
    write!(socket, "GET {path} HTTP/1.1\r\nHost: mesh\r\n\r\n").expect("the server reads");
    let mut answer = String::new();
    socket.read_to_string(&mut answer).expect("the server answers");
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head and a body");
    (head.to_owned(), body.to_owned())
}

/// Returns the samples of one metric, by node.
fn by_node(body: &str, name: &str) -> BTreeMap<String, f64> {
    let lines = body.lines().map(|line| Ok(line.to_owned()));
    let scrape = prometheus_parse::Scrape::parse(lines).expect("valid Prometheus text");
    let samples = scrape.samples.into_iter().filter(|sample| sample.metric == name);
    let of_node = |sample: prometheus_parse::Sample| {
        let value = match sample.value {
            prometheus_parse::Value::Counter(value) | prometheus_parse::Value::Gauge(value) => value,
            other => panic!("{name}: {other:?}"),
        };
        (sample.labels.get("node").expect("a node").to_owned(), value)
    };
    let mut by_node = BTreeMap::new();
    for (node, value) in samples.map(of_node) {
        *by_node.entry(node).or_insert(0.0) += value;
    }
    by_node
}

#[test]
fn the_metrics_of_all_nodes_are_scraped_while_the_mesh_runs() {
    let flags = ["--nodes", "3", "--min-links", "2", "--seconds", "2", "--churn", "0", "--json"];
    let mut running = program()
        .args(flags)
        .args(["--metrics", "127.0.0.1:0"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the example starts");
    let mut errors = BufReader::new(running.stderr.take().expect("stderr is piped"));
    let mut line = String::new();
    errors.read_line(&mut line).expect("the program prints its address");
    let endpoint = line.trim().strip_prefix("metrics at http://").and_then(|at| at.strip_suffix("/metrics"));
    let endpoint = endpoint.unwrap_or_else(|| panic!("{line:?}"));

    assert!(get(endpoint, "/").0.starts_with("HTTP/1.1 404 "));
    let (head, first) = get(endpoint, "/metrics");
    assert!(head.starts_with("HTTP/1.1 200 ") && head.contains("text/plain; version=0.0.4"), "{head}");
    let commands = by_node(&first, "switchboard_commands_total");
    assert_eq!(commands.len(), 3, "{commands:?}");
    assert!(commands.values().all(|commands| *commands >= 4.0), "{commands:?}");
    // Created minus deleted links equals the links that exist: all figures of a node are of one version.
    let (_, second) = get(endpoint, "/metrics");
    let [links, created, deleted] = ["links", "links_created_total", "links_deleted_total"]
        .map(|name| by_node(&second, &format!("switchboard_{name}")));
    for (node, links) in &links {
        assert_eq!(*links, created[node] - deleted[node], "{node}");
    }
    for (node, more) in by_node(&second, "switchboard_commands_total") {
        assert!(more >= commands[&node], "{node}");
    }
    // Read to the end, so that the program does not block on a full pipe.
    let mut rest = String::new();
    errors.read_to_string(&mut rest).expect("stderr is text");
    let output = running.wait_with_output().expect("the program ends");
    assert_eq!(output.status.code(), Some(0), "{rest}");
    assert_eq!(number(&report(&output), "/nodes"), 3);
}

#[test]
fn flags_that_make_no_sense_are_refused_with_a_reason() {
    for (flags, reason) in [
        (&["--nodes", "0"][..], "0 is not in 1..=256"),
        (&["--nodes", "-1"], "invalid value '-1'"),
        (&["--nodes", "many"], "invalid value 'many'"),
        (&["--nodes", "4", "--min-links", "4"], "--nodes 4 allows at most 3"),
        (&["--nodes", "1"], "--nodes 1 allows at most 0"),
        (&["--nets", "0"], "0 is not in 1..=64"),
        (&["--seconds", "0"], "0 is not in 1..=86400"),
        (&["--churn", "-1"], "not in 0..=1000"),
        (&["--churn=-inf"], "not in 0..=1000"),
        (&["--churn", "inf"], "not in 0..=1000"),
        (&["--churn", "NaN"], "not in 0..=1000"),
        (&["--churn", "often"], "not a number"),
        (&["--readers", "65"], "65 is not in 0..=64"),
        (&["--seed", "x"], "invalid value 'x'"),
        (&["--metrics", "here"], "invalid value 'here'"),
        (&["--frobnicate"], "unexpected argument '--frobnicate'"),
    ] {
        let output = mesh(flags);
        let stderr = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{flags:?}: {stderr}");
        assert!(stderr.contains(reason), "{flags:?}: {stderr}");
        assert!(output.stdout.is_empty(), "{flags:?}");
    }
}

mod protocol {
    use super::wire::{BODY_LEN_MAX, ErrorCode, Frame, Wire, WireError};
    use switchboard::{NetId, NodeAddr};
    use tokio::io::{AsyncWriteExt, duplex};

    const FRAMES: [Frame; 6] = [
        Frame::Hello(NodeAddr(0x0102_0304_0506_0708)),
        Frame::Announce(NetId(u64::MAX - 1)),
        Frame::AnnounceAck(NetId(1)),
        Frame::Error(NetId(7), ErrorCode::NOT_WANTED),
        Frame::Ping,
        Frame::Pong,
    ];

    fn run<F: Future>(future: F) -> F::Output {
        tokio::runtime::Builder::new_current_thread().build().expect("a runtime").block_on(future)
    }

    /// Reads everything from a peer that sends `bytes` and closes: the frames, and the first error.
    fn read(bytes: &[u8]) -> (Vec<Frame>, Option<WireError>) {
        run(async {
            let (mut peer, socket) = duplex(64 * 1024);
            peer.write_all(bytes).await.expect("room for all");
            drop(peer);
            let mut wire = Wire::new(socket);
            let mut frames = Vec::new();
            loop {
                match wire.next().await {
                    Ok(Some(frame)) => frames.push(frame),
                    Ok(None) => return (frames, None),
                    Err(error) => return (frames, Some(error)),
                }
            }
        })
    }

    #[test]
    fn frames_survive_the_wire_whole_and_byte_by_byte() {
        let bytes: Vec<u8> = FRAMES.into_iter().flat_map(Frame::encode).collect();
        let (frames, error) = read(&bytes);
        assert_eq!((frames.as_slice(), error.is_none()), (&FRAMES[..], true));

        let trickled = run(async {
            // A buffer of one byte: every byte arrives separately.
            let (mut peer, socket) = duplex(1);
            let mut wire = Wire::new(socket);
            let send = async move { peer.write_all(&bytes).await.expect("the reader lives") };
            let receive = async {
                let mut frames = Vec::new();
                while let Ok(Some(frame)) = wire.next().await {
                    frames.push(frame);
                }
                frames
            };
            tokio::join!(send, receive).1
        });
        assert_eq!(trickled, FRAMES);
    }

    #[test]
    fn malformed_frames_are_errors_after_what_was_sound() {
        let framed = |body: &[u8]| [&(body.len() as u32).to_le_bytes()[..], body].concat();
        let too_long = BODY_LEN_MAX as u32 + 1;
        for (bytes, expected) in [
            (0_u32.to_le_bytes().to_vec(), "frame length 0 is not in 1..=64"),
            (too_long.to_le_bytes().to_vec(), "frame length 65 is not in 1..=64"),
            (u32::MAX.to_le_bytes().to_vec(), "frame length 4294967295 is not in 1..=64"),
            (framed(&[0]), "no frame of kind 0 has a payload of 0 bytes"),
            (framed(&[7, 1]), "no frame of kind 7 has a payload of 1 bytes"),
            (framed(&[1; 8]), "no frame of kind 1 has a payload of 7 bytes"),
            (framed(&[4; 9]), "no frame of kind 4 has a payload of 8 bytes"),
            (framed(&[5, 0]), "no frame of kind 5 has a payload of 1 bytes"),
            (vec![9, 0, 0], "the stream ended inside a frame"),
            (framed(&[2; 9])[..12].to_vec(), "the stream ended inside a frame"),
        ] {
            let bytes = [Frame::Ping.encode(), bytes].concat();
            let (frames, error) = read(&bytes);
            assert_eq!(frames, [Frame::Ping], "{expected}");
            assert_eq!(error.expect(expected).to_string(), expected);
        }
    }

    #[test]
    fn noise_never_panics() {
        let mut rng = fastrand::Rng::with_seed(1);
        let mut errors = 0;
        for _ in 0..2_000 {
            let len = rng.usize(..200);
            let mut bytes: Vec<u8> = std::iter::repeat_with(|| rng.u8(..)).take(len).collect();
            // Mostly a plausible length, so that bodies are decoded as well.
            if let (true, Some(first)) = (rng.u8(..4) > 0, bytes.first_chunk_mut::<4>()) {
                *first = rng.u32(1..=64).to_le_bytes();
            }
            errors += u32::from(read(&bytes).1.is_some());
        }
        assert!(errors > 1_000, "too much noise was accepted as frames");
    }
}

/// The checks themselves: a valid mesh passes, and every kind of breach is found.
mod judge {
    use std::net::SocketAddr;

    use super::kept;
    use super::ledger::Ledger;
    use super::names::{Name, addr_of};
    use super::plan::Plan;
    use super::truth::{Breach, Socket, View, check};
    use super::wire::Traffic;
    use switchboard::clock::{Clock, ManualClock};
    use switchboard::link::UserData;
    use switchboard::{
        Command, Config, Direction, Driver, Effect, LinkManager, NetConfig, NetId, NodeAddr, StreamId,
    };

    const A: NodeAddr = NodeAddr(1);
    const B: NodeAddr = NodeAddr(2);
    const NET: NetId = NetId(1);
    const UP: StreamId = StreamId(10);
    const DOWN: StreamId = StreamId(20);

    fn end(port: u16) -> SocketAddr {
        SocketAddr::from(([192, 0, 2, 1], port))
    }

    struct Node {
        driver: Driver,
        clock: ManualClock,
    }

    impl Node {
        /// Creates a node without a network.
        fn new(addr: NodeAddr) -> Self {
            let clock = ManualClock::new();
            let driver = LinkManager::builder(Config::default()).own_addr(addr).clock(clock.clone()).build();
            let mut node = Self { driver: driver.expect("the defaults are valid"), clock };
            node.tell([
                Command::AddNet { net: NET, config: NetConfig::new().min_links(1) },
                Command::SetNetActive { net: NET, active: true },
            ]);
            node
        }

        fn tell(&mut self, commands: impl IntoIterator<Item = Command<NodeAddr>>) -> Vec<Effect<NodeAddr>> {
            for command in commands {
                drop(self.driver.handle().submit(command).expect("room for all"));
            }
            let _due = self.driver.run_once(self.clock.now());
            self.driver.effects().collect()
        }

        fn view(&self, addr: NodeAddr, socket: Socket) -> View {
            View { addr, links: self.driver.links().snapshot(), sockets: vec![socket] }
        }
    }

    /// The view of `A`, which dialled `B`.
    fn dialler() -> View {
        let mut node = Node::new(A);
        let effects = node.tell([
            Command::CreateLink { addr: B, net: NET },
            Command::SetEndpoint { addr: B, endpoint: end(2) },
        ]);
        let dial = effects.into_iter().find_map(|effect| match effect {
            Effect::Dial { dial, .. } => Some(dial),
            _ => None,
        });
        node.tell([
            Command::AddStream { addr: B, stream: UP, direction: Direction::Uplink },
            Command::DialConnected { addr: B, dial: dial.expect("a dial") },
            Command::AccountLink { net: NET, addr: B, stream: UP, accepted: true },
        ]);
        node.view(A, Socket { id: UP, peer: B, direction: Direction::Uplink, ends: (end(1), end(2)) })
    }

    /// The view of `B`, which was dialled.
    fn dialled(accounted: bool) -> View {
        let mut node = Node::new(B);
        node.tell([Command::AddStream { addr: A, stream: DOWN, direction: Direction::Downlink }]);
        if accounted {
            node.tell([Command::AccountLink { net: NET, addr: A, stream: DOWN, accepted: true }]);
        }
        node.view(B, Socket { id: DOWN, peer: A, direction: Direction::Downlink, ends: (end(2), end(1)) })
    }

    fn judged(views: [View; 2]) -> Vec<Breach> {
        check(&views, &[NET], 1, ManualClock::new().now())
    }

    /// Returns the breaches of two nodes, of which `tamper` has changed the second.
    fn with_second(tamper: impl FnOnce(&mut View)) -> String {
        let mut second = dialled(true);
        tamper(&mut second);
        judged([dialler(), second]).iter().map(|breach| format!("{breach}\n")).collect()
    }

    #[test]
    fn a_pair_in_agreement_passes() {
        assert_eq!(judged([dialler(), dialled(true)]), []);
    }

    #[test]
    fn a_net_at_one_end_only_is_a_disagreement_and_a_shortage() {
        let breaches = judged([dialler(), dialled(false)]);
        assert!(matches!(breaches[..], [Breach::Disagreement(_), Breach::Short(_)]), "{breaches:?}");
    }

    #[test]
    fn a_member_without_a_socket_is_a_ghost() {
        let said = with_second(|second| second.sockets.clear());
        assert!(said.contains("ghost: 0000::0000::0000::0001 is a member of [NetId(1)] at"), "{said}");
        assert!(said.contains("lists stream 20"), "{said}");
        assert!(said.contains("which does not have it"), "{said}");
    }

    #[test]
    fn a_socket_without_a_link_is_a_disagreement() {
        let extra =
            Socket { id: StreamId(21), peer: A, direction: Direction::Downlink, ends: (end(2), end(9)) };
        let said = with_second(|second| second.sockets.push(extra));
        assert!(said.contains("has stream 21 with 0000::0000::0000::0001, but no link for it"), "{said}");
    }

    #[test]
    fn the_same_direction_at_both_ends_is_a_disagreement() {
        let said = with_second(|second| second.sockets[0].direction = Direction::Uplink);
        assert!(said.contains("both call stream 10 Uplink"), "{said}");
    }

    #[test]
    fn an_end_that_belongs_to_somebody_else_is_a_disagreement() {
        let said = with_second(|second| second.addr = NodeAddr(3));
        assert!(said.contains("assigns stream 10 to 0000::0000::0000::0002, but it belongs to"), "{said}");
        assert!(said.contains("which has no link back"), "{said}");
    }

    /// Returns the first of two nodes, configured as planned but not connected, and its peer.
    fn planned(plan: &Plan) -> (Node, NodeAddr) {
        let (me, peer) = (addr_of(0), addr_of(1));
        let clock = ManualClock::new();
        let config = Config::default().with_settings(plan.settings());
        let driver = LinkManager::builder(config).own_addr(me).clock(clock.clone()).build();
        let mut node = Node { driver: driver.expect("the settings are valid"), clock };
        let net = plan.first_net();
        node.tell([
            Command::AddNet { net, config: plan.net_config(net) },
            Command::SetNetActive { net, active: true },
            Command::AddPermanentPeer { net, addr: peer },
        ]);
        for (net, cluster, kind) in plan.clusters() {
            node.tell([Command::AssociateCluster { net, cluster, kind }]);
        }
        let cluster = plan.static_cluster();
        node.tell(plan.role_members().map(|addr| Command::SetRoleMember { cluster, addr, member: true }));
        (node, peer)
    }

    /// Returns the breaches of the node against the plan, and the parts that it fulfils.
    fn by_plan(node: &Node, plan: &Plan) -> (String, kept::Kept) {
        let view = View { addr: addr_of(0), links: node.driver.links().snapshot(), sockets: Vec::new() };
        let (kept, breaches) = kept::check(&[view], plan, node.clock.now());
        (breaches.iter().map(|breach| format!("{breach}\n")).collect(), kept)
    }

    #[test]
    fn peers_that_are_not_linked_are_missing_and_explained() {
        let plan = Plan::new(2, 1, 1);
        let (said, kept) = by_plan(&planned(&plan).0, &plan);
        assert_eq!(kept, kept::Kept::default());
        assert_eq!(said.lines().count(), 2, "{said}");
        assert!(said.contains("missing") && said.contains("its permanent peer in net 0x"), "{said}");
        assert!(said.contains("its static peer in cluster"), "{said}");
        assert!(said.contains("0 streams, kept by [WantedBy(NetId(1)), PermanentPeerOf("), "{said}");
        assert!(said.contains(r#"blocked by ["Resolving"]"#), "{said}");
    }

    #[test]
    fn peers_that_are_kept_as_planned_pass_and_others_do_not() {
        let plan = Plan::new(2, 1, 1);
        let (mut node, peer) = planned(&plan);
        let net = plan.first_net();
        node.tell([
            Command::AddStream { addr: peer, stream: DOWN, direction: Direction::Downlink },
            Command::AccountLink { net, addr: peer, stream: DOWN, accepted: true },
        ]);
        assert!(by_plan(&node, &plan).0.starts_with("unplanned: "), "it has no name");
        node.tell([Command::SetUserData { addr: peer, data: Some(UserData::new(Name::of(peer))) }]);
        let (said, kept) = by_plan(&node, &plan);
        assert_eq!(said, "");
        assert_eq!((kept.permanent_links, kept.static_members, kept.named_links), (1, 1, 1));
        assert_eq!((kept.embedded_members, kept.minimum_reached), (0, 0), "the second half has not begun");

        plan.turn();
        let (said, _) = by_plan(&node, &plan);
        assert!(said.contains("has other settings: Settings"), "{said}");
        assert!(said.contains("wanted by the host in cluster"), "{said}");
        let cluster = plan.embedded_cluster();
        node.tell([
            Command::Reconfigure { settings: Box::new(plan.settings()) },
            Command::ConfigureNet { net, config: plan.net_config(net) },
            Command::JoinCluster { cluster, addr: peer },
        ]);
        let (said, kept) = by_plan(&node, &plan);
        assert_eq!((said.as_str(), kept.embedded_members, kept.minimum_reached), ("", 1, 1));
        node.tell([Command::LeaveCluster { cluster: plan.static_cluster(), addr: peer }]);
        assert!(by_plan(&node, &plan).0.contains("its static peer in cluster"));
    }

    #[test]
    fn traffic_that_no_stream_counted_is_found() {
        let mut node = Node::new(A);
        node.tell([Command::AddStream { addr: B, stream: DOWN, direction: Direction::Downlink }]);
        let links = node.driver.links().snapshot();
        let counters = links.get(&B).expect("it has a stream").counters();
        let (begun, end) = (Traffic { sent: 3, received: 5 }, Traffic { sent: 10, received: 25 });
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
        let balance = |ledger: &Ledger| runtime.block_on(ledger.balance(&links));

        let ledger = Ledger::default();
        let (first, mut second) = runtime
            .block_on(async { (ledger.open(counters, begun).await, ledger.open(counters, begun).await) });
        first.close(end);
        second.follow(end);
        second.close(end);
        let sound = balance(&ledger);
        assert_eq!((sound.sent, sound.received, sound.problems), (14, 40, Vec::new()));
        counters.add_sent(1);
        let problems = balance(&ledger).problems;
        assert_eq!(problems, ["a link counted (15, 40) bytes, its streams (14, 40)"]);
        let problems = balance(&Ledger::default()).problems;
        assert_eq!(problems.len(), 1);
        assert!(problems[0].ends_with("counted traffic that no stream carried"), "{problems:?}");
    }
}
