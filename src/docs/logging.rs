//! What a subscriber of `tracing` hears, with the feature `tracing`.
//!
//! | name | target | level | thread | fields |
//! |---|---|---|---|---|
//! | `command` | `switchboard::command` | debug | the writer's | `kind`, `lane` (0 is critical), `duration_ns`, `wait_ns`, `result`, `queue_len`, `version` |
//! | `command_error` | `switchboard::command` | warn | the writer's; for `shed`, the one that sent the more urgent command | `kind`, `code`, `error` |
//! | `refused` | `switchboard::command` | warn | the sender's | `kind`, `code` (`full` or `closed`), `error` |
//! | `transport_panic` | `switchboard::command` | warn | the transport's | `code` |
//! | `submit` | `switchboard::message` | trace | the sender's | `kind`, `lane`, `command` |
//! | `effect` | `switchboard::message` | trace | the transport's, before the transport is called | `effect` |
//!
//! * `kind` is [`CommandKind::as_str`](crate::CommandKind::as_str), `code` is
//!   [`CommandError::code`](crate::CommandError::code).
//! * `duration_ns` is the time in which the command alone was applied, `wait_ns` its time in the mailbox,
//!   `queue_len` how many commands wait in all lanes, and `result` the [`Outcome`](crate::Outcome) or the
//!   error.
//! * Each command that the writer takes is one `command`; one that fails is one `command_error` besides.
//!
//! # When
//!
//! Nothing is told while the state is half changed, and no lock is held: `command` follows when the version
//! with the change is published and the ticket has completed. So a subscriber finds in a snapshot what it
//! hears of, and may use every handle. On the threads of the manager its panics are contained and counted
//! with those of ticket callbacks; on the sender's they unwind into the sender.
//!
//! # What it costs
//!
//! With no subscriber, or one that is not interested, an atomic load per event. Somebody who listens to
//! `switchboard::command` costs two looks at the clock per command besides, and delays the writer for as long
//! as he takes to write the event down.
