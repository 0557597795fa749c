//! Who takes part in a round, with public keys: what every client is told before it masks.

use super::masks::Public;
use crate::method::Packet;
use std::collections::BTreeMap;

/// Bytes of a member: its number and its key.
const MEMBER: usize = 4 + 32;

/// The members of a round by number.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Roster(BTreeMap<u32, Public>);

impl Roster {
    /// These members.
    pub fn new(members: impl Iterator<Item = (u32, Public)>) -> Self {
        Self(members.collect())
    }

    /// As it is sent, with so many more bytes counted.
    pub fn packet(&self, further: u64) -> Packet {
        let members = self.0.iter();
        let bytes = members.flat_map(|(client, key)| client.to_le_bytes().into_iter().chain(*key));
        Packet::new(bytes.collect(), further)
    }

    /// What was sent; `None` if it is no roster.
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

    /// How many they are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// All of them, by number.
    pub fn iter(&self) -> impl Iterator<Item = (u32, &Public)> {
        self.0.iter().map(|(client, key)| (*client, key))
    }

    /// The key of a member.
    pub fn key(&self, client: u32) -> Option<&Public> {
        self.0.get(&client)
    }

    /// Where a member's shares are points of the polynomials: its number, from 1.
    pub fn place(client: u32) -> u64 {
        u64::from(client) + 1
    }
}
