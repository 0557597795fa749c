//! `trace.bin`: every delivered event of a run, so that another run can be held against it.
//!
//! A header of 16 bytes (magic, version), then 33 bytes an event in order: time (8), sequence (8),
//! digest (8), source (4), target (4), kind (1), all little-endian. A torn last event is as if it
//! had not been written.

use crate::disk;
use crate::observe::table::cut;
use crate::observe::ObserveError;
use crate::quantity::{Bytes, VirtualTime};
use crate::sim::{Delivery, Key, NodeId};
use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

/// The file's name in a run folder.
pub const TRACE: &str = "trace.bin";

const MAGIC: &[u8; 16] = b"shoal trace v1\n\0";
const EVENT: usize = 33;
/// Events that are kept: 64 M of them take 2 GiB. Later ones are still in the trace hash.
const MOST_EVENTS: u64 = 1 << 26;

/// Writes a trace.
pub struct TraceWriter {
    path: PathBuf,
    file: BufWriter<File>,
    written: u64,
}

impl TraceWriter {
    pub fn create(folder: &Path) -> Result<Self, ObserveError> {
        let path = folder.join(TRACE);
        let made = File::create_new(&path).map(|file| BufWriter::with_capacity(1 << 16, file));
        let mut file = made.map_err(|error| ObserveError::io(&path, "create the file", error))?;
        file.write_all(MAGIC)
            .map_err(|error| ObserveError::io(&path, "write", error))?;
        Ok(Self {
            path,
            file,
            written: 0,
        })
    }

    /// An error that says which file it is about.
    fn told<T>(&self, action: &'static str, done: io::Result<T>) -> Result<T, ObserveError> {
        done.map_err(|error| ObserveError::io(&self.path, action, error))
    }

    pub fn write(&mut self, deliveries: &[Delivery]) -> Result<(), ObserveError> {
        let written = self.put(deliveries);
        self.told("write", written)
    }

    fn put(&mut self, deliveries: &[Delivery]) -> io::Result<()> {
        for delivery in deliveries {
            if self.written == MOST_EVENTS {
                return Ok(());
            }
            self.written += 1;
            let mut event = [0u8; EVENT];
            event[0..8].copy_from_slice(&delivery.key.time.nanos().to_le_bytes());
            event[8..16].copy_from_slice(&delivery.key.sequence.to_le_bytes());
            event[16..24].copy_from_slice(&delivery.digest.to_le_bytes());
            event[24..28].copy_from_slice(&delivery.key.source.0.to_le_bytes());
            event[28..32].copy_from_slice(&delivery.target.0.to_le_bytes());
            event[32] = delivery.kind;
            self.file.write_all(&event)?;
        }
        Ok(())
    }

    /// Goes on with a trace of which `written` events are kept ([`TraceWriter::sync`]).
    pub fn reopen(folder: &Path, written: u64) -> Result<Self, ObserveError> {
        // A number that no file could have is found out to be longer than this one is.
        let length = written.saturating_mul(EVENT as u64);
        let length = length.saturating_add(MAGIC.len() as u64);
        let path = folder.join(TRACE);
        let file = cut(&path, length)?;
        Ok(Self {
            path,
            file: BufWriter::with_capacity(1 << 16, file),
            written,
        })
    }

    /// Brings everything so far to the disk; how many events that is.
    pub fn sync(&mut self) -> Result<u64, ObserveError> {
        let brought = self.file.flush();
        let brought = brought.and_then(|()| self.file.get_ref().sync_data());
        self.told("bring to the disk", brought)?;
        Ok(self.written)
    }

    pub fn flush(&mut self) -> Result<(), ObserveError> {
        let flushed = self.file.flush();
        self.told("write", flushed)
    }
}

/// Reads a trace.
pub struct TraceReader {
    file: BufReader<File>,
    read: u64,
}

impl TraceReader {
    /// # Errors
    /// When there is none, or it is not one.
    pub fn open(folder: &Path) -> io::Result<Self> {
        let mut file = BufReader::with_capacity(1 << 16, disk::open(&folder.join(TRACE))?);
        let mut magic = [0u8; MAGIC.len()];
        file.read_exact(&mut magic)?;
        if magic != *MAGIC {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "not a trace of this version",
            ));
        }
        Ok(Self { file, read: 0 })
    }

    /// How many bytes are behind the last whole event of a trace in `folder`: what a killed process
    /// leaves of one, and a run that came to its end does not. Of a trace that was cut, all that is
    /// behind the last event that is kept.
    ///
    /// # Errors
    /// When there is none.
    pub fn surplus(folder: &Path) -> io::Result<u64> {
        let length = disk::open(&folder.join(TRACE))?.metadata()?.len();
        let events = length.saturating_sub(MAGIC.len() as u64);
        let whole = (events / EVENT as u64).min(MOST_EVENTS);
        Ok(events - whole * EVENT as u64)
    }

    /// Whether the trace ends here because no more events were kept, not because the run ended.
    pub const fn is_cut(&self) -> bool {
        self.read == MOST_EVENTS
    }

    /// The next event; `None` at the end.
    pub fn next_event(&mut self) -> io::Result<Option<Delivery>> {
        let mut event = [0u8; EVENT];
        match self.file.read_exact(&mut event) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
            Err(error) => return Err(error),
        }
        self.read += 1;
        let word = |at: usize| {
            let mut bytes = [0u8; 8];
            bytes.copy_from_slice(&event[at..at + 8]);
            u64::from_le_bytes(bytes)
        };
        let nodes = word(24);
        let key = Key {
            time: VirtualTime::from_nanos(word(0)),
            source: NodeId(nodes as u32),
            sequence: word(8),
        };
        Ok(Some(Delivery {
            key,
            sent: key.time,
            target: NodeId((nodes >> 32) as u32),
            kind: event[32],
            bytes: Bytes(0),
            digest: word(16),
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn delivery(n: u64) -> Delivery {
        Delivery {
            key: Key {
                time: VirtualTime::from_nanos(n * 1_000_003),
                source: NodeId(n as u32),
                sequence: n * 7,
            },
            sent: VirtualTime::from_nanos(n * 1_000_003),
            target: NodeId(u32::MAX - n as u32),
            kind: (n % 256) as u8,
            bytes: Bytes(0),
            digest: n.wrapping_mul(0x9e37_79b9_7f4a_7c15),
        }
    }

    #[test]
    fn what_is_written_is_read_and_a_torn_end_is_no_event() {
        let folder = tempfile::tempdir().unwrap();
        let written: Vec<Delivery> = (0..300).map(delivery).collect();
        let mut writer = TraceWriter::create(folder.path()).unwrap();
        writer.write(&written).unwrap();
        writer.flush().unwrap();
        let path = folder.path().join(TRACE);
        let length = std::fs::metadata(&path).unwrap().len();
        std::fs::OpenOptions::new()
            .write(true)
            .open(&path)
            .unwrap()
            .set_len(length - 5)
            .unwrap();
        let mut reader = TraceReader::open(folder.path()).unwrap();
        let mut read = Vec::new();
        while let Some(event) = reader.next_event().unwrap() {
            read.push(event);
        }
        assert_eq!(read, written[..299]);
    }

    #[test]
    fn another_file_is_not_a_trace() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join(TRACE), b"something else entirely").unwrap();
        assert!(TraceReader::open(folder.path()).is_err());
    }
}
