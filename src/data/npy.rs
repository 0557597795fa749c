//! NumPy's `.npy` format, versions 1.0 to 3.0: one array of numbers.
//!
//! The reader accepts unsigned and signed integers of 1 to 8 bytes, booleans, and floats of 2, 4 and 8
//! bytes, of either byte order, in C or Fortran order (which is turned to C order). Labels and users
//! may also be texts of fixed length (`U`, `S`). The format is described in NumPy enhancement proposal
//! 1 and `numpy.lib.format`.

mod element;
mod header;

pub(super) use element::Cell;
use element::{Element, Kind};

use super::dataset::Values;
use super::error::DataError;
use super::input::{Flow, Input};
use super::magic;

/// The longest header in bytes; NumPy itself warns beyond 10,000.
const MAX_HEADER: u32 = 1 << 16;

/// One array.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Array {
    /// The shape `[n, ...]`, without a dimension 0.
    pub shape: Vec<usize>,
    pub values: Values,
}

/// The content of a header.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Header {
    pub shape: Vec<usize>,
    element: Element,
    fortran: bool,
    count: usize,
}

impl Header {
    /// Whether [`read`] keeps the values as bytes.
    pub fn is_bytes(&self) -> bool {
        self.element.kind == Kind::Unsigned && self.element.size == 1
    }

    /// Whether the elements are texts.
    pub fn is_text(&self) -> bool {
        self.element.is_text()
    }

    /// The number of elements.
    pub fn count(&self) -> usize {
        self.count
    }

    /// The number of rows: the first dimension.
    pub fn rows(&self) -> usize {
        self.shape.first().copied().unwrap_or(0)
    }

    /// Whether the array is a list, in any orientation: at most one dimension is above 1.
    pub fn is_list(&self) -> bool {
        self.shape.iter().copied().max() == Some(self.count)
    }

    /// The number of bytes of all elements.
    fn bytes(&self) -> u64 {
        (self.count as u64).saturating_mul(self.element.size as u64)
    }

    /// The index of the element at position `place` of the file, as NumPy writes it.
    fn index(&self, place: usize) -> String {
        let mut left = place;
        let mut index = vec![0; self.shape.len()];
        let mut fill = |d: usize| {
            index[d] = left % self.shape[d];
            left /= self.shape[d];
        };
        match self.fortran {
            true => (0..self.shape.len()).for_each(&mut fill),
            false => (0..self.shape.len()).rev().for_each(&mut fill),
        }
        format!("{index:?}")
    }
}

/// Reads the header and checks it against the file's size.
pub(super) fn header(input: &mut Input<'_>) -> Result<Header, DataError> {
    let magic = input.array::<6>("the .npy signature")?;
    if &magic != b"\x93NUMPY" {
        let expected = "a .npy file, which begins with \"\\x93NUMPY\"";
        return Err(match magic::kind(&magic) {
            Some(kind) => input.wrong(expected, kind.what).advise(kind.remedy),
            None => input.wrong(expected, format!("{magic:02x?}")),
        });
    }
    let [major, minor] = input.array::<2>("the .npy version")?;
    let length = match major {
        1 => u32::from(u16::from_le_bytes(input.array::<2>("the header's length")?)),
        2 | 3 => u32::from_le_bytes(input.array::<4>("the header's length")?),
        _ => return Err(input.wrong(".npy version 1.0, 2.0 or 3.0", format!("{major}.{minor}"))),
    };
    if length > MAX_HEADER {
        return Err(input.wrong(
            format!("a header of at most {MAX_HEADER} bytes"),
            format!("{length}"),
        ));
    }
    let text = input.bytes(u64::from(length), "the header")?;
    let Ok(text) = std::str::from_utf8(&text) else {
        return Err(input.wrong("a header in UTF-8", "other bytes"));
    };
    let header = header::parse(text).map_err(|(expected, found)| {
        let error = input.wrong(expected, found);
        match text.contains("'|O'") {
            true => error.advise(
                "an array of Python objects: make it one of numbers or texts, with .astype(...)",
            ),
            false => error,
        }
    })?;
    input.expect_rest(header.bytes(), "array")?;
    Ok(header)
}

