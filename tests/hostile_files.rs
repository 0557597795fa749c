//! That files which mean ill cost no more than they weigh: every reader, under the counting allocator.

use super::parser::most_held;
use flate2::write::{DeflateEncoder, GzEncoder};
use flate2::{Compression, Crc};
use shoal::availability::read_trace;
use shoal::data::{
    describe, inspect, load, Arrays, Cifar100, Csv, Idx, Leaf, Npy, Npz, Shaping, Source, Test,
};
use shoal::federation::read_capacity;
use shoal::model::weights::WeightsFile;
use shoal::quantity::Probability;
use shoal::scenario::Scenario;
use std::fs;
use std::io::Write;
use std::path::Path;
use tempfile::TempDir;

/// Bytes held for each byte of the files, beside what every reading takes: four for a number that took
/// two characters, held twice while a list grows, and an index of what a line holds.
const FACTOR: u64 = 16;
const ALWAYS: u64 = 2 << 20;

fn folder(files: &[(&str, Vec<u8>)]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, bytes) in files {
        fs::write(folder.path().join(name), bytes).unwrap();
    }
    folder
}

/// The bytes of all files in a folder.
fn weight(folder: &TempDir) -> u64 {
    let files = fs::read_dir(folder.path()).unwrap();
    files
        .map(|file| file.unwrap().metadata().unwrap().len())
        .sum()
}

/// Reads in every way, and holds what that takes against the weight of the files. What each way says.
fn read(source: &Source, folder: &TempDir, at_most: u64) -> Vec<String> {
    let base = folder.path();
    let ways: [(&str, &dyn Fn() -> Option<String>); 3] = [
        ("describe", &|| {
            describe(source, 1, base).err().map(|e| e.to_string())
        }),
        ("inspect", &|| {
            let wrong = inspect(source, 1, base).err()?;
            Some(
                wrong
                    .iter()
                    .map(ToString::to_string)
                    .collect::<Vec<_>>()
                    .join("\n"),
            )
        }),
        ("load", &|| {
            load(source, 1, base).err().map(|e| e.to_string())
        }),
    ];
    let said = ways.map(|(way, read)| {
        let (said, held) = most_held(read);
        assert!(
            held <= at_most,
            "{way} held {held} bytes of {at_most}: {said:?}"
        );
        said.unwrap_or_default()
    });
    for said in &said {
        assert!(said.len() < 2000, "{} bytes said", said.len());
    }
    said.to_vec()
}

/// The most that reading the folder's files may hold.
fn fair(folder: &TempDir) -> u64 {
    FACTOR * weight(folder) + ALWAYS
}

fn refused(source: &Source, folder: &TempDir, why: &str) {
    for said in read(source, folder, fair(folder)) {
        assert!(said.contains(why), "{said}");
    }
}

fn gzipped(bytes: &[u8], zeros: usize) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::new(6));
    encoder.write_all(bytes).unwrap();
    let block = vec![0; 1 << 16];
    for _ in 0..zeros >> 16 {
        encoder.write_all(&block).unwrap();
    }
    encoder.finish().unwrap()
}

fn npy(descr: &str, shape: &str, body: &[u8]) -> Vec<u8> {
    let header = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}");
    let padded = format!("{header:<117}\n");
    let mut out = b"\x93NUMPY\x01\x00".to_vec();
    out.extend((padded.len() as u16).to_le_bytes());
    out.extend(padded.as_bytes());
    out.extend(body);
    out
}

/// A zip archive with deflated entries, each of bytes and then zeros.
fn zip(entries: &[(&str, Vec<u8>, usize)]) -> Vec<u8> {
    let (mut out, mut directory) = (Vec::new(), Vec::new());
    for (name, bytes, zeros) in entries {
        let mut crc = Crc::new();
        let mut encoder = DeflateEncoder::new(Vec::new(), Compression::new(6));
        let block = vec![0; 1 << 16];
        encoder.write_all(bytes).unwrap();
        crc.update(bytes);
        for _ in 0..zeros >> 16 {
            encoder.write_all(&block).unwrap();
            crc.update(&block);
        }
        let packed = encoder.finish().unwrap();
        let size = bytes.len() + (zeros >> 16 << 16);
        let mut facts = [20u16, 0, 8, 0, 0].map(u16::to_le_bytes).concat();
        facts.extend(
            [crc.sum(), packed.len() as u32, size as u32]
                .map(u32::to_le_bytes)
                .concat(),
        );
        facts.extend([name.len() as u16, 0].map(u16::to_le_bytes).concat());
        let at = out.len() as u32;
        out.extend(b"PK\x03\x04");
        out.extend(&facts);
        out.extend(name.as_bytes());
        out.extend(packed);
        directory.extend(b"PK\x01\x02\x14\x00");
        directory.extend(&facts);
        directory.extend([0u8; 10]);
        directory.extend(at.to_le_bytes());
        directory.extend(name.as_bytes());
    }
    let (at, count) = (out.len() as u32, entries.len() as u16);
    out.extend(&directory);
    out.extend(b"PK\x05\x06\0\0\0\0");
    out.extend([count, count].map(u16::to_le_bytes).concat());
    out.extend([directory.len() as u32, at].map(u32::to_le_bytes).concat());
    out.extend([0, 0]);
    out
}

