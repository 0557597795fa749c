//! Each kind of source from its files to its samples, and its description against them.

use super::*;
use crate::data::dataset::{Dataset, Values};
use crate::data::source::{Arrays, Shaping, Source, Test};
use crate::data::sources::{
    Cifar10, Cifar100, Csv, Digits, Emnist, EmnistSplit, FashionMnist, Idx, Leaf, Mnist, Npy, Npz,
    Random, SampleCounts, Synthetic,
};
use crate::data::{idx, npy, npz};
use crate::quantity::Probability;
use crate::text::fields::Fraction;
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

/// Loads a source, and compares its description with what was loaded.
fn load_described(source: &Source, base: &Path) -> Split {
    let split = load(source, 1, base).unwrap();
    let seen = inspect(source, 1, base).unwrap();
    assert_eq!(
        (seen.shape, seen.classes),
        (split.describe(), split.classes())
    );
    // Where the number of classes is known, labels are not read, and no remark is made about them.
    let mut described = describe(source, 1, base).unwrap();
    described.notes.clone_from(&split.notes);
    assert_eq!(described, split.describe());
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
    assert_eq!(
        load_described(&Source::from(Digits {}), nowhere)
            .train
            .len(),
        1437
    );
    let synthetic = Source::from(Synthetic {
        alpha: 0.5,
        beta: 0.5,
        users: 5,
        samples: SampleCounts::FedProx,
        iid: false,
        test: Fraction(fraction(0.1)),
    });
    assert_eq!(
        load_described(&synthetic, nowhere).train.user_count(),
        Some(5)
    );
    let random = Source::from(Random {
        shape: vec![3, 2, 2],
        classes: 4,
        train: 7,
        test: 2,
        bytes: true,
    });
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
    let split = load_described(&Source::from(Mnist { dir: "m".into() }), base.path());
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
        &Source::from(Mnist {
            dir: "mnist".into(),
        }),
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
    let source = Source::from(Cifar100 {
        dir: "c".into(),
        coarse: false,
    });
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
    let source = Source::from(Idx {
        train_images: "i".into(),
        train_labels: "l".into(),
        test_images: "i".into(),
        test_labels: "l".into(),
        shape: None,
        classes: None,
        standardise: false,
    });
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
    let source = Source::from(Idx {
        train_images: "x".into(),
        train_labels: "y".into(),
        test_images: "x".into(),
        test_labels: "y".into(),
        shape: None,
        classes: None,
        standardise: false,
    });
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
    let source = Source::from(Emnist {
        dir: "".into(),
        split: EmnistSplit::Letters,
    });
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
    let split = load_described(
        &Source::from(Cifar10 { dir: "".into() }),
        folder(&files).path(),
    );
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
    let from_archive = Source::from(Npz::of(
        "a.npz".into(),
        named("x".into(), "y".into(), Some("u".into())),
        Test::Given(named("x".into(), "y".into(), None)),
        Shaping::default(),
    ));
    let from_files = Source::from(Npy::of(
        named("x.npy".into(), "y.npy".into(), Some("u.npy".into())),
        Test::Given(named("x.npy".into(), "y.npy".into(), None)),
        Shaping::default(),
    ));
    for source in [from_archive, from_files] {
        let split = load_described(&source, base.path());
        assert_eq!(
            (split.train.shape.as_slice(), split.train.classes),
            (&[1, 2, 1][..], 3)
        );
        assert_eq!(bytes(&split.train), [1, 2, 3, 4, 5, 6, 7, 8]);
        assert_eq!(split.train.users, Some(vec![0, 1, 0, 1]));
    }
    let part = Source::from(Npz::of(
        "a.npz".into(),
        named("x".into(), "y".into(), None),
        Test::Fraction(fraction(0.25)),
        Shaping {
            shape: Some(vec![1, 2]),
            classes: Some(5),
            standardise: true,
        },
    ));
    let split = load_described(&part, base.path());
    assert_eq!((split.train.len(), split.train.classes), (3, 5));
    assert_eq!(split.train.shape, [1, 2]);
}

