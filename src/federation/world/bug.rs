//! Defects that are planted on purpose, so that the swarm can be tried on a federation that is wrong.

/// A defect that a server can be given, or the clients of a federation without a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bug {
    /// The server uses a second report of a client for one round as if it were another client's.
    DoubleCount,
    /// The server uses reports that belong to other rounds than the one that is open.
    IgnoreRound,
    /// The server sets no deadline, so that a round waits for a lost report for ever.
    NeverTimeOut,
    /// A server that does not wait for rounds gives an old report the weight of a fresh one.
    AlwaysFresh,
    /// A client without a server gives the weight of a model that did not arrive to nobody, so that its
    /// mixing weights no longer add up to 1.
    LoseWeight,
}