fn named<T>(x: T, y: T, users: Option<T>) -> Arrays<T> {
    Arrays { x, y, users }
}

fn fifth<T>() -> Test<T> {
    Test::Fraction(Probability::new(0.2).unwrap())
}

const ROWS: usize = 16 << 20;

#[test]
fn labels_of_an_archive_that_claim_more_rows_than_there_are_samples_are_not_inflated() {
    let x = npy("|u1", "(4, 2)", &[1, 2, 3, 4, 5, 6, 7, 8]);
    let y = npy("|u1", &format!("({ROWS},)"), &[]);
    let bytes = zip(&[("x.npy", x, 0), ("y.npy", y, ROWS)]);
    let folder = folder(&[("a.npz", bytes)]);
    let source = Source::from(Npz::of(
        "a.npz".into(),
        named("x".into(), "y".into(), None),
        fifth(),
        Shaping::default(),
    ));
    refused(&source, &folder, "y.npy: expected 4 labels, as many as");
}

#[test]
fn users_of_an_archive_are_held_against_the_samples_too() {
    let x = npy("|u1", "(4, 2)", &[1, 2, 3, 4, 5, 6, 7, 8]);
    let y = npy("|u1", "(4,)", &[0, 1, 0, 1]);
    let users = npy("<U4096", &format!("({},)", ROWS >> 14), &[]);
    let bytes = zip(&[("x.npy", x, 0), ("y.npy", y, 0), ("u.npy", users, ROWS)]);
    let folder = folder(&[("a.npz", bytes)]);
    let source = Source::from(Npz::of(
        "a.npz".into(),
        named("x".into(), "y".into(), Some("u".into())),
        fifth(),
        Shaping::default(),
    ));
    refused(&source, &folder, "u.npy: expected 4 users, as many as");
}

#[test]
fn an_archive_that_is_consistent_costs_a_check_nothing_and_a_run_what_it_holds() {
    let rows = 1 << 20;
    let x = npy("|u1", &format!("({rows}, 4)"), &[]);
    let y = npy("|u1", &format!("({rows},)"), &[]);
    let bytes = zip(&[("x.npy", x, 4 * rows), ("y.npy", y, rows)]);
    let folder = folder(&[("a.npz", bytes)]);
    let source = Source::from(Npz::of(
        "a.npz".into(),
        named("x".into(), "y".into(), None),
        fifth(),
        Shaping::default(),
    ));
    for read in [
        &(|| drop(describe(&source, 1, folder.path()).unwrap())) as &dyn Fn(),
        &|| drop(inspect(&source, 1, folder.path()).unwrap()),
    ] {
        let ((), held) = most_held(read);
        assert!(held <= fair(&folder), "held {held} bytes");
    }
}

#[test]
fn an_archive_of_thousands_of_entries_weighs_what_its_directory_holds() {
    let names: Vec<String> = (0..4000).map(|n| format!("a{n}.npy")).collect();
    let entries: Vec<_> = names
        .iter()
        .map(|name| (name.as_str(), Vec::new(), 0))
        .collect();
    let folder = folder(&[("a.npz", zip(&entries))]);
    let source = Source::from(Npz::of(
        "a.npz".into(),
        named("x".into(), "y".into(), None),
        fifth(),
        Shaping::default(),
    ));
    refused(&source, &folder, "and 3980 more");
}

