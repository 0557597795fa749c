//! What ranks say to each other: a byte that says what it is, and what belongs to it.

use crate::snapshot::{memory, snapshot_struct, Snapshot};
use std::sync::Arc;

/// A sign of life.
pub const BEAT: u8 = 0;
/// Who somebody is.
pub const HELLO: u8 = 1;
/// Rank 0: what is run ([`Setup`]).
pub const SETUP: u8 = 2;
/// A member: whether it can ([`Ready`]).
pub const READY: u8 = 3;
/// Rank 0: a unit of jobs, behind its number.
pub const UNIT: u8 = 4;
/// A member: what came of a unit, behind its number.
pub const DONE: u8 = 5;
/// Rank 0: it is over.
pub const END: u8 = 6;
/// A member: it cannot go on, in words.
pub const BROKEN: u8 = 7;

/// What is run, and how.
#[derive(Debug, Clone, PartialEq)]
pub struct Setup {
    /// The scenario's text.
    pub text: String,
    /// Its file, by a path from the root: paths in the scenario start from there.
    pub file: String,
    /// What is changed in it.
    pub overrides: Vec<String>,
    /// Where jobs compute.
    pub device: String,
    /// What memory of that device they may take together.
    pub memory: Option<u64>,
    /// How many workers a rank has; as many as its cores where nothing is said.
    pub workers: Option<u32>,
}

snapshot_struct!(Setup {
    text,
    file,
    overrides,
    device,
    memory,
    workers
});

/// What a member has made of a [`Setup`].
#[derive(Debug, Clone, PartialEq)]
pub struct Ready {
    /// Names what it runs, or what stood in its way.
    pub identity: Result<u64, String>,
    /// How many workers it has.
    pub workers: u32,
    /// Its processor.
    pub cpu: String,
}

snapshot_struct!(Ready {
    identity,
    workers,
    cpu
});

/// A frame of a value.
///
/// # Errors
/// When it cannot be written.
pub fn of<T: Snapshot>(kind: u8, value: &T) -> Result<Vec<u8>, String> {
    let written = memory::write(|to| value.save(to)).map_err(|error| error.to_string())?;
    Ok(with(kind, &[], &written))
}

/// The value of a frame.
///
/// # Errors
/// When it is none of this type.
pub fn read<T: Snapshot>(frame: &[u8]) -> Result<T, String> {
    let body = frame.get(1..).unwrap_or_default().to_vec();
    let mut from = memory::open(&Arc::new(body)).map_err(|error| error.to_string())?;
    T::load(&mut from).map_err(|error| error.to_string())
}

/// A frame of something that has a number.
pub fn numbered(kind: u8, number: u64, body: &[u8]) -> Vec<u8> {
    with(kind, &number.to_le_bytes(), body)
}

/// The number and the body of such a frame.
///
/// # Errors
/// When there is no number.
pub fn number(mut frame: Vec<u8>) -> Result<(u64, Vec<u8>), String> {
    let number = frame.get(1..9).and_then(|bytes| bytes.try_into().ok());
    let number = number.ok_or("a frame without its number")?;
    frame.drain(..9);
    Ok((u64::from_le_bytes(number), frame))
}

fn with(kind: u8, head: &[u8], body: &[u8]) -> Vec<u8> {
    let mut frame = Vec::with_capacity(1 + head.len() + body.len());
    frame.push(kind);
    frame.extend_from_slice(head);
    frame.extend_from_slice(body);
    frame
}
