//! The two sides of a shadow.

/// One of the two stores of a [`Shadow`](crate::shadow::Shadow).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Side {
    /// The first store; by custom the old one.
    A,
    /// The second store; by custom the new one.
    B,
}

impl Side {
    pub(super) const BOTH: [Self; 2] = [Self::A, Self::B];

    /// The other one.
    #[must_use]
    pub fn other(self) -> Self {
        match self {
            Self::A => Self::B,
            Self::B => Self::A,
        }
    }
}
