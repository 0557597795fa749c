//! Tests of every reader with damaged and malicious files: any bytes at all, and good files that were
//! flipped, cut, lengthened or given wrong numbers. A reader may refuse a file; it must not panic,
//! hang, or use more memory than the file's size justifies.

use super::dataset::Values;
use super::{cifar, idx, input::Input, leaf, npy, npz, table};
use flate2::write::GzEncoder;
use flate2::Compression;
use proptest::prelude::*;
use std::io::Write;
use std::path::Path;
use zip::CompressionMethod;

/// The largest factor by which deflate inflates a byte.
const INFLATION: usize = 1032;

fn gzipped(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// One change to a file.
#[derive(Debug, Clone)]
enum Change {
    Flip {
        at: prop::sample::Index,
        to: u8,
    },
    Cut(prop::sample::Index),
    Extend(Vec<u8>),
    /// Overwrites a field with a number that is likely to cause trouble.
    Lie {
        at: prop::sample::Index,
        with: Vec<u8>,
    },
    Repeat(prop::sample::Index),
}

fn change() -> impl Strategy<Value = Change> {
    let index = any::<prop::sample::Index>;
    let lie = prop_oneof![
        Just(vec![0xff; 8]),
        Just(vec![0xff; 4]),
        Just(vec![0; 4]),
        Just(vec![0x7f, 0xff, 0xff, 0xff]),
        Just(vec![0xff, 0xff, 0xff, 0x7f]),
        Just(b"99999999999999999999".to_vec()),
        Just(b"1e999".to_vec()),
        Just(b"[[[[".to_vec()),
    ];
    prop_oneof![
        (index(), any::<u8>()).prop_map(|(at, to)| Change::Flip { at, to }),
        index().prop_map(Change::Cut),
        prop::collection::vec(any::<u8>(), 1..40).prop_map(Change::Extend),
        (index(), lie).prop_map(|(at, with)| Change::Lie { at, with }),
        index().prop_map(Change::Repeat),
    ]
}

fn apply(mut file: Vec<u8>, changes: &[Change]) -> Vec<u8> {
    for change in changes {
        if file.is_empty() {
            break;
        }
        match change {
            Change::Flip { at, to } => {
                let at = at.index(file.len());
                file[at] = *to;
            }
            Change::Cut(at) => file.truncate(at.index(file.len())),
            Change::Extend(tail) => file.extend(tail),
            Change::Lie { at, with } => {
                // Half of the changes are aimed at the front, where headers are.
                let at = at.index(file.len().min(200));
                let end = file.len().min(at + with.len());
                file[at..end].copy_from_slice(&with[..end - at]);
            }
            Change::Repeat(at) => {
                let again = file[at.index(file.len())..].to_vec();
                file.extend(again);
            }
        }
    }
    file
}

/// Either any bytes or one of `files`, changed.
fn damaged(files: Vec<Vec<u8>>) -> impl Strategy<Value = Vec<u8>> {
    let changed = (
        prop::sample::select(files),
        prop::collection::vec(change(), 1..4),
    );
    prop_oneof![
        1 => prop::collection::vec(any::<u8>(), 0..300),
        4 => changed.prop_map(|(file, changes)| apply(file, &changes)),
    ]
}

/// Bytes that the values take in memory.
fn held(values: &Values) -> usize {
    match values {
        Values::U8(values) => values.capacity(),
        Values::F32(values) => values.capacity() * 4,
    }
}

fn idx_files() -> Vec<Vec<u8>> {
    let pixels: Vec<u8> = (0..60).collect();
    let images = idx::tests::file(&[5, 3, 4], &pixels);
    let labels = idx::tests::file(&[5], &[0, 1, 2, 3, 4]);
    vec![gzipped(&images), gzipped(&labels), images, labels]
}

fn npy_files() -> Vec<Vec<u8>> {
    let body = [
        1u8, 0, 2, 0, 3, 0, 4, 0, 5, 0, 6, 0, 7, 0, 8, 0, 9, 0, 10, 0, 11, 0, 12, 0,
    ];
    vec![
        npy::tests::file("|u1", "False", "(24,)", &body),
        npy::tests::file("<i2", "True", "(3, 4)", &body),
        npy::tests::file(">f4", "False", "(2, 3)", &body),
        npy::tests::file("<f8", "True", "(3, 1)", &body),
        npy::tests::file("<f2", "False", "(12,)", &body),
        npy::tests::file("<U3", "False", "(2,)", &body),
        npy::tests::file("|S6", "False", "(4,)", &body),
    ]
}

fn npz_files() -> Vec<Vec<u8>> {
    let arrays = npy_files();
    let entries = [("x", arrays[0].as_slice()), ("y", arrays[1].as_slice())];
    [CompressionMethod::Stored, CompressionMethod::Deflated]
        .map(|method| npz::tests::file(&entries, method))
        .to_vec()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    #[test]
    fn idx_files_cannot_hurt(file in damaged(idx_files())) {
        let open = || Input::maybe_gzipped(Path::new("f"), &file[..], file.len() as u64);
        if let Ok((shape, pixels)) = open().and_then(idx::images) {
            prop_assert_eq!(shape.iter().product::<usize>(), pixels.len());
            prop_assert!(pixels.capacity() <= 2 * INFLATION * file.len());
        }
        let mut labels = 0;
        let read = open().and_then(|input| idx::labels(input, |_, _| {
            labels += 1;
            Ok(())
        }));
        if read.is_ok() {
            prop_assert!(labels <= INFLATION * file.len());
        }
    }

    #[test]
    fn cifar_files_cannot_hurt(file in damaged(vec![vec![1; 3074], vec![0; 6148]])) {
        if let Ok(records) = cifar::tests::parse(&file, cifar::tests::FINE) {
            prop_assert_eq!(records.labels.len() * 3074, file.len());
            prop_assert!(records.labels.iter().all(|label| *label < 100));
        }
    }

    #[test]
    fn npy_files_cannot_hurt(file in damaged(npy_files())) {
        if let Ok(array) = npy::tests::parse(&file) {
            prop_assert_eq!(array.shape.iter().product::<usize>(), array.values.len());
            prop_assert!(held(&array.values) <= 16 * file.len());
        }
        if let Ok(values) = npy::tests::whole(&file) {
            prop_assert!(values.len() <= file.len());
        }
        let input = Input::plain(Path::new("f"), &file[..], file.len() as u64);
        prop_assert_eq!(npy::scan(input).is_ok(), npy::tests::parse(&file).is_ok());
    }

    #[test]
    fn npz_files_cannot_hurt(file in damaged(npz_files())) {
        for key in ["x", "y"] {
            if let Ok(array) = npz::tests::parse(&file, key) {
                prop_assert_eq!(array.shape.iter().product::<usize>(), array.values.len());
                prop_assert!(held(&array.values) <= 8 * INFLATION * file.len());
            }
        }
    }

    #[test]
    fn tables_cannot_hurt(
        file in damaged(vec![b"who,a,y,b\nann,1,2,3\nbob,4,0,-5e1\n\"c,d\",7,2,9\n".to_vec()]),
    ) {
        if let Ok(table) = table::tests::parse(&file, "y", Some("who")) {
            prop_assert_eq!(table.raw.values.len(), table.raw.labels.len() * table.header.features());
            prop_assert!(held(&table.raw.values) <= 8 * file.len().max(4));
        }
    }

    #[test]
    fn leaf_files_cannot_hurt(file in damaged(vec![leaf::tests::GOOD.into()])) {
        if let Ok(samples) = leaf::tests::parse(&file) {
            prop_assert_eq!(samples.labels.len(), samples.users.len());
            let width = samples.width.unwrap_or(0);
            prop_assert_eq!(samples.values.len(), samples.labels.len() * width);
        }
    }
}
