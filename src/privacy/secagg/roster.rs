//! The roster: the clients of a round with their public keys, which the server sends to every
//! client before it masks.

use super::masks::Public;
use crate::method::Packet;
use std::collections::BTreeMap;

/// The bytes of a member on the wire: its number and its key.
const MEMBER: usize = 4 + 32;

/// The members of a round, each with its public key, by number.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Roster(BTreeMap<u32, Public>);

impl Roster {
    /// The roster of the given members.
    pub fn new(members: impl Iterator<Item = (u32, Public)>) -> Self {
        Self(members.collect())
    }

    /// The roster as it is sent, with `further` bytes counted for the protocol's other messages.
    pub fn packet(&self, further: u64) -> Packet {
        let members = self.0.iter();
        let bytes = members.flat_map(|(client, key)| client.to_le_bytes().into_iter().chain(*key));
        Packet::new(bytes.collect(), further)
    }

    /// The roster that `bytes` contain; `None` if they are no roster.
    pub fn read(bytes: &[u8]) -> Option<Self> {
        let members = bytes.chunks(MEMBER).map(|member| {
            let (client, key) = member.split_first_chunk::<4>()?;
            Some((u32::from_le_bytes(*client), key.try_into().ok()?))
        });
        let members: Option<BTreeMap<u32, Public>> = members.collect();
        members
            .filter(|members| members.len() * MEMBER == bytes.len())
            .map(Self)
    }

    /// The number of members.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// The members with their keys, in ascending order of their numbers.
    pub fn iter(&self) -> impl Iterator<Item = (u32, &Public)> {
        self.0.iter().map(|(client, key)| (*client, key))
    }

    /// The public key of a member.
    pub fn key(&self, client: u32) -> Option<&Public> {
        self.0.get(&client)
    }

    /// The point at which the polynomials are evaluated for a member's shares: its number counted
    /// from 1, since the secret is at 0.
    pub fn place(client: u32) -> u64 {
        u64::from(client) + 1
    }
}
