//! Recognises, by its first bytes, a file that is of another kind than it should be.

/// A kind of file, with advice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Kind {
    /// The kind, with its article.
    pub what: &'static str,
    /// What the user can do.
    pub remedy: &'static str,
}

const UNPACK: &str = "unpack it first";
const AS_CSV: &str = "save it as CSV, with a header line, commas and UTF-8";

/// The first bytes of each kind, its name, and advice. `Csv`, `Npy` and so on are the sources that read
/// it.
const KINDS: &[(&[u8], &str, &str)] = &[
    (b"\x1f\x8b", "a gzip file", "unpack it first (gunzip)"),
    (
        b"PAR1",
        "a Parquet file",
        "write it as CSV: pandas.read_parquet(...).to_csv(..., index=False)",
    ),
    (
        b"ARROW1",
        "an Arrow file",
        "write it as CSV: pandas.read_feather(...).to_csv(..., index=False)",
    ),
    (
        b"FEA1",
        "a Feather file",
        "write it as CSV: pandas.read_feather(...).to_csv(..., index=False)",
    ),
    (
        b"\x89HDF\r\n\x1a\n",
        "an HDF5 file",
        "write its arrays with numpy.savez and read them as Npz(...)",
    ),
    (
        b"\x93NUMPY",
        "a NumPy array (.npy)",
        "read it as Npy(train: (x: ..., y: ...))",
    ),
    (b"\xd0\xcf\x11\xe0", "an old Excel workbook (.xls)", AS_CSV),
    (b"\x28\xb5\x2f\xfd", "a zstd file", UNPACK),
    (b"BZh", "a bzip2 file", UNPACK),
    (b"\xfd7zXZ", "an xz file", UNPACK),
    (b"7z\xbc\xaf", "a 7z archive", UNPACK),
    (b"SQLite format 3", "an SQLite database", AS_CSV),
    (
        b"\x89PNG",
        "a PNG image",
        "write images as arrays: Npz(...)",
    ),
    (
        b"\xff\xd8\xff",
        "a JPEG image",
        "write images as arrays: Npz(...)",
    ),
    (b"%PDF", "a PDF document", ""),
    (
        b"\x00\x00\x08",
        "an IDX file",
        "read it as Idx(train_images: ..., train_labels: ...)",
    ),
    (b"\xff\xfe", "text in UTF-16", "save it as UTF-8"),
    (b"\xfe\xff", "text in UTF-16", "save it as UTF-8"),
    (
        b"version https://git-lfs",
        "a pointer of Git LFS, not the file itself",
        "fetch the file with git lfs pull",
    ),
    (
        b"<!DOCTYPE",
        "a web page",
        "the download went wrong: fetch the file itself",
    ),
    (
        b"<html",
        "a web page",
        "the download went wrong: fetch the file itself",
    ),
    (b"\x80\x02", "a Python pickle", PICKLE),
    (b"\x80\x03", "a Python pickle", PICKLE),
    (b"\x80\x04", "a Python pickle", PICKLE),
    (b"\x80\x05", "a Python pickle", PICKLE),
];
const PICKLE: &str = "write what it holds with numpy.savez or as CSV";

/// The kind of a file that begins with `start`, if it is a kind that no reader of tables can read as
/// text.
pub(super) fn kind(start: &[u8]) -> Option<Kind> {
    if start.starts_with(b"PK\x03\x04") {
        return Some(zip(start));
    }
    let known = KINDS.iter().find(|(begin, ..)| start.starts_with(begin));
    known.map(|(_, what, remedy)| Kind { what, remedy })
}

/// The kind of zip archive, as far as its first entry shows.
fn zip(start: &[u8]) -> Kind {
    let has = |needle: &[u8]| start.windows(needle.len()).any(|window| window == needle);
    let office = [&b"[Content_Types].xml"[..], b"_rels/", b"xl/"];
    if office.iter().any(|name| has(name)) {
        return Kind {
            what: "an Excel workbook (.xlsx)",
            remedy: AS_CSV,
        };
    }
    if has(b".npy") {
        return Kind {
            what: "a NumPy archive (.npz)",
            remedy: "read it as Npz(file: ..., train: (x: ..., y: ...))",
        };
    }
    Kind {
        what: "a zip archive",
        remedy: UNPACK,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_named_as_what_they_are() {
        let what = |start: &[u8]| kind(start).map(|kind| kind.what);
        assert_eq!(what(b"\x1f\x8b\x08\x00"), Some("a gzip file"));
        assert_eq!(what(b"PAR1\x15\x04"), Some("a Parquet file"));
        assert_eq!(what(b"\x93NUMPY\x01"), Some("a NumPy array (.npy)"));
        assert_eq!(
            what(b"PK\x03\x04......x.npy"),
            Some("a NumPy archive (.npz)")
        );
        assert_eq!(
            what(b"PK\x03\x04....[Content_Types].xml"),
            Some("an Excel workbook (.xlsx)")
        );
        assert_eq!(what(b"PK\x03\x04......a.csv"), Some("a zip archive"));
        assert_eq!(what(b"a,b,label\n1,2,0\n"), None);
        assert_eq!(what(b""), None);
    }
}