#[test]
fn a_class_count_below_the_labels_is_an_error_already_when_described() {
    let x = npy::tests::file("|u1", "False", "(2,)", &[1, 2]);
    let base = folder(&[("x.npy", &x)]);
    for classes in [0, 2, usize::MAX] {
        let source = Source::from(Npy::of(
            named("x.npy".into(), "x.npy".into(), None),
            Test::Given(named("x.npy".into(), "x.npy".into(), None)),
            Shaping {
                classes: Some(classes),
                ..Shaping::default()
            },
        ));
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
    let source = |test: &str| {
        Source::from(Csv::of(
            "train.csv".into(),
            "y".into(),
            Some("u".into()),
            Test::Given(test.into()),
            Shaping::default(),
        ))
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
        error.contains("other.csv:1:2: expected the column \"a\", as in"),
        "{error}"
    );
}

fn table(train: &str, test: Option<&str>) -> Source {
    Source::from(Csv::of(
        train.into(),
        "y".into(),
        None,
        test.map_or(Test::Fraction(fraction(0.5)), |test| {
            Test::Given(test.into())
        }),
        Shaping::default(),
    ))
}

#[test]
fn labels_of_two_tables_that_are_equal_numbers_are_one_class() {
    let base = folder(&[
        ("train.csv", b"a,y\n1,0\n2,1\n3,2\n4,10\n"),
        ("test.csv", b"a,y\n1,0.0\n2,1.0\n3,2.0\n4,1e1\n"),
    ]);
    let split = load_described(&table("train.csv", Some("test.csv")), base.path());
    assert_eq!(split.train.classes, 4);
    assert_eq!(split.train.labels, [0, 1, 2, 3]);
    assert_eq!(split.test.as_evaluation().labels, [0, 1, 2, 3]);
    assert_eq!(split.names.of(3), "10");
    let classes = split.classes();
    assert_eq!((classes[3].train, classes[3].test), (1, 1));
    assert!(
        split.notes.concat().contains("from 0 to 10 with gaps"),
        "{:?}",
        split.notes
    );
}

#[test]
fn test_labels_that_no_training_sample_has_are_reported_of() {
    let base = folder(&[
        ("train.csv", b"a,y\n1,cat\n2,dog\n"),
        ("test.csv", b"a,y\n1,Cat\n2,dog\n"),
    ]);
    let split = load_described(&table("train.csv", Some("test.csv")), base.path());
    assert!(
        split
            .notes
            .concat()
            .contains("no training sample has (Cat)"),
        "{:?}",
        split.notes
    );
}

#[test]
fn a_float_target_is_refused_as_regression_when_described() {
    let base = folder(&[("t.csv", b"a,y\n1,0.1\n2,1.7\n3,2.5\n4,3.3\n5,4.9\n")]);
    let error = describe(&table("t.csv", None), 1, base.path()).unwrap_err();
    assert_eq!(error.field(), "label");
    assert!(
        error.to_string().contains("(regression) is not there yet"),
        "{error}"
    );
}

/// The error and its field, for arrays `x` and `y` for training and `xt`, `yt` for testing.
fn refused_arrays(files: &[(&str, Vec<u8>)]) -> (String, String) {
    let mut all: Vec<(&str, Vec<u8>)> = vec![
        (
            "x.npy",
            npy::tests::file("|u1", "False", "(2, 2, 2)", &[1; 8]),
        ),
        ("y.npy", npy::tests::file("|u1", "False", "(2,)", &[0, 1])),
        (
            "xt.npy",
            npy::tests::file("|u1", "False", "(1, 2, 2)", &[1; 4]),
        ),
        ("yt.npy", npy::tests::file("|u1", "False", "(1,)", &[1])),
    ];
    all.extend(files.iter().cloned());
    let all: Vec<(&str, &[u8])> = all.iter().map(|(n, b)| (*n, b.as_slice())).collect();
    let base = folder(&all);
    let source = Source::from(Npy::of(
        named("x.npy".into(), "y.npy".into(), None),
        Test::Given(named("xt.npy".into(), "yt.npy".into(), None)),
        Shaping::default(),
    ));
    let loaded = load(&source, 1, base.path());
    let wrong = inspect(&source, 1, base.path()).unwrap_err();
    let error = loaded.unwrap_err();
    assert!(wrong.contains(&error), "{wrong:?} without {error}");
    (error.field().to_string(), error.to_string())
}

#[test]
fn arrays_that_do_not_fit_each_other_name_the_file_and_the_field_at_fault() {
    let file = |descr, shape, body: &[u8]| npy::tests::file(descr, "False", shape, body);
    let labels = file("|u1", "(3,)", &[0, 1, 0]);
    let (field, said) = refused_arrays(&[("y.npy", labels)]);
    assert_eq!(field, "train.y");
    assert!(
        said.contains("y.npy: expected 2 labels, as many as"),
        "{said}"
    );

    let wide = file("|u1", "(1, 3, 2)", &[1; 6]);
    let (field, said) = refused_arrays(&[("xt.npy", wide)]);
    assert_eq!(field, "test.x");
    assert!(
        said.contains("xt.npy: expected samples of shape [1, 2, 2]"),
        "{said}"
    );
    assert!(said.contains("found samples of shape [1, 3, 2]"), "{said}");

    let fractions = [0.5f32, 1.5].map(f32::to_le_bytes).concat();
    let (field, said) = refused_arrays(&[("y.npy", file("<f4", "(2,)", &fractions))]);
    assert_eq!(field, "train.y");
    assert!(
        said.contains("found 0.5 at [0]") && said.contains("regression"),
        "{said}"
    );

    let negative = file("|i1", "(1,)", &[255]);
    let (field, said) = refused_arrays(&[("yt.npy", negative)]);
    assert_eq!(field, "test.y");
    assert!(
        said.contains("yt.npy") && said.contains("found -1 at [0]"),
        "{said}"
    );

    let floats = [0f32, 1.0, f32::INFINITY, 2.0]
        .map(f32::to_le_bytes)
        .concat();
    let good = [0f32; 8].map(f32::to_le_bytes).concat();
    let (field, said) = refused_arrays(&[
        ("x.npy", file("<f4", "(2, 2, 2)", &good)),
        ("xt.npy", file("<f4", "(1, 2, 2)", &floats)),
    ]);
    assert_eq!(field, "test.x");
    assert!(
        said.contains("xt.npy") && said.contains("at [0, 1, 0]"),
        "{said}"
    );
}

#[test]
fn features_of_both_parts_that_are_not_finite_are_reported_at_once() {
    let nan = f32::NAN.to_le_bytes();
    let base = folder(&[
        ("x.npy", &npy::tests::file("<f4", "False", "(1, 1)", &nan)),
        ("y.npy", &npy::tests::file("|u1", "False", "(1,)", &[0])),
    ]);
    let arrays = || named("x.npy".into(), "y.npy".into(), None);
    let source = Source::from(Npy::of(arrays(), Test::Given(arrays()), Shaping::default()));
    let wrong = inspect(&source, 1, base.path()).unwrap_err();
    let fields: Vec<&str> = wrong.iter().map(|error| error.field()).collect();
    assert_eq!(fields, ["train.x", "test.x"]);
}

#[test]
fn text_users_and_labels_of_arrays_are_names() {
    let text = |names: &[&str]| {
        let points = names.iter().flat_map(|name| {
            let mut points = [0u32; 3];
            name.chars()
                .zip(&mut points)
                .for_each(|(c, point)| *point = c as u32);
            points
        });
        points.flat_map(u32::to_le_bytes).collect::<Vec<u8>>()
    };
    let base = folder(&[
        (
            "x.npy",
            &npy::tests::file("<f2", "False", "(4, 1)", &[0; 8]),
        ),
        (
            "y.npy",
            &npy::tests::file("<U3", "False", "(4,)", &text(&["dog", "cat", "dog", "ant"])),
        ),
        (
            "u.npy",
            &npy::tests::file("|S3", "False", "(4,)", b"bobannbobcy\0"),
        ),
    ]);
    let source = |y: &str| {
        Source::from(Npy::of(
            named("x.npy".into(), y.into(), Some("u.npy".into())),
            Test::Given(named("x.npy".into(), y.into(), None)),
            Shaping::default(),
        ))
    };
    let split = load_described(&source("y.npy"), base.path());
    assert_eq!(split.train.labels, [2, 1, 2, 0]);
    assert_eq!(split.names.of(2), "dog");
    assert_eq!(split.train.users, Some(vec![0, 1, 0, 2]));
    let empty = npy::tests::file("<U3", "False", "(4,)", &text(&["dog", "", "dog", "ant"]));
    fs::write(base.path().join("e.npy"), empty).unwrap();
    let error = load(&source("e.npy"), 1, base.path())
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("e.npy") && error.contains("found an empty text at [1]"),
        "{error}"
    );
}

