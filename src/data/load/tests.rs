//! Each kind of source from its files to its samples, and its description against them.

use super::*;
use crate::data::dataset::{Dataset, Values};
use crate::data::source::{
    Arrays, CifarLabels, Element, EmnistSplit, SampleCounts, Shaping, Source, Test,
};
use crate::data::{idx, npy, npz};
use crate::quantity::Probability;
use flate2::write::GzEncoder;
use std::fs;
use std::io::Write;
use std::path::Path;
use tempfile::TempDir;
use zip::CompressionMethod;

/// A folder with these files.
fn folder(files: &[(&str, &[u8])]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, bytes) in files {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
    folder
}

fn gzipped(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// Loads, and holds the description against what was loaded.
fn load_described(source: &Source, base: &Path) -> Split {
    let split = load(source, 1, base).unwrap();
    assert_eq!(describe(source, 1, base).unwrap(), split.describe());
    split
}

fn bytes(data: &Dataset) -> &[u8] {
    match &data.values {
        Values::U8(values) => values,
        Values::F32(_) => panic!("not bytes"),
    }
}

fn floats(data: &Dataset) -> &[f32] {
    match &data.values {
        Values::F32(values) => values,
        Values::U8(_) => panic!("not floats"),
    }
}

fn fraction(f: f64) -> Probability {
    Probability::new(f).unwrap()
}

#[test]
fn generated_and_embedded_sources_are_what_they_are_described_as() {
    let nowhere = Path::new("/nowhere");
    assert_eq!(load_described(&Source::Digits, nowhere).train.len(), 1437);
    let synthetic = Source::Synthetic {
        alpha: 0.5,
        beta: 0.5,
        users: 5,
        samples: SampleCounts::FEDPROX,
        iid: false,
        test: fraction(0.1),
    };
    assert_eq!(
        load_described(&synthetic, nowhere).train.user_count(),
        Some(5)
    );
    let random = Source::Random {
        shape: vec![3, 2, 2],
        classes: 4,
        train: 7,
        test: 2,
        element: Element::U8,
    };
    assert_eq!(load_described(&random, nowhere).train.shape, [3, 2, 2]);
}

#[test]
fn mnist_reads_plain_and_gzipped_files_side_by_side() {
    let images = idx::tests::file(&[3, 2, 2], &[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]);
    let test = idx::tests::file(&[1, 2, 2], &[21, 22, 23, 24]);
    let base = folder(&[
        ("m/train-images-idx3-ubyte", &images),
        (
            "m/train-labels.idx1-ubyte.gz",
            &gzipped(&idx::tests::file(&[3], &[5, 0, 4])),
        ),
        ("m/t10k-images.idx3-ubyte", &test),
        (
            "m/t10k-labels-idx1-ubyte.gz",
            &gzipped(&idx::tests::file(&[1], &[9])),
        ),
    ]);
    let split = load_described(&Source::Mnist { dir: "m".into() }, base.path());
    assert_eq!(
        (split.train.shape.as_slice(), split.train.classes),
        (&[1, 2, 2][..], 10)
    );
    assert_eq!(bytes(&split.train)[4..8], [5, 6, 7, 8]);
    assert_eq!(split.train.labels, [5, 0, 4]);
    let test = split.test.as_evaluation();
    assert_eq!(
        (bytes(test), test.labels.as_slice()),
        (&[21, 22, 23, 24][..], &[9][..])
    );
    assert_eq!(test.scaling.mean, [0.1307]);
}

#[test]
fn a_missing_folder_says_how_to_fetch_it() {
    let error = load(
        &Source::Mnist {
            dir: "mnist".into(),
        },
        1,
        Path::new("/nowhere"),
    )
    .unwrap_err();
    assert_eq!(
        error.to_string(),
        "/nowhere/mnist/train-images-idx3-ubyte: no such file, gzipped or not; \
         looked in the folder /nowhere/mnist (dir: \"...\" names another, relative to the scenario's \
         folder); scenarios/data/fetch.sh mnist fetches it into scenarios/data/mnist"
    );
    let source = Source::Cifar100 {
        dir: "c".into(),
        labels: CifarLabels::Fine,
    };
    let error = describe(&source, 1, Path::new("/nowhere"))
        .unwrap_err()
        .to_string();
    assert!(error.contains("cifar-100-binary.tar.gz"), "{error}");
}

#[test]
fn images_without_their_labels_are_an_error() {
    let base = folder(&[
        ("i", &idx::tests::file(&[3, 1, 1], &[1, 2, 3])),
        ("l", &idx::tests::file(&[2], &[0, 1])),
    ]);
    let source = Source::Idx {
        train_images: "i".into(),
        train_labels: "l".into(),
        test_images: "i".into(),
        test_labels: "l".into(),
        shaping: Shaping::default(),
    };
    for error in [
        load(&source, 1, base.path()).unwrap_err(),
        describe(&source, 1, base.path()).unwrap_err(),
    ] {
        let error = error.to_string();
        assert!(
            error.contains("l: byte 4: expected 3 labels, as many as"),
            "{error}"
        );
    }
}

#[test]
fn idx_files_of_any_rank_find_their_shape_and_classes() {
    let base = folder(&[
        ("x", &idx::tests::file(&[3, 2], &[1, 2, 3, 4, 5, 6])),
        ("y", &idx::tests::file(&[3], &[0, 6, 2])),
    ]);
    let source = Source::Idx {
        train_images: "x".into(),
        train_labels: "y".into(),
        test_images: "x".into(),
        test_labels: "y".into(),
        shaping: Shaping::default(),
    };
    let split = load_described(&source, base.path());
    assert_eq!(
        (split.train.shape.as_slice(), split.train.classes),
        (&[2][..], 7)
    );
}

#[test]
fn emnist_letters_count_from_one_and_lie_on_their_side() {
    // One image of 2 rows and 2 columns, stored by column.
    let images = idx::tests::file(&[1, 2, 2], &[1, 3, 2, 4]);
    let labels = |label| idx::tests::file(&[1], &[label]);
    let files = |label| {
        folder(&[
            ("emnist-letters-train-images-idx3-ubyte", &images),
            ("emnist-letters-train-labels-idx1-ubyte", &labels(label)),
            ("emnist-letters-test-images-idx3-ubyte", &images),
            ("emnist-letters-test-labels-idx1-ubyte", &labels(1)),
        ])
    };
    let source = Source::Emnist {
        dir: "".into(),
        split: EmnistSplit::Letters,
    };
    let split = load_described(&source, files(26).path());
    assert_eq!(bytes(&split.train), [1, 2, 3, 4]);
    assert_eq!(
        (split.train.labels.as_slice(), split.train.classes),
        (&[25][..], 26)
    );
    let error = load(&source, 1, files(0).path()).unwrap_err().to_string();
    assert!(
        error.contains("byte 8: expected labels from 1, found 0"),
        "{error}"
    );
}

#[test]
fn cifar_is_found_in_the_folder_its_archive_unpacks_to() {
    let record = |label: u8| {
        let mut record = vec![label];
        record.extend([label * 10; 3072]);
        record
    };
    let batches: Vec<Vec<u8>> = (1..=6).map(record).collect();
    let names: Vec<String> = (1..=5)
        .map(|i| format!("cifar-10-batches-bin/data_batch_{i}.bin"))
        .collect();
    let mut files: Vec<(&str, &[u8])> = names
        .iter()
        .map(String::as_str)
        .zip(batches.iter().map(Vec::as_slice))
        .collect();
    files.push(("cifar-10-batches-bin/test_batch.bin", &batches[5]));
    let split = load_described(&Source::Cifar10 { dir: "".into() }, folder(&files).path());
    assert_eq!(split.train.labels, [1, 2, 3, 4, 5]);
    assert_eq!(split.train.shape, [3, 32, 32]);
    assert_eq!(bytes(split.test.as_evaluation())[3071], 60);
}

fn named<T>(x: T, y: T, users: Option<T>) -> Arrays<T> {
    Arrays { x, y, users }
}

#[test]
fn arrays_are_read_from_an_archive_and_from_files() {
    let x = npy::tests::file("|u1", "False", "(4, 2, 1)", &[1, 2, 3, 4, 5, 6, 7, 8]);
    let y = npy::tests::file("<i2", "False", "(4,)", &[0, 0, 2, 0, 1, 0, 2, 0]);
    let users = npy::tests::file("|i1", "False", "(4,)", &[255, 9, 255, 9]);
    let entries = [
        ("x", x.as_slice()),
        ("y", y.as_slice()),
        ("u", users.as_slice()),
    ];
    let archive = npz::tests::file(&entries, CompressionMethod::Deflated);
    let base = folder(&[
        ("a.npz", &archive),
        ("x.npy", &x),
        ("y.npy", &y),
        ("u.npy", &users),
    ]);
    let from_archive = Source::Npz {
        file: "a.npz".into(),
        train: named("x".into(), "y".into(), Some("u".into())),
        test: Test::Given(named("x".into(), "y".into(), None)),
        shaping: Shaping::default(),
    };
    let from_files = Source::Npy {
        train: named("x.npy".into(), "y.npy".into(), Some("u.npy".into())),
        test: Test::Given(named("x.npy".into(), "y.npy".into(), None)),
        shaping: Shaping::default(),
    };
    for source in [from_archive, from_files] {
        let split = load_described(&source, base.path());
        assert_eq!(
            (split.train.shape.as_slice(), split.train.classes),
            (&[1, 2, 1][..], 3)
        );
        assert_eq!(bytes(&split.train), [1, 2, 3, 4, 5, 6, 7, 8]);
        assert_eq!(split.train.users, Some(vec![0, 1, 0, 1]));
    }
    let part = Source::Npz {
        file: "a.npz".into(),
        train: named("x".into(), "y".into(), None),
        test: Test::Fraction(fraction(0.25)),
        shaping: Shaping {
            shape: Some(vec![1, 2]),
            classes: Some(5),
            standardise: true,
        },
    };
    let split = load_described(&part, base.path());
    assert_eq!((split.train.len(), split.train.classes), (3, 5));
    assert_eq!(split.train.shape, [1, 2]);
}

#[test]
fn a_class_count_below_the_labels_is_an_error_already_when_described() {
    let x = npy::tests::file("|u1", "False", "(2,)", &[1, 2]);
    let base = folder(&[("x.npy", &x)]);
    for classes in [0, 2, usize::MAX] {
        let source = Source::Npy {
            train: named("x.npy".into(), "x.npy".into(), None),
            test: Test::Given(named("x.npy".into(), "x.npy".into(), None)),
            shaping: Shaping {
                classes: Some(classes),
                ..Shaping::default()
            },
        };
        let error = describe(&source, 1, base.path()).unwrap_err().to_string();
        assert!(error.contains("expected 3 to 1048576 classes"), "{error}");
        assert!(load(&source, 1, base.path()).is_err());
    }
}

#[test]
fn tables_share_the_names_of_labels_and_users() {
    let base = folder(&[
        ("train.csv", b"u,a,y\nann,1,cat\nbob,2,dog\n"),
        ("test.csv", b"u,a,y\nbob,3,ant\ncyd,4,dog\n"),
        ("other.csv", b"u,b,y\nbob,3,ant\n"),
    ]);
    let source = |test: &str| Source::Csv {
        file: "train.csv".into(),
        test: Test::Given(test.into()),
        label: "y".into(),
        user: Some("u".into()),
        shaping: Shaping::default(),
    };
    let split = load_described(&source("test.csv"), base.path());
    let test = split.test.as_evaluation();
    assert_eq!(
        (split.train.labels.as_slice(), test.labels.as_slice()),
        (&[1, 2][..], &[0, 2][..])
    );
    assert_eq!(split.train.users, Some(vec![0, 1]));
    assert_eq!(test.users, Some(vec![1, 2]));
    let error = load(&source("other.csv"), 1, base.path())
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("other.csv:1: expected the columns of"),
        "{error}"
    );
}

