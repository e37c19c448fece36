//! What is wrong with an export.

use std::collections::HashSet;
use std::fmt;
use std::hash::Hash;

use super::{Export, SavedLink, SavedNet};
use crate::link::{Addr, AddressPolicy, EndpointError, NetId};
use crate::manager::config::Config;

/// Why an export cannot be imported. Links are named by their place in its list, from 0.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ImportError {
    /// The format is another one: written by a newer version of the crate, or no export at all.
    UnknownFormat {
        /// The format of the export.
        found: u32,
        /// The format that can be read.
        supported: u32,
    },
    /// 0 and `u64::MAX` name no net.
    InvalidNet(NetId),
    /// The net is listed twice.
    DuplicateNet(NetId),
    /// The nets, the links or the nets of a link are more than the limit.
    LimitReached {
        /// What there are too many of.
        of: &'static str,
        /// The limit.
        limit: usize,
    },
    /// An ignored address of the net is blank.
    BlankIgnored(NetId),
    /// An address is listed twice among the ignored ones of the net.
    DuplicateIgnored(NetId),
    /// The address of a link is blank.
    BlankLink {
        /// Its place.
        index: usize,
    },
    /// There are two links of one address.
    DuplicateLink {
        /// The place of the second one.
        index: usize,
    },
    /// No net wants the link.
    UnwantedLink {
        /// Its place.
        index: usize,
    },
    /// A link is wanted by a net that is not listed.
    UnknownNet {
        /// The place of the link.
        index: usize,
        /// The net.
        net: NetId,
    },
    /// A link names a net twice.
    RepeatedNet {
        /// The place of the link.
        index: usize,
        /// The net.
        net: NetId,
    },
    /// The endpoint of a link cannot be dialled.
    Endpoint {
        /// The place of the link.
        index: usize,
        /// Why not.
        error: EndpointError,
    },
}

impl fmt::Display for ImportError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownFormat { found, supported } => {
                write!(
                    f,
                    "format {found} cannot be read, only {supported}: update the crate, or start without"
                )
            }
            Self::InvalidNet(net) => write!(f, "{net} cannot name a net"),
            Self::DuplicateNet(net) => write!(f, "{net} is listed twice"),
            Self::LimitReached { of, limit } => {
                write!(f, "more than the limit of {limit} {of}: raise it in the configuration")
            }
            Self::BlankIgnored(net) => write!(f, "an ignored address of {net} is blank"),
            Self::DuplicateIgnored(net) => write!(f, "{net} ignores an address twice"),
            Self::BlankLink { index } => write!(f, "the address of link {index} is blank"),
            Self::DuplicateLink { index } => write!(f, "link {index} has the address of an earlier one"),
            Self::UnwantedLink { index } => write!(f, "link {index} is wanted by no net"),
            Self::UnknownNet { index, net } => write!(f, "link {index} names {net}, which is not listed"),
            Self::RepeatedNet { index, net } => write!(f, "link {index} names {net} twice"),
            Self::Endpoint { index, error } => {
                write!(f, "the endpoint of link {index} cannot be dialled: {error}")
            }
        }
    }
}

impl std::error::Error for ImportError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Endpoint { error, .. } => Some(error),
            _ => None,
        }
    }
}

impl<A: Addr> Export<A> {
    /// Whether a manager of this configuration can begin with the export. O(export).
    ///
    /// # Errors
    /// [`ImportError`] names the first thing that is wrong.
    pub fn check(&self, config: &Config) -> Result<(), ImportError> {
        if self.format != Self::FORMAT {
            return Err(ImportError::UnknownFormat { found: self.format, supported: Self::FORMAT });
        }
        let settings = config.settings();
        limit("nets", self.nets.len(), settings.max_nets)?;
        limit("links", self.links.len(), settings.max_links)?;
        let mut nets = HashSet::new();
        for net in &self.nets {
            net.check()?;
            distinct(&mut nets, net.id, || ImportError::DuplicateNet(net.id))?;
        }
        let mut addrs = HashSet::new();
        for (index, link) in self.links.iter().enumerate() {
            link.check(index, &nets, config.addresses)?;
            distinct(&mut addrs, &link.addr, || ImportError::DuplicateLink { index })?;
        }
        Ok(())
    }
}

impl<A: Addr> SavedNet<A> {
    fn check(&self) -> Result<(), ImportError> {
        if !self.id.is_valid() {
            return Err(ImportError::InvalidNet(self.id));
        }
        let mut addrs = HashSet::new();
        for hot in &self.ignored {
            if hot.addr.is_blank() {
                return Err(ImportError::BlankIgnored(self.id));
            }
            distinct(&mut addrs, &hot.addr, || ImportError::DuplicateIgnored(self.id))?;
        }
        Ok(())
    }
}

impl<A: Addr> SavedLink<A> {
    fn check(&self, index: usize, nets: &HashSet<NetId>, policy: AddressPolicy) -> Result<(), ImportError> {
        if self.addr.is_blank() {
            return Err(ImportError::BlankLink { index });
        }
        if self.nets.is_empty() {
            return Err(ImportError::UnwantedLink { index });
        }
        let mut seen = HashSet::new();
        for net in self.nets.iter().copied() {
            if !nets.contains(&net) {
                return Err(ImportError::UnknownNet { index, net });
            }
            distinct(&mut seen, net, || ImportError::RepeatedNet { index, net })?;
        }
        let endpoint = self.endpoint.map_or(Ok(()), |endpoint| policy.check(endpoint));
        endpoint.map_err(|error| ImportError::Endpoint { index, error })
    }
}

fn limit(of: &'static str, len: usize, limit: usize) -> Result<(), ImportError> {
    if len > limit { Err(ImportError::LimitReached { of, limit }) } else { Ok(()) }
}

fn distinct<T: Eq + Hash>(
    seen: &mut HashSet<T>,
    item: T,
    error: impl FnOnce() -> ImportError,
) -> Result<(), ImportError> {
    if seen.insert(item) { Ok(()) } else { Err(error()) }
}
