//! The structure of the crate, and the reasons for it.
//!
//! # Vocabulary
//!
//! | term | meaning |
//! |---|---|
//! | *version* | a published state of a table, and its number; numbers only increase |
//! | *stage* | change the writer's own state, which no reader sees yet |
//! | *publish* | make the staged state the newest version, in one atomic swap |
//! | *snapshot* | a reference to one version, whose contents never change |
//! | *reader* | a thread that reads a table; a [`Reader`](crate::Reader) is its handle, which keeps a snapshot and revalidates it with one atomic load |
//! | *header* | the small object behind a version; it belongs to one table for as long as the table lives |
//! | *retire*, *reclaim* | replace a version by a newer one; free or reuse it when no one holds it |
//! | *recycle* | bring a retired version up to date by replaying the last operations, instead of copying pages |
//! | *feed* | a subscription that delivers the changes of each version, in order |
//! | *mailbox*, *lane* | the bounded queue in front of a writer; one of its four FIFO queues, one per priority |
//! | *room*, *permit* | one unit of a lane's capacity; a room that was reserved by a sender |
//! | *ticket*, *completion* | the waiting end and the completing end of one result |
//! | *command* | a message to the manager's writer; it changes the state |
//! | *request*, *report* | a command of the host; a command of the transport, about a stream, a dial, a resolution or the outcome of an announcement |
//! | *effect* | an instruction to the transport, or a notice to the host, that a version explains |
//! | *operation* | an insertion, a removal or a *transaction* (a closure) that a shared writer applies |
//! | *savepoint* | the point in a staged batch to which a transaction that panics is taken back |
//! | *turn* | one batch of commands, one publish at most, and the completions and effects that follow from it |
//! | *link* | the record of one remote node: its streams, its dial, the nets that want it |
//! | *stream* | one connection of a link; an *uplink* if this node opened it, a *downlink* if the peer did |
//! | *primary stream* | the first live stream of a link; announcements go out on it |
//! | *dial* | an order to the transport to connect to a node and stay connected, from the effect that starts it to its last failure or its cancellation |
//! | *dialer* | the part of a link that resolves, dials and retries |
//! | *resolution* | a request to the host for the endpoint of a node |
//! | *net* | a group of nodes that share a purpose; it has a minimum number of links |
//! | *member* | a link that both ends have agreed on for a net |
//! | *announce* | offer a net to the peer on a stream; the peer accepts or refuses |
//! | *cluster* | a set of nodes within a net: the *main cluster* holds the members of the net; further ones are associated with it |
//! | *permanent peer*, *static peer* | a node that a net, or a cluster, keeps a link to regardless of what happens to it |
//! | *designation* | the note in a link that it is a static peer of a cluster, and whether the host or a role made it one |
//! | *flap*, *rest* | lose a connection shortly after it was made; the pause in dialling after too many flaps |
//! | *session* | the data, the connection and the run that belong to one key |
//! | *run* | one task of a session; a session has at most one |
//! | *place*, *claim* | what one holder at a time may have; the right to it, with a number that is not used again |
//! | *queue* | those who wait for a run of one session, in the order in which they came |
//! | *epoch* | the time between two clears of a session; a run writes in its own only |
//! | *detach* | take the session from a run without waiting for its end |
//! | *blank* | said of data that is that of a new session |
//! | *evict* | remove an idle session, by the registry itself |
//! | *dirty* | a session with changes that the store is not known to have |
//! | *opening* | one use of a store, from its opening to its end, and its number: the upper part of the versions that are saved in it |
//! | *reference design* | the lock-based link manager whose behaviour [`Config::ticked`](crate::Config::ticked) and the feature `shadow` reproduce |
//!
//! # The tree
//!
//! Each line uses only lines above it; `.ci/floors` reads the imports and prints the floors of every folder.
//!
//! ```text
//! sync, unwind, util   the facade over atomics and locks; panics of user code; small helpers
//! clock                time as a parameter
//! ticket, mailbox      one result per command; the bounded queue in front of a writer
//! table                pages, cell, writer, readers, feeds, indexes; above them, the shared writer
//! claim                a place that one holder at a time may claim, and the queue of those who wait for it
//! sessions             runs, connections and data by key; on claim, and on the cell of tables
//! cleanup              connections that end: slots on claim, a table behind a shared writer, events
//! link                 the record of one node, its addresses, nets, streams and policies
//! manager
//!   model              plain data: commands, effects, settings, the directory, rules over a version
//!   core               the state machine: applies commands to the staged version (the floors are in its head)
//!   read               queries on a version: counts, clusters, explanations, exports; differences and feeds
//!   run                threads and queues: handle, driver, outbox, transport worker, meters, trace
//!   link_manager, builder
//! metrics              figures of managers, registries of sessions and cleanup pipelines, for Prometheus and for other recorders
//! shadow               an old manager and the new one side by side (optional)
//! ```
//!
//! # The path of the data
//!
//! ```text
//!  host, transport        one writer                            all threads
//! +---------------+   +------------------------------+       +-----------------------+
//! | Handle        |   | Driver     core     Writer   |  one  | Snapshot Reader Feed  |
//! |  command   ---+-->| batch  --> apply -> publish -+-swap->| version n: its links, |
//! |  report       |   |            time       |      |       | counts and indexes    |
//! |               |   |                       v      |       +-----------------------+
//! | Ticket     <--+---+--- completion, once published|
//! | Transport  <--+---+--- outbox, once published    |
//! +---------------+   +------------------------------+
//! ```
//!
//! Data moves in one direction: commands in, a version out, then tickets and effects. One turn of the
//! [`Driver`](crate::Driver) takes a batch of commands, ends those whose deadline has passed, applies the
//! others, does everything that is due at `now`, publishes **once**, completes the tickets, and appends the
//! effects to the outbox. Readers touch the published version only.
//!
//! Queries are not commands. A query that is posted to an actor and waits for the answer deadlocks when the
//! actor itself asks it; a query that reads a snapshot cannot.
//!
//! # The core is a state machine
//!
//! `(state, command, now) -> (state, effects)`: without a clock, a socket, a lock or a thread. The only user code in it
//! is that of addresses, of a custom retry policy and of the source of randomness. The callbacks that other link
//! managers run under their locks are [`Effect`](crate::Effect)s here, delivered after the version that explains them
//! is published. The return value of a callback becomes a command.
//!
//! # Identities make late reports harmless
//!
//! Every stream, every dial and every resolution has an identity that is never reused. A report that names one
//! that the link no longer has is [`Stale`](crate::Outcome::Stale): it is counted and ignored. Reports may
//! therefore be reordered between lanes: admitting a stream that has closed makes no member, regardless of the
//! order in which the two are applied.
//!
//! [`Effect::CloseStreams`](crate::Effect::CloseStreams) names each stream instead of saying "all but one": an
//! effect may be carried out late, and must not close a stream that was opened in the meantime.
//!
//! # A refused stream is closed
//!
//! A stream that no link accepts (an unknown uplink, the node's own address, a limit, an inactive manager) is
//! answered with an effect that closes it. Otherwise a socket without a link would stay open forever.
//!
//! The list of refused streams is the only one that a peer can make longer at will, so it has a limit of its own
//! ([`Config::refused_streams`](crate::Config::refused_streams)). Beyond it the report itself fails, with
//! [`CommandError::TooManyRefused`](crate::CommandError::TooManyRefused), and the transport closes the stream. An
//! effect that stands for all the others ("close every stream that is not listed") would be shorter, but it may be
//! carried out late, and would then close a stream that was opened in the meantime.
//!
//! # The side that opened a stream closes it
//!
//! A link that no net wants to dial any more is closed if its streams are uplinks. If the peer opened one, only
//! the dialer is closed, and the link stays as a pure downlink: the peer has a reason for it.
//!
//! # An announcement uses any live stream
//!
//! With immediate timing, a net that wants a link is announced on the primary stream, even if the peer opened it. With
//! ticked timing it is announced only while the dialer has a connection, and a peer that is already a member through a
//! downlink is not dialled: a second net that wants this peer waits until the downlink dies.
//!
//! # Reasons to keep a link
//!
//! A record lives as long as anything keeps it: a net, a membership, a cluster of which the node is a static peer, or a
//! stream that the peer opened. Permanent and static peers are data, not the answer of a callback: the permanent peers
//! are part of the net, the roles of an autonomic cluster are part of the cluster, and a static peer's record lists its
//! clusters, and whether the host or a role designated it. A failure, a refusal and a deletion all find that data in
//! place. A connection needs more than a record: a net that wants it, a membership, or an enabled cluster. A static
//! peer whose clusters are all disabled is not connected.
//!
//! Membership in any cluster is a field of the link, and the index that counts and lists members is derived from
//! it in the same step. No message between the two can be late.
//!
//! # No wait without a limit
//!
//! A resolution or a dial that is not answered within [`Config::dial_timeout`](crate::Config::dial_timeout) counts as a
//! failure. Only `None`, which [`Config::ticked`](crate::Config::ticked) sets, waits indefinitely. If the transport
//! panics, the manager answers the effect with a failure itself.
//!
//! # Effects are coalesced, not dropped
//!
//! A dial that the transport has not seen yet and its cancellation cancel out; counts and announcements replace their
//! earlier versions; lists of streams to close are merged. The queue is therefore bounded by the links and nets that
//! its effects are about, and no new link or net is accepted while it is too long: [the
//! guarantees](crate::docs::guarantees#what-waits-for-the-transport) list the bounds. When it exceeds
//! [`Config::outbox`](crate::Config::outbox), commands of the host wait in the mailbox, which refuses them once it is
//! full; reports of streams and dials are still taken, because they free resources. One batch of host commands passes
//! every 100 ms: a callback of the transport may be waiting for one of them, and the outbox does not drain before that
//! callback returns.
//!
//! # One set of rules
//!
//! Whether and when a link is dialled, an announcement is repeated, or a net requests candidates: these rules are
//! functions of a link and the nets, in one file. The core evaluates them on the staged state and acts;
//! [`LinksSnapshot::explain`](crate::LinksSnapshot::explain) evaluates them on a version and returns the reasons.
//!
//! # Randomness and delays
//!
//! A retry policy is a function of the number of failures in a row and of an injected source of randomness, so a run
//! can be repeated. The delay is drawn once, when the failure is counted, and is part of the version. It never exceeds
//! the cap of the policy in force, regardless of a custom policy, of the wall clock at the time of an import, and of a
//! later change of the policy: delays that are already planned are shortened. The rest of a flapping link is capped by
//! its own policy.
//!
//! # User values
//!
//! A link can carry a user value. The writer empties old versions, so the destructor of the value would run in
//! the middle of a publish or a command. Instead the writer collects such values while it works and drops them at
//! the end of the turn, one by one, containing each panic.
//!
//! Traffic counters are not part of a version: all versions of a record share them, and they may be newer than any
//! version.
//!
//! # State that outlives a restart
//!
//! An export contains the state that cannot be rediscovered: nets, clusters, permanent and static peers, retry state,
//! ignored addresses. Streams and memberships end with the process. An import is checked as a whole before anything is
//! built from it.
//!
//! # Timers
//!
//! Each link has at most one timer: the earliest of its retry, its next announcement and its timeout. The cost
//! of a turn is proportional to what is due, not to the size of the table.
