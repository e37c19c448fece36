//! How the crate is built, and why so.
//!
//! # The one path that data takes
//!
//! ```text
//! any thread --command--> mailbox --batch--> driver --> core --> publish --> tickets --> effects --> transport
//! any thread <------------ snapshot, reader <-----------------------'
//! ```
//!
//! Strictly left to right. One turn of the [`Driver`](crate::Driver) takes a batch of commands, ends those
//! whose deadline has passed, applies the others, does what is due at `now`, publishes **once**, completes
//! the tickets, and adds the effects to the outbox. A reader touches the right-hand side only.
//!
//! Queries are not commands. A query that posts to the actor and waits can be asked from the actor's own
//! thread, and then waits for itself; one that reads a snapshot cannot.
//!
//! # The core is a state machine
//!
//! `(state, command, now) -> (state, effects)`: no clock, no socket, no lock, no thread, no user code. What
//! the reference system did in callbacks under its locks comes out as [`Effect`](crate::Effect)s, after the
//! version that explains them is published. What a callback returned comes back as a command.
//!
//! # Identities make late news harmless
//!
//! Every stream and every dial has an identity that is never reused. An answer that names one that the link
//! no longer has is [`Stale`](crate::Outcome::Stale): counted and ignored. Events may therefore be reordered
//! between lanes: accounting for a stream that has died makes no member, in whichever order the two are
//! applied.
//!
//! Closing streams names each of them ([`Effect::CloseStreams`](crate::Effect::CloseStreams)), in place of
//! "all but one": an effect may be carried out late, and must not close a stream that came after.
//!
//! # A refused stream is closed
//!
//! A stream that no link accepts (unknown uplink, own address, limit, manager off) is answered with an effect
//! that closes it. Otherwise a socket without a link would stay open for ever.
//!
//! # Who opened a stream closes it
//!
//! A link that nobody asks to dial any more is closed when its streams are ours. When the peer opened one,
//! the dialer alone is closed, and the link stays as a pure downlink: the reason for it is the peer's.
//!
//! # An announcement goes out on whichever stream there is
//!
//! With prompt timing a net that wants a link is announced on the primary stream, also when the peer opened
//! it. The reference announces on its own uplinks only, and never dials a peer that has a downlink: a second
//! net that wants such a peer waits until the downlink dies.
//!
//! # Who is kept, and by whom
//!
//! A record lives as long as anything keeps it: a net, a membership, a cluster of which the node is a static
//! peer, or the stream that a peer opened. What makes a peer lasting is data, not the answer of a callback:
//! the permanent peers of a net are part of the net, the roles of an autonomic cluster part of the cluster,
//! and a static peer says in its record of which clusters it is one, and whether the host or a role made it
//! so. A failure, a refusal and a deletion find it there. A connection needs more than a record: a net that
//! wants it, a membership, or an enabled cluster. A static peer whose clusters are all disabled is not
//! connected.
//!
//! Membership in any cluster is a field of the link, and the index that counts and lists is derived from it
//! in the same step. There is no message between the two that could be late.
//!
//! # Nothing waits for an answer for ever
//!
//! A resolution or a dial that is not answered within [`Config::dial_timeout`](crate::Config::dial_timeout)
//! counts as a failure. A transport that panics is answered for.
//!
//! # Effects are coalesced, not dropped
//!
//! A dial that nobody has seen yet is annihilated by its cancellation; counts and announcements replace their
//! older selves; streams to close are united. What waits is bounded by the links and nets it is about. When
//! it passes [`Config::outbox`](crate::Config::outbox), commands of the host wait in the mailbox, which
//! refuses them when it is full; reports of streams and dials are still taken, because they are what makes
//! things go away. One batch of the others gets through every 100 ms: a callback of the transport may be
//! waiting for one of them, and the outbox does not drain before that callback returns.
//!
//! # One set of rules
//!
//! Whether and when a link is dialled, an announcement repeated, a net asks: these rules are functions of a
//! link and the nets, in one place. The core asks them about what is staged, and acts;
//! [`LinksSnapshot::explain`](crate::LinksSnapshot::explain) asks them about a version, and says why.
//!
//! # Chance and delays
//!
//! A retry policy is a function of the failures in a row and of chance, and chance is injected: a run can be
//! repeated. The delay is drawn once, when the failure is counted, and is part of the version. It is never
//! longer than the cap of the policy in force, whatever a policy of the user asks for, whatever the wall
//! clock said when a manager began with an export, and also after the policy was changed: what is planned for
//! later is cut. The rest of an unstable link has the delay of its own policy for a cap.
//!
//! # Values of the user
//!
//! A link can carry a value of the user. Versions are emptied by the writer, so its destructor would run in
//! the middle of a publish, or of a command. It does not: while the writer works, such values are collected,
//! and let go of at the end of the turn, one by one, each with its panic contained.
//!
//! Counters of traffic are not values of a version: they are shared by all versions of a record, and newer
//! than any.
//!
//! # What outlives a restart
//!
//! An export has what cannot be learned again: nets, clusters, who is kept, retry state, ignored addresses.
//! Streams and memberships end with the process. It is checked as a whole before anything is built from it.
//!
//! # Timers
//!
//! Each link has at most one timer: the earliest of its retry, its next announcement and its time-out. A turn
//! costs in proportion to what is due, not to the table.