#[test]
fn what_is_probably_not_meant_of_arrays_is_reported() {
    let base = folder(&[
        (
            "x.npy",
            &npy::tests::file("|u1", "False", "(2, 5, 6, 3)", &[0; 180]),
        ),
        ("y.npy", &npy::tests::file("|u1", "False", "(2,)", &[1, 2])),
    ]);
    let arrays = || named("x.npy".into(), "y.npy".into(), None);
    let source = Source::from(Npy::of(arrays(), Test::Given(arrays()), Shaping::default()));
    let split = load_described(&source, base.path());
    assert_eq!((split.train.classes, split.notes.len()), (3, 2));
    assert!(
        split.notes[0].contains("labels begin at 1"),
        "{:?}",
        split.notes
    );
    assert!(
        split.notes[1].contains("channels last"),
        "{:?}",
        split.notes
    );
}

#[test]
fn test_images_of_another_shape_name_their_file_before_any_is_read() {
    let base = folder(&[
        ("x", &idx::tests::file(&[2, 2, 2], &[0; 8])),
        ("y", &idx::tests::file(&[2], &[0, 1])),
        ("xt", &idx::tests::file(&[2, 2, 1], &[0; 4])),
    ]);
    let source = Source::from(Idx {
        train_images: "x".into(),
        train_labels: "y".into(),
        test_images: "xt".into(),
        test_labels: "y".into(),
        shape: None,
        classes: None,
        standardise: false,
    });
    let error = describe(&source, 1, base.path()).unwrap_err();
    assert_eq!(error.field(), "test_images");
    let said = error.to_string();
    assert!(
        said.contains("xt: expected images of shape [1, 2, 2]"),
        "{said}"
    );
}