/// Reads an array of features: bytes stay bytes, and every other type becomes `f32`.
pub(super) fn read(mut input: Input<'_>) -> Result<Array, DataError> {
    let header = header(&mut input)?;
    let values = if header.is_bytes() {
        Values::U8(in_c_order(&header, input.bytes(header.bytes(), "array")?))
    } else {
        let mut values = Vec::new();
        if input.is_exact() {
            // The file has at least one byte for each element, so this reserves no more than its size
            // justifies.
            values.reserve_exact(header.count);
        }
        features(&mut input, &header, |value| values.push(value))?;
        Values::F32(in_c_order(&header, values))
    };
    input.finish()?;
    Ok(Array {
        shape: header.shape,
        values,
    })
}

/// Reads an array of features as [`read`] does, without keeping it.
pub(super) fn scan(mut input: Input<'_>) -> Result<(), DataError> {
    let header = header(&mut input)?;
    match header.is_bytes() {
        true => input.pieces(header.bytes(), 1, "array", |_| Ok(Flow::On))?,
        false => features(&mut input, &header, |_| ())?,
    }
    input.finish()
}

/// Passes the features to `each` in the order of the file; all of them are finite.
fn features(
    input: &mut Input<'_>,
    header: &Header,
    mut each: impl FnMut(f32),
) -> Result<(), DataError> {
    let Header { element, .. } = header;
    if element.is_text() {
        return Err(input.wrong("numbers as features", "texts"));
    }
    let (mut place, mut bad) = (0, None);
    input.pieces(header.bytes(), element.size, "array", |piece| {
        for bytes in piece.chunks_exact(element.size) {
            let value = element.feature(bytes);
            if !value.is_finite() && bad.is_none() {
                bad = Some((place, value));
            }
            place += 1;
            each(value);
        }
        match bad {
            Some(_) => Ok(Flow::Enough),
            None => Ok(Flow::On),
        }
    })?;
    match bad {
        Some((place, value)) => {
            let what = match value.is_nan() {
                true => "NaN",
                false => "infinity, or a number beyond single precision,",
            };
            let index = header.index(place);
            let error = input.wrong("finite features", format!("{what} at {index}"));
            Err(error.advise("drop or fill such samples, for example with numpy.nan_to_num"))
        }
        None => Ok(()),
    }
}

/// Passes the elements of an array of labels or users to `each`, with their positions; the array has at
/// most one dimension above 1. An error of `each`, as (expected, found), is returned with the file.
pub(super) fn cells(
    mut input: Input<'_>,
    what: &str,
    mut each: impl FnMut(usize, Cell) -> Result<(), (String, String)>,
) -> Result<(), DataError> {
    let header = header(&mut input)?;
    if !header.is_list() {
        let expected = format!("one dimension for {what}");
        return Err(input.wrong(expected, format!("shape {:?}", header.shape)));
    }
    let element = header.element;
    let (mut place, mut wrong) = (0, None);
    input.pieces(header.bytes(), element.size, what, |piece| {
        for bytes in piece.chunks_exact(element.size) {
            if let Err(problem) = each(place, element.cell(bytes)) {
                wrong = Some(problem);
                return Ok(Flow::Enough);
            }
            place += 1;
        }
        Ok(Flow::On)
    })?;
    match wrong {
        Some((expected, found)) => Err(input.wrong(expected, found)),
        None => input.finish(),
    }
}

