//! Links, nets, clusters and addresses, and the policies about them.
//!
//! The types of this module are plain data. A [`Link`](crate::Link) in a snapshot never changes; a change creates a new
//! record in the next version.

pub(crate) mod addr;
pub(crate) mod cluster;
mod counters;
mod data;
pub(crate) mod dial;
pub(crate) mod failure;
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