#[test]
fn leaf_files_of_another_width_name_the_file_at_fault() {
    let file = |x: &str| {
        format!(
            r#"{{"users": ["a"], "num_samples": [1], "user_data": {{"a": {{"x": [{x}], "y": [1]}}}}}}"#
        )
    };
    let (two, three) = (file("[1, 2]"), file("[1, 2, 3]"));
    let base = folder(&[
        ("train.json", two.as_bytes()),
        ("test.json", three.as_bytes()),
    ]);
    let source = Source::from(Leaf::of(
        "train.json".into(),
        Test::Given("test.json".into()),
        Shaping::default(),
    ));
    let error = load(&source, 1, base.path()).unwrap_err();
    assert_eq!(error.field(), "test");
    let said = error.to_string();
    assert!(
        said.contains("test.json: expected samples of 2 values, as"),
        "{said}"
    );
}

#[test]
fn the_advice_for_fetched_data_names_the_folder_that_was_looked_in() {
    for (source, folder) in [
        (
            Source::from(FashionMnist {
                dir: "data/fashion-mnist".into(),
            }),
            "/nowhere/data/fashion-mnist",
        ),
        (Source::from(Cifar10 { dir: "c".into() }), "/nowhere/c"),
        (
            Source::from(Emnist {
                dir: "e".into(),
                split: EmnistSplit::Balanced,
            }),
            "/nowhere/e",
        ),
    ] {
        let error = describe(&source, 1, Path::new("/nowhere"))
            .unwrap_err()
            .to_string();
        assert!(
            error.contains(&format!("looked in the folder {folder} ")),
            "{error}"
        );
    }
}

#[test]
fn an_inspection_says_what_a_description_says_and_counts_classes() {
    let seen = inspect(&Source::from(Digits {}), 1, Path::new("/nowhere")).unwrap();
    assert_eq!(
        seen.shape,
        describe(&Source::from(Digits {}), 1, Path::new("/nowhere")).unwrap()
    );
    let trained: u64 = seen.classes.iter().map(|class| class.train).sum();
    assert_eq!((seen.classes.len(), trained), (10, 1437));
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
    let source = Source::from(Leaf::of(
        "train".into(),
        Test::Given("test".into()),
        Shaping::default(),
    ));
    let split = load_described(&source, base.path());
    assert_eq!(floats(&split.train), [1.0, 0.0, 2.0, 0.0]);
    assert_eq!(split.train.users, Some(vec![0, 1]));
    assert_eq!(split.test.as_evaluation().users, Some(vec![1]));
}
