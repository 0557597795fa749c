//! The nodes of a federation: which kind of actor each node is, and how one is woken and restored.

use super::super::client::Client;
use super::super::edge::Edge;
use super::super::gossip::{Observer, Peer};
use super::super::job::Output;
use super::super::message::Message;
use super::super::server::Server;
use super::Federation;
use crate::method::ClientState;
use crate::sim::{Context, Input, Node, NodeId};
use crate::snapshot::{Damaged, Reader, Writer};
use std::sync::Arc;

/// A live node of a federation.
pub enum Member {
    /// The server.
    Server(Box<Server>),
    /// A client that answers to a server.
    Client(Client),
    /// An edge server, between the server and the clients.
    Edge(Box<Edge>),
    /// Node 0 of a federation without a server.
    Observer(Box<Observer>),
    /// A client of a federation without a server.
    Peer(Box<Peer>),
}

/// The first byte of a node in a checkpoint says which kind of node it is.
const SERVER: u8 = 0;
const CLIENT: u8 = 1;
const EDGE: u8 = 2;
const OBSERVER: u8 = 3;
const PEER: u8 = 4;

impl Federation {
    /// The actor of a node that has its first event, or its first one since it became dormant; then
    /// `kept` is what it kept.
    pub(super) fn member(&self, id: NodeId, kept: Option<ClientState>) -> Member {
        let shared = Arc::clone(&self.shared);
        if let Some(common) = &self.shared.gossip {
            return match Self::client_of(id) {
                Some(client) => {
                    Member::Peer(Box::new(Peer::new(shared, Arc::clone(common), client)))
                }
                None => Member::Observer(Box::new(Observer::new(shared))),
            };
        }
        match Self::client_of(id) {
            Some(member) => match shared.plan.hierarchy().place(member) {
                None => Member::Client(Client::new(shared, member, kept.unwrap_or_default())),
                Some(place) => match Edge::new(shared, member, place) {
                    Ok(edge) => Member::Edge(Box::new(edge)),
                    // The kernel records the panic as a crash of this node.
                    Err(error) => panic!("a server between cannot begin: {error}"),
                },
            },
            None => {
                match self.take_half() {
                    Some(half) => Member::Server(Box::new(Server::new(shared, half))),
                    // The server wakes once and never becomes dormant; a second wake would be a defect
                    // of the kernel, and is recorded as a crash of this node.
                    None => panic!("the server woke twice"),
                }
            }
        }
    }

    /// The actor of a node as a checkpoint has it.
    pub(super) fn restored(&self, id: NodeId, from: &mut Reader) -> Result<Member, Damaged> {
        let shared = Arc::clone(&self.shared);
        let tag = from.tag()?;
        if let Some(common) = &self.shared.gossip {
            return match (Self::client_of(id), tag) {
                (Some(client), PEER) => {
                    let peer = Peer::restore(shared, Arc::clone(common), client, from)?;
                    Ok(Member::Peer(Box::new(peer)))
                }
                (None, OBSERVER) => {
                    Ok(Member::Observer(Box::new(Observer::restore(shared, from)?)))
                }
                (_, other) => Err(Damaged::new(format!("{other} is not what {id} is"))),
            };
        }
        match (Self::client_of(id), tag) {
            (Some(client), CLIENT) => Ok(Member::Client(Client::restore(shared, client, from)?)),
            (Some(member), EDGE) => {
                let place = shared.plan.hierarchy().place(member);
                let place = place.ok_or_else(|| Damaged::new("a client that is a server"))?;
                let edge = Edge::restore(shared, member, place, from)?;
                Ok(Member::Edge(Box::new(edge)))
            }
            (None, SERVER) => {
                let half = self.take_half();
                let half = half.ok_or_else(|| Damaged::new("there are two servers"))?;
                let server = Server::restore(shared, half, from)?;
                Ok(Member::Server(Box::new(server)))
            }
            (_, other) => Err(Damaged::new(format!("{other} is not what {id} is"))),
        }
    }
}

impl Node<Federation> for Member {
    fn on(&mut self, input: Input<Message, Output>, cx: &mut Context<'_, Federation>) {
        match self {
            Self::Server(server) => server.on(input, cx),
            Self::Client(client) => client.on(input, cx),
            Self::Edge(edge) => edge.on(input, cx),
            Self::Peer(peer) => peer.on(input, cx),
            Self::Observer(observer) => observer.on(input, cx),
        }
    }

    fn rest(self) -> ClientState {
        match self {
            // Only clients that answer to a server become dormant.
            Self::Server(_) | Self::Edge(_) | Self::Peer(_) | Self::Observer(_) => {
                ClientState::default()
            }
            Self::Client(client) => client.into_state(),
        }
    }

    fn save(&self, to: &mut Writer) {
        match self {
            Self::Server(server) => {
                to.tag(SERVER);
                server.save(to);
            }
            Self::Client(client) => {
                to.tag(CLIENT);
                client.save(to);
            }
            Self::Edge(edge) => {
                to.tag(EDGE);
                edge.save(to);
            }
            Self::Peer(peer) => {
                to.tag(PEER);
                peer.save(to);
            }
            Self::Observer(observer) => {
                to.tag(OBSERVER);
                observer.save(to);
            }
        }
    }

    fn waiting_for(&self) -> Option<String> {
        match self {
            Self::Server(server) => server.waiting_for(),
            Self::Client(client) => client.waiting_for(),
            Self::Edge(edge) => edge.waiting_for(),
            Self::Peer(peer) => peer.waiting_for(),
            Self::Observer(observer) => observer.waiting_for(),
        }
    }
}