#[test]
fn leaf_folders_are_read_in_the_order_of_their_names() {
    let file = |user: &str, x: f32| {
        format!(
            r#"{{"users": ["{user}"], "num_samples": [1], "user_data": {{"{user}": {{"x": [[{x}, 0]], "y": [1]}}}}}}"#
        )
    };
    let (a, b) = (file("zoe", 1.0), file("ann", 2.0));
    let base = folder(&[
        ("train/b.json", b.as_bytes()),
        ("train/a.json", a.as_bytes()),
        ("train/notes.txt", b"not data"),
        ("test/c.json", b.as_bytes()),
    ]);
    let source = Source::Leaf {
        train: "train".into(),
        test: Test::Given("test".into()),
        shaping: Shaping::default(),
    };
    let split = load_described(&source, base.path());
    assert_eq!(floats(&split.train), [1.0, 0.0, 2.0, 0.0]);
    assert_eq!(split.train.users, Some(vec![0, 1]));
    assert_eq!(split.test.as_evaluation().users, Some(vec![1]));
}

#[test]
fn every_source_is_listed_under_its_own_name() {
    let names: Vec<_> = Source::presets().iter().map(|preset| preset.name).collect();
    assert_eq!(names.len(), 13);
    assert!(names.contains(&Source::Digits.name()));
    assert!(names.contains(&Source::Mnist { dir: "".into() }.name()));
}