#[test]
fn a_file_of_an_array_that_claims_more_than_it_holds_is_refused() {
    let x = npy("<f4", "(4000000000, 2)", &[0; 64]);
    let y = npy("<i8", "(4,)", &[0; 32]);
    let folder = folder(&[("x.npy", x), ("y.npy", y)]);
    let source = Source::from(Npy::of(
        named("x.npy".into(), "y.npy".into(), None),
        fifth(),
        Shaping::default(),
    ));
    refused(&source, &folder, "x.npy: byte 128: expected at most");
}

#[test]
fn small_numbers_of_an_array_weigh_little() {
    let count = 1 << 18;
    let x = npy("|i1", &format!("({count}, 1)"), &vec![1; count]);
    let y = npy("|b1", &format!("({count},)"), &vec![1; count]);
    let folder = folder(&[("x.npy", x), ("y.npy", y)]);
    let source = Source::from(Npy::of(
        named("x.npy".into(), "y.npy".into(), None),
        fifth(),
        Shaping::default(),
    ));
    read(&source, &folder, fair(&folder));
}

fn idx_header(dims: &[u32]) -> Vec<u8> {
    let mut out = vec![0, 0, 8, dims.len() as u8];
    dims.iter().for_each(|d| out.extend(d.to_be_bytes()));
    out
}

fn idx() -> Source {
    Source::from(Idx {
        train_images: "x".into(),
        train_labels: "y".into(),
        test_images: "x".into(),
        test_labels: "y".into(),
        shape: None,
        classes: None,
        standardise: false,
    })
}

#[test]
fn packed_labels_that_claim_more_than_there_are_images_are_not_inflated() {
    let mut images = idx_header(&[2, 1, 1]);
    images.extend([1, 2]);
    let labels = gzipped(&idx_header(&[ROWS as u32]), ROWS);
    let folder = folder(&[("x", images), ("y", labels)]);
    refused(&idx(), &folder, "y: byte 4: expected 2 labels, as many as");
}

#[test]
fn packed_images_that_claim_more_than_there_are_labels_are_not_inflated() {
    let images = gzipped(&idx_header(&[ROWS as u32, 1, 1]), ROWS);
    let mut labels = idx_header(&[2]);
    labels.extend([0, 1]);
    let folder = folder(&[("x", images), ("y", labels)]);
    refused(&idx(), &folder, "y: byte 4: expected 16777216 labels");
}

#[test]
fn a_cifar_file_of_any_length_weighs_what_it_holds() {
    let records = vec![0; 3074 * 700];
    let folder = folder(&[("train.bin", records), ("test.bin", vec![0; 3074])]);
    let source = Source::from(Cifar100 {
        dir: "".into(),
        coarse: false,
    });
    read(&source, &folder, fair(&folder));
    fs::write(folder.path().join("test.bin"), vec![0; 3000]).unwrap();
    refused(&source, &folder, "whole records of 3074 bytes");
}

fn csv(text: Vec<u8>) -> (Source, TempDir) {
    let source = Source::from(Csv::of(
        "t.csv".into(),
        "y".into(),
        None,
        fifth(),
        Shaping::default(),
    ));
    (source, folder(&[("t.csv", text)]))
}

#[test]
fn a_header_of_one_long_name_is_cut_where_it_is_shown() {
    let (source, folder) = csv(vec![b'x'; 4 << 20]);
    refused(&source, &folder, "xxx…");
}

#[test]
fn a_header_of_millions_of_columns_is_refused() {
    let (source, folder) = csv(b"a,".repeat(4 << 20));
    refused(&source, &folder, "at most 1048576 fields");
    // As many as are allowed, and no label among them: a column takes an index beside its two bytes.
    let (source, folder) = csv(b"a,".repeat(1 << 19));
    for said in read(&source, &folder, 3 * fair(&folder)) {
        assert!(said.contains("expected a column \"y\""), "{said}");
    }
}

#[test]
fn a_quote_that_is_never_closed_weighs_what_it_holds() {
    let mut text = b"a,y\n1,\"".to_vec();
    text.extend(vec![b','; 900_000]);
    let (source, folder) = csv(text);
    refused(&source, &folder, "");
}

#[test]
fn a_table_of_short_lines_weighs_what_it_holds() {
    let mut text = b"a,y\n".to_vec();
    text.extend(b"1,0\n2,1\n".repeat(1 << 17));
    let (source, folder) = csv(text);
    assert_eq!(read(&source, &folder, fair(&folder)), [""; 3]);
    // Each label another name.
    let lines: String = (0..1 << 17).map(|n| format!("1,l{n}\n")).collect();
    let (source, folder) = csv(format!("a,y\n{lines}").into_bytes());
    read(&source, &folder, fair(&folder));
}

