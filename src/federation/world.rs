//! The federation as a world for the kernel.
//!
//! - `set_up`: from a plan to a federation;
//! - `shared`: what all nodes share;
//! - `halves`: how the method's server half is made, with its layers;
//! - `member`: which kind of actor each node is;
//! - `bug`: defects that are planted on purpose.

mod bug;
mod halves;
mod member;
mod set_up;
mod shared;
#[cfg(test)]
mod tests;

pub use bug::Bug;
pub use member::Member;
pub use shared::Shared;

use super::job::{Job, Output};
use super::keep;
use super::message::Message;
use super::plan::Plan;
use super::record::Record;
use crate::method::{ClientState, ServerHalf};
use crate::model::{Layouts, Sizes};
use crate::net::{LinkNetwork, Wire as _};
use crate::observe::ledger::{Fact, What};
use crate::quantity::{Bytes, VirtualTime};
use crate::sim::{Fate, Left, NodeId, Stack, World};
use crate::snapshot::{Damaged, Reader};
use std::sync::{Arc, Mutex, PoisonError};

/// A federation: the clients of a [`Plan`], and the server that they answer to or, without a server,
/// the observer.
pub struct Federation {
    shared: Arc<Shared>,
    /// The method's server half, until the server wakes and takes it.
    half: Mutex<Option<Box<dyn ServerHalf>>>,
    /// The memory that a stack of jobs must fit into, where it is limited.
    memory: Option<Bytes>,
}

impl Federation {
    /// The server's node.
    pub const SERVER: NodeId = NodeId(0);

    /// The node of a client.
    pub const fn node_of(client: u32) -> NodeId {
        NodeId(client + 1)
    }

    /// The client of a node; `None` for the server.
    pub const fn client_of(node: NodeId) -> Option<u32> {
        node.0.checked_sub(1)
    }

    /// The method's server half, for the first caller only.
    fn take_half(&self) -> Option<Box<dyn ServerHalf>> {
        let mut half = self.half.lock().unwrap_or_else(PoisonError::into_inner);
        half.take()
    }

    /// The layouts of the networks of all widths, which the reader of a checkpoint needs.
    pub fn layouts(&self) -> Layouts {
        self.shared.layouts()
    }

    /// What its nodes share, for code that does their work elsewhere.
    pub(super) fn share(&self) -> Arc<Shared> {
        Arc::clone(&self.shared)
    }

    /// What its nodes share.
    #[cfg(test)]
    pub(super) fn shared(&self) -> &Shared {
        &self.shared
    }

    /// The width of each client's model.
    pub fn sizes(&self) -> &Sizes {
        &self.shared.sizes
    }

    /// The plan that the federation was set up from.
    pub fn plan(&self) -> &Plan {
        &self.shared.plan
    }
}

impl World for Federation {
    type Message = Message;
    type Node = Member;
    type Kept = ClientState;
    type Network = LinkNetwork;
    type Job = Job;
    type Output = Output;
    type Record = Record;

    fn population(&self) -> u32 {
        let all = self.shared.plan.hierarchy();
        all.population + all.servers() + 1
    }

    fn starters(&self) -> Vec<NodeId> {
        match self.shared.gossip {
            Some(_) => (0..self.population()).map(NodeId).collect(),
            None => vec![Self::SERVER],
        }
    }

    fn network(&self) -> &LinkNetwork {
        &self.shared.network
    }

    fn wake(&self, id: NodeId, kept: Option<ClientState>) -> Member {
        self.member(id, kept)
    }

    fn is_down(&self, node: NodeId, now: VirtualTime) -> bool {
        let faults = &self.shared.faults;
        match Self::client_of(node) {
            Some(client) => {
                faults.clients.is_down(client, now) || self.shared.presence.is_gone(client, now)
            }
            None => faults.server.is_down(now),
        }
    }

    fn fate(&self, fate: Fate, (from, to): (NodeId, NodeId), message: &Message) -> Option<Record> {
        let (node, task, number) = match message {
            Message::Task(_) => (to, true, message.round()),
            Message::Report(report) => (from, false, report.telemetry.task),
            Message::Refusal(_) => (from, false, message.round()),
            // These answer nobody's invitation.
            Message::Model(_) | Message::Notice(_) => return None,
        };
        let what = match fate {
            Fate::Copied => What::Copied { task },
            Fate::Gone => What::Gone { task },
        };
        Some(Record::Fact(Fact {
            client: Self::client_of(node)?,
            task: number,
            at: VirtualTime::ZERO,
            what,
        }))
    }

    fn left(
        &self,
        id: NodeId,
        node: Left<'_, Self>,
        tell: &mut dyn FnMut(Record) -> bool,
    ) -> Result<(), String> {
        if let Left::Awake(Member::Server(server)) = &node {
            let spent = server.half().0.epsilon_pld();
            if spent.is_some_and(|epsilon| !tell(Record::Privacy(epsilon))) {
                return Ok(());
            }
        }
        keep::left(&self.shared, id, &node, tell)
    }

    fn restore(&self, id: NodeId, from: &mut Reader) -> Result<Member, Damaged> {
        self.restored(id, from)
    }

    fn restore_kept(&self, from: &mut Reader) -> Result<ClientState, Damaged> {
        Ok(self.shared.keep(self.shared.kept(from)?))
    }

    fn stack(&self, job: &Job) -> Option<Stack> {
        match job {
            Job::Client(job) => {
                let stack = job.input.stack()?;
                let need = job.input.memory(job.half.corrections()).0.max(1);
                let fit = self.memory.map_or(u64::MAX, |memory| memory.0 / need);
                Some(Stack {
                    width: stack.width.min(usize::try_from(fit).unwrap_or(usize::MAX)),
                    ..stack
                })
            }
            _ => None,
        }
    }

    fn crashed(&self, node: NodeId, at: VirtualTime, reason: &str) -> Option<Record> {
        Some(Record::Crash {
            node,
            at,
            reason: reason.to_string(),
        })
    }
}
