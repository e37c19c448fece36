//! The events of the feature `tracing`.
//!
//! | name | target | level | thread | fields |
//! |---|---|---|---|---|
//! | `command` | `switchboard::command` | debug | the writer's | `kind`, `lane` (0 is critical), `duration_ns`, `wait_ns`, `result`, `queue_len`, `version` |
//! | `command_error` | `switchboard::command` | warn | the writer's; for `shed`, the one that sent the more urgent command | `kind`, `code`, `addr`, `error` |
//! | `refused` | `switchboard::command` | warn | the sender's | `kind`, `code` (`full` or `closed`), `addr`, `error` |
//! | `transport_panic` | `switchboard::command` | warn | the transport's | `code` |
//! | `submit` | `switchboard::message` | trace | the sender's | `kind`, `lane`, `command` |
//! | `effect` | `switchboard::message` | trace | the transport's, before the transport is called | `effect` |
//!
//! * `kind` is [`CommandKind::as_str`](crate::CommandKind::as_str), `code` is
//!   [`CommandError::code`](crate::CommandError::code).
//! * `duration_ns` is the time in which the command alone was applied, `wait_ns` its time in the mailbox,
//!   `queue_len` the number of commands in all lanes, and `result` the [`Outcome`](crate::Outcome) or the
//!   error.
//! * `addr` is the remote node that the command concerns, if it concerns one.
//! * An answer to an effect that the manager refuses, such as an endpoint that the address policy refuses, is a
//!   `command_error`: the first place to look when a node stays alone.
//! * Each command that the writer takes emits one `command`, and one `command_error` if it fails.
//!
//! # Timing
//!
//! Events are emitted outside of any lock and never while the state is half changed: `command` is emitted
//! after the version with the change is published and the ticket has completed. A subscriber therefore finds
//! the change in a snapshot and may use every handle. A subscriber that panics on a thread of the manager is
//! contained and counted with panics of ticket callbacks; on the sender's thread, the panic unwinds into the
//! sender.
//!
//! # Cost
//!
//! Without an interested subscriber, one atomic load per event. A subscriber of `switchboard::command` adds
//! two clock reads and a copy of the address per command, and the writer waits while the subscriber records the event.
