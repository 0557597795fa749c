//! Frozen parameters that wait on disk: what clients keep between rounds, beyond a memory budget.
//!
//! A spilled [`ParamSet`] is the same values in a mapped file: the system brings its pages in when
//! they are read and takes them back when memory is short. Nothing else about it differs, so where
//! a set lies can be seen in no result.

use super::params::bytes;
use super::{ParamError, ParamSet};
use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Regions of the file begin at multiples of this, as mappings must; large pages are multiples too.
const PAGE: u64 = 4096;

/// The name of the file while it has one, around the number of the process.
const STEM: &str = "kept-";
const ENDING: &str = ".tmp";

/// A file that takes parameter sets.
#[derive(Debug)]
pub struct Spill {
    file: File,
    budget: u64,
    books: Mutex<Books>,
}

#[derive(Debug, Default)]
struct Books {
    /// Bytes of kept sets in memory.
    resident: u64,
    /// Bytes of sets on disk now.
    spilled: u64,
    /// The file's length.
    length: u64,
    /// Regions that nobody uses any more, by their size.
    free: BTreeMap<u64, Vec<u64>>,
}

/// A mapped part of the file, given back when dropped.
#[derive(Debug)]
pub(super) struct Region {
    /// Nothing only once it is being dropped.
    map: Option<memmap2::Mmap>,
    offset: u64,
    size: u64,
    home: Arc<Spill>,
}

impl Region {
    /// Its bytes.
    pub(super) fn bytes(&self) -> &[u8] {
        self.map.as_deref().unwrap_or_default()
    }
}

impl Drop for Region {
    fn drop(&mut self) {
        // First the mapping, then the place: whoever takes the place writes to the file at once.
        self.map = None;
        let mut books = self.home.books();
        books.spilled -= self.size;
        books.free.entry(self.size).or_default().push(self.offset);
    }
}

impl Spill {
    /// A file in `folder` for sets beyond `budget` bytes. It has no name there, so that nothing is
    /// left of it however the process ends.
    ///
    /// # Errors
    /// What the system says.
    pub fn create(folder: &Path, budget: u64) -> io::Result<Arc<Self>> {
        let path = folder.join(format!("{STEM}{}{ENDING}", std::process::id()));
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create_new(true)
            .open(&path)?;
        std::fs::remove_file(&path)?;
        Ok(Arc::new(Self {
            file,
            budget,
            books: Mutex::default(),
        }))
    }

    /// Whether a file's name is one that [`Spill::create`] gives for a moment.
    pub fn is_name(name: &str) -> bool {
        name.starts_with(STEM) && name.ends_with(ENDING)
    }

    fn books(&self) -> MutexGuard<'_, Books> {
        self.books.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Bytes of sets that lie on disk now.
    pub fn spilled(&self) -> u64 {
        self.books().spilled
    }

    /// `set` to be kept for a while: itself while kept sets fit the budget, on disk beyond it. A set
    /// that cannot be written stays in memory, over the budget.
    pub fn keep(self: &Arc<Self>, set: ParamSet) -> ParamSet {
        let bytes = set.bytes().0;
        if set.is_mapped() || !set.is_on_host() || bytes == 0 {
            return set;
        }
        {
            let mut books = self.books();
            if books.resident + bytes <= self.budget {
                books.resident += bytes;
                return set;
            }
        }
        match self.write(&set) {
            Ok(mapped) => mapped,
            Err(error) => {
                tracing::warn!(%error, "kept parameters could not be spilled to disk: they stay in memory");
                self.books().resident += bytes;
                set
            }
        }
    }

    /// `set` is in use again.
    pub fn take(&self, set: &ParamSet) {
        if !set.is_mapped() && set.is_on_host() {
            let mut books = self.books();
            books.resident = books.resident.saturating_sub(set.bytes().0);
        }
    }

    fn write(self: &Arc<Self>, set: &ParamSet) -> Result<ParamSet, SpillError> {
        let values = set.as_slice()?;
        let bytes = bytes(values);
        let size = (bytes.len() as u64).next_multiple_of(PAGE);
        let offset = {
            let mut books = self.books();
            let free = books.free.get_mut(&size).and_then(Vec::pop);
            let offset = free.unwrap_or_else(|| {
                let end = books.length;
                books.length += size;
                end
            });
            books.spilled += size;
            offset
        };
        let give_back = || {
            let mut books = self.books();
            books.spilled -= size;
            books.free.entry(size).or_default().push(offset);
        };
        let map = self.file.write_all_at(bytes, offset).and_then(|()| {
            // SAFETY: the file has no name, so no other process writes to it or cuts it; this one
            // writes to a region only while no mapping of it exists: a region is free again after it
            // was unmapped.
            unsafe {
                memmap2::MmapOptions::new()
                    .offset(offset)
                    .len(bytes.len())
                    .map(&self.file)
            }
        });
        let map = map.inspect_err(|_| give_back())?;
        let region = Region {
            map: Some(map),
            offset,
            size,
            home: Arc::clone(self),
        };
        Ok(set.mapped_at(region)?)
    }
}