fn leaf(text: String) -> (Source, TempDir) {
    let source = Source::from(Leaf::of("l.json".into(), fifth(), Shaping::default()));
    (source, folder(&[("l.json", text.into_bytes())]))
}

#[test]
fn json_that_means_ill_weighs_what_it_holds() {
    let many = |what: &str| vec![what; 1 << 18].join(",");
    for text in [
        format!("{{\"users\": [{}]}}", many("\"\"")),
        format!("{{\"num_samples\": [{}]}}", many("1")),
        format!("{{\"user_data\": {{\"a\": {{\"x\": [{}]}}}}}}", many("1")),
        format!("{{\"user_data\": {{\"a\": {{\"y\": [{}]}}}}}}", many("1")),
        format!("{{\"user_data\": {{\"a\": {{\"x\": [[{}]]}}}}}}", many("1")),
        format!(
            "{{\"user_data\": {{\"a\": {{\"x\": [\"{}\"]}}}}}}",
            many("word")
        ),
        format!("{{\"{}\": 1}}", many("x")),
    ] {
        let (source, folder) = leaf(text);
        refused(&source, &folder, "l.json");
    }
}

/// Reads a trace of this text, and holds what that takes against its weight.
fn traced(name: &str, text: Vec<u8>, read: &dyn Fn(&Path) -> Option<String>) -> String {
    let folder = folder(&[(name, text)]);
    let path = folder.path().join(name);
    let (said, held) = most_held(|| read(&path));
    assert!(
        held <= fair(&folder),
        "held {held} bytes of {}: {said:?}",
        fair(&folder)
    );
    let said = said.unwrap_or_default();
    assert!(said.len() < 2000, "{} bytes said", said.len());
    said
}

#[test]
fn traces_weigh_what_they_hold() {
    let read = |path: &Path| read_trace(path).err().map(|error| error.to_string());
    let head = "client,start_s,end_s\n";
    let each: String = (0..1 << 16).map(|n| format!("{n},0,1\n")).collect();
    assert_eq!(
        traced("t.csv", format!("{head}{each}").into_bytes(), &read),
        ""
    );
    let one: String = (0..1 << 16)
        .map(|n| format!("0,{},{}\n", 2 * n, 2 * n + 1))
        .collect();
    assert_eq!(
        traced("t.csv", format!("{head}{one}").into_bytes(), &read),
        ""
    );
    for text in [
        vec![b'x'; 1 << 20],
        vec![b','; 1 << 20],
        vec![b'\n'; 1 << 20],
        format!("{head}{}", ",".repeat(1 << 20)).into_bytes(),
        format!("{head}{}", "\n".repeat(1 << 20)).into_bytes(),
    ] {
        assert!(!traced("t.csv", text, &read).is_empty());
    }
    let many = vec!["1"; 1 << 18].join(",");
    for text in [
        format!("{{\"a\": {{\"active\": [{many}], \"inactive\": [{many}], \"finish_time\": 5}}}}"),
        format!("{{\"a\": {{\"active\": [{many}]}}}}"),
        format!("{{\"{many}\": 1}}"),
    ] {
        assert!(!traced("t.json", text.into_bytes(), &read).is_empty());
    }
}

#[test]
fn capacity_traces_weigh_what_they_hold() {
    let read = |path: &Path| read_capacity(path).err().map(|error| error.to_string());
    let head = "computation,communication\n";
    let good = format!("{head}{}", "1,1\n".repeat(1 << 17));
    assert_eq!(traced("c.csv", good.into_bytes(), &read), "");
    for text in [
        vec![b'x'; 1 << 20],
        vec![b','; 1 << 20],
        format!("{head}{}", ",".repeat(1 << 20)).into_bytes(),
        format!("{head}{}", "\n".repeat(1 << 20)).into_bytes(),
    ] {
        assert!(!traced("c.csv", text, &read).is_empty());
    }
}

