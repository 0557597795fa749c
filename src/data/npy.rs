//! NumPy's `.npy` format, versions 1.0 to 3.0: one array of numbers.
//!
//! Read: unsigned and signed integers of 1 to 8 bytes, booleans, floats of 4 and 8 bytes, of either
//! byte order, in C or Fortran order (which is turned to C order). Format: NumPy enhancement
//! proposal 1 and `numpy.lib.format`.

mod header;

use super::dataset::Values;
use super::error::DataError;
use super::input::Input;

/// NumPy itself warns beyond 10,000.
const MAX_HEADER: u32 = 1 << 16;

/// One array.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Array {
    /// `[n, ...]`, no dimension 0.
    pub shape: Vec<usize>,
    pub values: Values,
}

/// What a header says.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Header {
    pub shape: Vec<usize>,
    element: Element,
    fortran: bool,
    count: usize,
}

#[derive(Debug, Clone, Copy, PartialEq)]
struct Element {
    kind: Kind,
    size: usize,
    big_endian: bool,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Kind {
    Unsigned,
    Signed,
    Float,
}

impl Header {
    /// Whether [`read`] keeps the values as bytes.
    pub fn is_bytes(&self) -> bool {
        self.element.kind == Kind::Unsigned && self.element.size == 1
    }
}

impl Element {
    /// From a type string such as `<f4`, `|u1`, `>i8`.
    fn parse(text: &str) -> Option<Self> {
        let mut chars = text.chars();
        let big_endian = match chars.next()? {
            '>' => true,
            '<' | '|' => false,
            // '=' is native order, which a file cannot mean.
            _ => return None,
        };
        let (kind, size) = match chars.as_str() {
            "b1" | "u1" => (Kind::Unsigned, 1),
            "u2" => (Kind::Unsigned, 2),
            "u4" => (Kind::Unsigned, 4),
            "u8" => (Kind::Unsigned, 8),
            "i1" => (Kind::Signed, 1),
            "i2" => (Kind::Signed, 2),
            "i4" => (Kind::Signed, 4),
            "i8" => (Kind::Signed, 8),
            "f4" => (Kind::Float, 4),
            "f8" => (Kind::Float, 8),
            _ => return None,
        };
        Some(Self {
            kind,
            size,
            big_endian,
        })
    }

    /// The eight low bytes of one element, most significant first, zero-padded in front.
    fn word(self, bytes: &[u8]) -> u64 {
        let push = |word: u64, byte: &u8| word << 8 | u64::from(*byte);
        match self.big_endian {
            true => bytes.iter().fold(0, push),
            false => bytes.iter().rev().fold(0, push),
        }
    }

    fn signed(self, bytes: &[u8]) -> i64 {
        let unused = 64 - 8 * self.size as u32;
        ((self.word(bytes) << unused) as i64) >> unused
    }

    fn float(self, bytes: &[u8]) -> f64 {
        match self.size {
            4 => f64::from(f32::from_bits(self.word(bytes) as u32)),
            _ => f64::from_bits(self.word(bytes)),
        }
    }

    /// As a feature.
    fn feature(self, bytes: &[u8]) -> f32 {
        match self.kind {
            Kind::Unsigned => self.word(bytes) as f32,
            Kind::Signed => self.signed(bytes) as f32,
            Kind::Float => self.float(bytes) as f32,
        }
    }

    /// As a whole number, if it is one.
    fn whole(self, bytes: &[u8]) -> Option<i64> {
        match self.kind {
            Kind::Unsigned => i64::try_from(self.word(bytes)).ok(),
            Kind::Signed => Some(self.signed(bytes)),
            Kind::Float => {
                let x = self.float(bytes);
                // Beyond 2^53 a double no longer tells neighbouring integers apart.
                (libm::trunc(x) == x && libm::fabs(x) <= 9_007_199_254_740_992.0)
                    .then_some(x as i64)
            }
        }
    }
}

/// Reads the header and holds it against the file's size.
pub(super) fn header(input: &mut Input<'_>) -> Result<Header, DataError> {
    let magic = input.array::<6>("the .npy signature")?;
    if &magic != b"\x93NUMPY" {
        return Err(input.wrong(
            "a .npy file, which begins with \"\\x93NUMPY\"",
            format!("{magic:02x?}"),
        ));
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
    let header = header::parse(text).map_err(|(expected, found)| input.wrong(expected, found))?;
    let bytes = (header.count as u64).saturating_mul(header.element.size as u64);
    input.expect_rest(bytes, "array")?;
    Ok(header)
}

/// Reads an array of features: bytes stay bytes, every other type becomes `f32`.
pub(super) fn read(mut input: Input<'_>) -> Result<Array, DataError> {
    let header = header(&mut input)?;
    let Header { element, count, .. } = header;
    let bytes = (count * element.size) as u64;
    let values = if header.is_bytes() {
        Values::U8(in_c_order(&header, input.bytes(bytes, "array")?))
    } else {
        let mut values = Vec::new();
        input.pieces(bytes, "array", |piece| {
            values.extend(
                piece
                    .chunks_exact(element.size)
                    .map(|bytes| element.feature(bytes)),
            );
            Ok(())
        })?;
        Values::F32(in_c_order(&header, values))
    };
    input.finish()?;
    Ok(Array {
        shape: header.shape,
        values,
    })
}

/// Reads labels or user ids: an array with one dimension above 1 at most, of whole numbers.
pub(super) fn read_whole(mut input: Input<'_>, what: &str) -> Result<Vec<i64>, DataError> {
    let header = header(&mut input)?;
    let longest = header.shape.iter().copied().max().unwrap_or(0);
    if longest != header.count {
        let expected = format!("one dimension for {what}");
        return Err(input.wrong(expected, format!("shape {:?}", header.shape)));
    }
    let element = header.element;
    let mut values = Vec::new();
    let mut bad = None;
    let bytes = (header.count * element.size) as u64;
    input.pieces(bytes, what, |piece| {
        for bytes in piece.chunks_exact(element.size) {
            match element.whole(bytes) {
                Some(value) => values.push(value),
                None => bad = bad.or(Some(values.len())),
            }
        }
        Ok(())
    })?;
    if let Some(at) = bad {
        return Err(input.wrong(
            format!("whole numbers as {what}"),
            format!("another at element {at}"),
        ));
    }
    input.finish()?;
    Ok(values)
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

    fn whole(bytes: &[u8]) -> Result<Vec<i64>, DataError> {
        read_whole(
            Input::plain(Path::new("a.npy"), bytes, bytes.len() as u64),
            "labels",
        )
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
        assert!(error("<f2", "False", "(4,)").contains("found <f2"));
        assert!(error("|O", "False", "(1,)").contains("found |O"));
        assert!(error("<f8", "Maybe", "(1,)").contains("True or False"));
        let mut long = b"\x93NUMPY\x02\x00".to_vec();
        long.extend(u32::MAX.to_le_bytes());
        assert!(parse(&long)
            .unwrap_err()
            .to_string()
            .contains("at most 65536 bytes"));
    }

    #[test]
    fn labels_must_be_whole_and_flat() {
        let halves: Vec<u8> = [1f32, 1.5].iter().flat_map(|x| x.to_le_bytes()).collect();
        let error = whole(&file("<f4", "False", "(2,)", &halves))
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("whole numbers as labels, found another at element 1"),
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
