//! What the link manager keeps: links, nets, addresses and the policies about them.
//!
//! Values of this module are plain data. A [`Link`](crate::Link) read from a snapshot never changes; the next version
//! holds a new one.

pub(crate) mod addr;
pub(crate) mod cluster;
mod counters;
mod data;
pub(crate) mod dial;
pub(crate) mod flaps;
pub(crate) mod net;
pub(crate) mod record;
pub(crate) mod retry;
#[cfg(feature = "serde")]
mod serialize;
pub(crate) mod stream;

pub use addr::{AddressPolicy, EndpointError, ParseAddrError};
pub use cluster::{Cluster, ClusterKind, ClusterStatus};
pub use counters::Counters;
pub use data::UserData;
pub use dial::{DialId, DialState};
pub use flaps::FlapPolicy;
pub use net::NetStatus;
pub use record::ResolveId;
pub use retry::{CustomRetry, Retry};
pub use stream::Stream;