#[derive(Debug, thiserror::Error)]
enum SpillError {
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error(transparent)]
    Params(#[from] ParamError),
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Initializer, LayerSpec, Model};

    fn sets(n: u64) -> Vec<ParamSet> {
        let model = Model::build(&[LayerSpec::dense(7)], &[301], 7).unwrap();
        (0..n)
            .map(|seed| model.init(seed, Initializer::GlorotNormal).unwrap())
            .collect()
    }

    #[test]
    fn what_goes_beyond_the_budget_lies_on_disk_with_the_same_bits() {
        let folder = tempfile::tempdir().unwrap();
        let sets = sets(3);
        let bytes = sets[0].bytes().0;
        let spill = Spill::create(folder.path(), 2 * bytes).unwrap();
        let kept: Vec<ParamSet> = sets.iter().map(|set| spill.keep(set.clone())).collect();
        let mapped: Vec<bool> = kept.iter().map(ParamSet::is_mapped).collect();
        assert_eq!(mapped, [false, false, true]);
        for (set, kept) in sets.iter().zip(&kept) {
            assert_eq!(set.as_slice().unwrap(), kept.as_slice().unwrap());
            assert_eq!(set.digest().unwrap(), kept.digest().unwrap());
        }
        assert_eq!(spill.spilled(), bytes.next_multiple_of(PAGE));
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
        // One that is in use again makes room.
        spill.take(&kept[0]);
        assert!(!spill.keep(sets[2].clone()).is_mapped());
    }

    #[test]
    fn a_spilled_set_can_be_read_by_torch_and_is_copied_to_be_written() {
        let folder = tempfile::tempdir().unwrap();
        let spill = Spill::create(folder.path(), 0).unwrap();
        let set = sets(1).remove(0);
        let kept = spill.keep(set.clone());
        let sum = |set: &ParamSet| set.flat().sum(tch::Kind::Double).double_value(&[]);
        assert_eq!(sum(&set), sum(&kept));
        // The only handle: were its memory taken over, this would write to a mapping for reading.
        let mut buffer = kept.into_buffer().unwrap();
        buffer.scale(2.0).unwrap();
        assert_eq!(
            buffer.as_slice().unwrap()[5],
            2.0 * set.as_slice().unwrap()[5]
        );
        assert_eq!(spill.spilled(), 0);
    }

    /// How many parts of the spill files in `folder` are mapped.
    #[cfg(target_os = "linux")]
    fn mapped(folder: &Path) -> usize {
        let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
        let folder = folder.to_str().unwrap();
        maps.lines().filter(|line| line.contains(folder)).count()
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn a_region_is_unmapped_before_its_place_is_free_for_others_to_write() {
        let folder = tempfile::tempdir().unwrap();
        let spill = Spill::create(folder.path(), 0).unwrap();
        let kept = spill.keep(sets(1).remove(0));
        assert!(kept.is_mapped() && mapped(folder.path()) > 0);
        std::thread::scope(|scope| {
            // While the books are held no place can be given back: whoever drops the set waits here.
            let books = spill.books();
            scope.spawn(move || drop(kept));
            let began = std::time::Instant::now();
            while mapped(folder.path()) > 0 && began.elapsed().as_secs() < 20 {
                std::thread::sleep(std::time::Duration::from_millis(1));
            }
            let still = mapped(folder.path());
            assert_eq!(still, 0, "it is mapped while it waits to be free");
            assert!(books.free.is_empty() && books.spilled > 0);
        });
        assert_eq!(spill.spilled(), 0);
    }

    #[test]
    fn regions_are_used_again_and_the_file_does_not_grow() {
        let folder = tempfile::tempdir().unwrap();
        let spill = Spill::create(folder.path(), 0).unwrap();
        let sets = sets(4);
        for round in 0..5 {
            let kept: Vec<ParamSet> = sets.iter().map(|set| spill.keep(set.clone())).collect();
            let size = sets[0].bytes().0.next_multiple_of(PAGE);
            assert_eq!(spill.books().length, 4 * size, "round {round}");
            for (set, kept) in sets.iter().zip(&kept) {
                assert_eq!(set.as_slice().unwrap(), kept.as_slice().unwrap());
            }
        }
    }
}
