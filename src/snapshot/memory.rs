//! Streams in memory, with their checksum at the end.

use super::{Damaged, Reader, Writer};
use std::io::{self, Cursor, Write};
use std::sync::{Arc, Mutex, PoisonError};
use xxhash_rust::xxh3::xxh3_64;

/// A writer whose bytes can be taken afterwards.
#[derive(Clone, Default)]
struct Sink(Arc<Mutex<Vec<u8>>>);

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The bytes that `save` writes, followed by their checksum.
///
/// # Errors
/// Returns an error when a value cannot be written.
pub(crate) fn write(save: impl FnOnce(&mut Writer)) -> io::Result<Vec<u8>> {
    let sink = Sink::default();
    let mut to = Writer::new(Box::new(sink.clone()));
    save(&mut to);
    to.finish()?;
    let mut bytes = sink.0.lock().unwrap_or_else(PoisonError::into_inner);
    Ok(std::mem::take(&mut *bytes))
}

/// Reads bytes that [`write`] has written.
///
/// # Errors
/// Returns [`Damaged`] when the checksum is not that of the content.
pub(crate) fn open(bytes: &Arc<Vec<u8>>) -> Result<Reader, Damaged> {
    let Some((content, checksum)) = bytes.split_last_chunk() else {
        return Err(Damaged::new(format!("{} bytes are too few", bytes.len())));
    };
    if xxh3_64(content) != u64::from_le_bytes(*checksum) {
        return Err(Damaged::new("its checksum is not that of its content"));
    }
    let length = content.len() as u64;
    let source = Cursor::new(Shared(Arc::clone(bytes)));
    Ok(Reader::new(Box::new(source), length))
}

/// Bytes that are read without a copy.
struct Shared(Arc<Vec<u8>>);

impl AsRef<[u8]> for Shared {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::Snapshot;

    #[test]
    fn what_is_whole_is_read_and_no_part_of_it() {
        let text = "a text".to_string();
        let bytes = write(|to| text.save(to)).unwrap();
        let mut from = open(&Arc::new(bytes.clone())).unwrap();
        assert_eq!(String::load(&mut from).unwrap(), text);
        assert_eq!(from.left(), 0);
        for length in 0..bytes.len() {
            let part = Arc::new(bytes[..length].to_vec());
            assert!(open(&part).is_err(), "{length} of {} bytes", bytes.len());
        }
    }
}