/// Turns column-major values into row-major ones.
fn in_c_order<T: Copy>(header: &Header, values: Vec<T>) -> Vec<T> {
    let shape = &header.shape;
    if !header.fortran || shape.len() < 2 {
        return values;
    }
    // The stride of dimension d in the file is the product of the dimensions before it.
    let strides: Vec<usize> = shape
        .iter()
        .scan(1, |product, d| {
            let stride = *product;
            *product *= d;
            Some(stride)
        })
        .collect();
    let mut index = vec![0; shape.len()];
    let mut from = 0;
    let mut out = Vec::with_capacity(values.len());
    for _ in 0..values.len() {
        out.push(values[from]);
        for d in (0..shape.len()).rev() {
            index[d] += 1;
            from += strides[d];
            if index[d] < shape[d] {
                break;
            }
            from -= strides[d] * shape[d];
            index[d] = 0;
        }
    }
    out
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use std::path::Path;

    /// A version 1.0 file.
    pub fn file(descr: &str, fortran: &str, shape: &str, body: &[u8]) -> Vec<u8> {
        let header =
            format!("{{'descr': '{descr}', 'fortran_order': {fortran}, 'shape': {shape}, }}");
        let padded = format!("{header:<117}\n");
        let mut out = b"\x93NUMPY\x01\x00".to_vec();
        out.extend((padded.len() as u16).to_le_bytes());
        out.extend(padded.as_bytes());
        out.extend(body);
        out
    }

    pub fn parse(bytes: &[u8]) -> Result<Array, DataError> {
        read(Input::plain(Path::new("a.npy"), bytes, bytes.len() as u64))
    }

    /// The whole numbers of an array of labels.
    pub fn whole(bytes: &[u8]) -> Result<Vec<i64>, DataError> {
        let mut all = Vec::new();
        let input = Input::plain(Path::new("a.npy"), bytes, bytes.len() as u64);
        cells(input, "labels", |at, cell| match cell {
            Cell::Whole(number) => {
                all.push(number);
                Ok(())
            }
            _ => Err(("whole numbers".into(), format!("another at {at}"))),
        })?;
        Ok(all)
    }

    #[test]
    fn every_type_and_byte_order_gives_the_same_numbers() {
        let wanted = Values::F32(vec![1.0, 100.0]);
        for (descr, body) in [
            ("<u2", vec![1, 0, 100, 0]),
            (">u2", vec![0, 1, 0, 100]),
            ("|i1", vec![1, 100]),
            (
                "<i4",
                [1i32, 100].iter().flat_map(|x| x.to_le_bytes()).collect(),
            ),
            (
                ">i8",
                [1i64, 100].iter().flat_map(|x| x.to_be_bytes()).collect(),
            ),
            (
                "<u8",
                [1u64, 100].iter().flat_map(|x| x.to_le_bytes()).collect(),
            ),
            ("<f2", vec![0x00, 0x3c, 0x40, 0x56]),
            (">f2", vec![0x3c, 0x00, 0x56, 0x40]),
            (
                "<f4",
                [1f32, 100.0].iter().flat_map(|x| x.to_le_bytes()).collect(),
            ),
            (
                ">f4",
                [1f32, 100.0].iter().flat_map(|x| x.to_be_bytes()).collect(),
            ),
            (
                "<f8",
                [1f64, 100.0].iter().flat_map(|x| x.to_le_bytes()).collect(),
            ),
            (
                ">f8",
                [1f64, 100.0].iter().flat_map(|x| x.to_be_bytes()).collect(),
            ),
        ] {
            let bytes = file(descr, "False", "(2,)", &body);
            assert_eq!(parse(&bytes).unwrap().values, wanted, "{descr}");
            assert_eq!(whole(&bytes).unwrap(), [1, 100], "{descr}");
        }
        assert_eq!(
            parse(&file("|u1", "False", "(2,)", &[1, 100]))
                .unwrap()
                .values,
            Values::U8(vec![1, 100])
        );
        assert_eq!(
            whole(&file("|i1", "False", "(2, 1)", &[255, 128])).unwrap(),
            [-1, -128]
        );
    }

    #[test]
    fn versions_two_and_three_have_a_longer_length() {
        let one = file("|u1", "False", "(2,)", &[1, 2]);
        for version in [2, 3] {
            let mut bytes = b"\x93NUMPY".to_vec();
            bytes.extend([version, 0, one[8], one[9], 0, 0]);
            bytes.extend(&one[10..]);
            assert_eq!(parse(&bytes).unwrap(), parse(&one).unwrap());
        }
    }

    #[test]
    fn fortran_order_is_turned_to_c_order() {
        // The element at (i, j, k) holds 100 i + 10 j + k; written first index fastest.
        let mut body = Vec::new();
        for k in 0..2u8 {
            for j in 0..3u8 {
                for i in 0..2u8 {
                    body.push(100 * i + 10 * j + k);
                }
            }
        }
        let array = parse(&file("|u1", "True", "(2, 3, 2)", &body)).unwrap();
        let wanted = vec![0, 1, 10, 11, 20, 21, 100, 101, 110, 111, 120, 121];
        assert_eq!(array.values, Values::U8(wanted));
    }

    #[test]
    fn a_lying_header_is_an_error() {
        let error = |descr, fortran, shape| {
            parse(&file(descr, fortran, shape, &[0; 8]))
                .unwrap_err()
                .to_string()
        };
        assert!(error("<f4", "False", "(3,)")
            .contains("byte 128: expected 12 bytes of array, found 8 bytes"));
        assert!(
            error("<f4", "False", "(1,)").contains("4 bytes of array and no more, found 8 bytes")
        );
        assert!(error("<f8", "False", "(4294967296, 4294967296)").contains("none of them 0"));
        assert!(error("<f8", "False", "(18446744073709551615,)").contains("at most"));
        assert!(error("<f8", "False", "(99999999999999999999,)").contains("a dimension"));
        assert!(error("<f8", "False", "(0,)").contains("none of them 0"));
        assert!(error("<f8", "False", "()").contains("none of them 0"));
        assert!(error("<c8", "False", "(1,)").contains("found <c8"));
        assert!(error("<U2", "False", "(1,)").contains("numbers as features, found texts"));
        assert!(error("|O", "False", "(1,)").contains("found |O; an array of Python objects"));
        assert!(error("<f8", "Maybe", "(1,)").contains("True or False"));
        let mut long = b"\x93NUMPY\x02\x00".to_vec();
        long.extend(u32::MAX.to_le_bytes());
        assert!(parse(&long)
            .unwrap_err()
            .to_string()
            .contains("at most 65536 bytes"));
    }

    #[test]
    fn a_feature_that_is_not_finite_is_reported_with_row_and_column() {
        let body = [1f32, 2.0, 3.0, 4.0, f32::NAN, 6.0]
            .map(f32::to_le_bytes)
            .concat();
        let said = |fortran, shape| {
            let bytes = file("<f4", fortran, shape, &body);
            let input = Input::plain(Path::new("a.npy"), &bytes[..], bytes.len() as u64);
            let scanned = scan(input).unwrap_err();
            assert_eq!(scanned, parse(&bytes).unwrap_err());
            scanned.to_string()
        };
        assert!(said("False", "(3, 2)").contains("found NaN at [2, 0]"));
        assert!(said("True", "(3, 2)").contains("found NaN at [1, 1]"));
        let large = file("<f8", "False", "(1,)", &1e300f64.to_le_bytes());
        let error = parse(&large).unwrap_err().to_string();
        assert!(error.contains("beyond single precision, at [0]"), "{error}");
    }

    #[test]
    fn half_precision_features_are_read() {
        let array = parse(&file("<f2", "False", "(2,)", &[0x00, 0x3c, 0x00, 0xc0])).unwrap();
        assert_eq!(array.values, Values::F32(vec![1.0, -2.0]));
    }

    #[test]
    fn labels_must_be_whole_and_flat() {
        let halves: Vec<u8> = [1f32, 1.5].iter().flat_map(|x| x.to_le_bytes()).collect();
        let error = whole(&file("<f4", "False", "(2,)", &halves))
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("whole numbers, found another at 1"),
            "{error}"
        );
        let error = whole(&file("|u1", "False", "(2, 2)", &[0; 4]))
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("one dimension for labels, found shape [2, 2]"),
            "{error}"
        );
    }
}