/// The whole way that a user goes: a check of a scenario that names such a file.
#[test]
fn a_scenario_with_a_hostile_file_names_the_file_and_the_field() {
    let x = npy("|u1", "(4, 2)", &[1, 2, 3, 4, 5, 6, 7, 8]);
    let y = npy("|u1", &format!("({ROWS},)"), &[]);
    let bytes = zip(&[("x.npy", x, 0), ("y.npy", y, ROWS)]);
    let folder = folder(&[("a.npz", bytes)]);
    let text = "(data: Npz(file: \"a.npz\", train: (x: \"x\", y: \"y\")), model: \"mlp\",
                 population: [(count: 2)])";
    let path = folder.path().join("s.ron");
    let (read, held) = most_held(|| Scenario::parse(text, &path, &[]));
    let problems = read.unwrap_err();
    assert_eq!(problems.iter().next().unwrap().path, "data.train.y");
    let said = problems.to_string();
    assert!(said.contains("a.npz/y.npy: expected 4 labels"), "{said}");
    assert!(held <= fair(&folder), "held {held} bytes");
}

/// Reads a file of weights of these bytes, and holds what that takes against its weight.
fn weighed(bytes: Vec<u8>) -> String {
    let folder = folder(&[("w.safetensors", bytes)]);
    let path = folder.path().join("w.safetensors");
    let (said, held) = most_held(|| WeightsFile::open(&path).err().map(|e| e.to_string()));
    let fair = fair(&folder);
    assert!(held <= fair, "held {held} bytes of {fair}: {said:?}");
    let said = said.unwrap_or_default();
    assert!(said.len() < 2000, "{} bytes said", said.len());
    said
}

#[test]
fn files_of_weights_weigh_what_they_hold() {
    let file = |header: &str, length: u64| {
        let mut bytes = length.to_le_bytes().to_vec();
        bytes.extend(header.as_bytes());
        bytes
    };
    let whole = |header: &str| file(header, header.len() as u64);
    // A header that claims to be longer than the file, up to all that a number can say.
    for length in [100, 100_000_000, 1 << 40, u64::MAX] {
        let said = weighed(file("{}", length));
        assert!(
            said.contains("expected a header of at most 2 bytes"),
            "{said}"
        );
    }
    // Values that the file has not.
    let claims =
        "{\"a\":{\"dtype\":\"F32\",\"shape\":[4000000000],\"data_offsets\":[0,16000000000]}}";
    let said = weighed(whole(claims));
    assert!(said.contains("the file has 0"), "{said}");
    // Very many names, very long ones, very many dimensions, and nothing but brackets.
    let empty = "{\"dtype\":\"F32\",\"shape\":[0],\"data_offsets\":[0,0]}";
    let many: Vec<String> = (0..1 << 15).map(|n| format!("\"{n}\":{empty}")).collect();
    assert_eq!(weighed(whole(&format!("{{{}}}", many.join(",")))), "");
    let twice = vec![format!("\"a\":{empty}"); 1 << 15].join(",");
    let said = weighed(whole(&format!("{{{twice}}}")));
    assert!(said.contains("names \"a\" twice"), "{said}");
    let long = "x".repeat(1 << 20);
    assert_eq!(weighed(whole(&format!("{{\"{long}\":{empty}}}"))), "");
    let ones = vec!["1"; 1 << 18].join(",");
    let deep = format!("{{\"a\":{{\"dtype\":\"F32\",\"shape\":[{ones}],\"data_offsets\":[0,4]}}}}");
    assert!(weighed(whole(&deep)).contains("a shape of at most 64 dimensions"));
    for text in [
        vec!["[1]"; 1 << 18].join(","),
        "[".repeat(1 << 20),
        "{\"a\":".repeat(1 << 18),
    ] {
        assert!(weighed(whole(&text)).contains("expected JSON"));
    }
    let notes: Vec<String> = (0..1 << 15).map(|n| format!("\"{n}\":\"note\"")).collect();
    let notes = format!("{{\"__metadata__\":{{{}}}}}", notes.join(","));
    assert_eq!(weighed(whole(&notes)), "");
}

/// The whole way that a user goes, for a file whose names are longer than anybody reads.
#[test]
fn what_is_said_of_a_hostile_file_of_weights_is_short() {
    let long = "layers.".repeat(1 << 12);
    let header =
        format!("{{\"{long}\":{{\"dtype\":\"F32\",\"shape\":[0],\"data_offsets\":[0,0]}}}}");
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend(header.as_bytes());
    let folder = folder(&[("w.safetensors", bytes)]);
    let text = "(data: Digits, model: [Flatten, Dense(10)], init: File(\"w.safetensors\"),
                 population: [(count: 2)])";
    let path = folder.path().join("s.ron");
    let problems = Scenario::parse(text, &path, &[]).unwrap_err();
    assert_eq!(problems.iter().count(), 3);
    let said = problems.to_string();
    assert!(said.len() < 4000, "{} bytes said", said.len());
}
