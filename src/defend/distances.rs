//! Scalar products and distances of all pairs of vectors of a cohort, from one matrix product.
//!
//! The squared distances are `‖x − y‖² = ‖x‖² + ‖y‖² − 2 x·y`, with all scalar products from `G = X
//! Xᵀ`. The product is computed in double precision, so that the difference is still accurate for
//! vectors that are nearly equal.

/// The number of columns in one step of the matrix product: a block with a hundred rows of so many
/// columns fits the second-level cache.
const BLOCK: usize = 1024;

/// A symmetric matrix with one value for each pair of vectors, row by row.
#[derive(Debug, Clone, PartialEq)]
pub struct Pairs {
    n: usize,
    values: Vec<f64>,
}

impl Pairs {
    /// The value of the pair of vectors `i` and `j`; 0 if there is no such pair.
    pub fn at(&self, i: usize, j: usize) -> f64 {
        self.values.get(i * self.n + j).copied().unwrap_or(0.0)
    }

    /// The values of the pairs of vector `i` with every vector, including itself.
    pub fn row(&self, i: usize) -> &[f64] {
        let start = i * self.n;
        self.values.get(start..start + self.n).unwrap_or_default()
    }

    /// The number of vectors.
    pub const fn len(&self) -> usize {
        self.n
    }
}

/// The scalar product `x·y` of every pair of vectors, which must have one length.
pub fn products(vectors: &[&[f32]]) -> Pairs {
    let n = vectors.len();
    let length = vectors.iter().map(|vector| vector.len()).min().unwrap_or(0);
    let mut values = vec![0.0f64; n * n];
    let mut block = vec![0.0f64; n * BLOCK.min(length)];
    let mut start = 0;
    while start < length {
        let width = BLOCK.min(length - start);
        for (row, vector) in block.chunks_exact_mut(width).zip(vectors) {
            let part = &vector[start..start + width];
            row.iter_mut()
                .zip(part)
                .for_each(|(out, value)| *out = f64::from(*value));
        }
        // SAFETY: `block` holds n rows of `width` values each (its length is n times at least that)
        // and is read as itself and, strides exchanged, as its transpose; `values` is n × n and apart
        // from it.
        unsafe {
            matrixmultiply::dgemm(
                n,
                width,
                n,
                1.0,
                block.as_ptr(),
                width as isize,
                1,
                block.as_ptr(),
                1,
                width as isize,
                1.0,
                values.as_mut_ptr(),
                n as isize,
                1,
            );
        }
        start += width;
    }
    Pairs { n, values }
}

/// The squared distance `‖x − y‖²` of every pair of vectors, which must have one length.
pub fn distances(vectors: &[&[f32]]) -> Pairs {
    let mut pairs = products(vectors);
    let n = pairs.n;
    let norms: Vec<f64> = (0..n).map(|i| pairs.at(i, i)).collect();
    for (i, row) in pairs.values.chunks_exact_mut(n.max(1)).enumerate() {
        for (j, value) in row.iter_mut().enumerate() {
            *value = if i == j {
                0.0
            } else {
                (norms[i] + norms[j] - 2.0 * *value).max(0.0)
            };
        }
    }
    // Rounding could make the two halves of the matrix differ, so one half is copied to the other.
    for i in 0..n {
        for j in 0..i {
            pairs.values[i * n + j] = pairs.values[j * n + i];
        }
    }
    pairs
}

/// The floating-point operations of [`products`] or [`distances`] for `n` vectors of `d` values.
pub const fn flops(n: u64, d: u64) -> u64 {
    n.saturating_mul(n).saturating_mul(d).saturating_mul(2)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn distances_are_those_of_pairs_taken_one_by_one(
            n in 1usize..7, length in prop_oneof![1usize..20, 1020usize..2060], seed in 0u32..1000,
        ) {
            let vectors: Vec<Vec<f32>> = (0..n as u32)
                .map(|i| (0..length as u32)
                    .map(|j| ((i * 7919 + j * 104_729 + seed * 31) % 2003) as f32 / 100.0 - 10.0)
                    .collect())
                .collect();
            let rows: Vec<&[f32]> = vectors.iter().map(Vec::as_slice).collect();
            let got = distances(&rows);
            for i in 0..n {
                for j in 0..n {
                    let exact: f64 = rows[i].iter().zip(rows[j])
                        .map(|(a, b)| (f64::from(*a) - f64::from(*b)).powi(2)).sum();
                    prop_assert!((got.at(i, j) - exact).abs() <= 1e-9 * (1.0 + exact));
                }
            }
        }
    }

    #[test]
    fn vectors_that_are_almost_the_same_are_almost_no_distance_apart() {
        let one = vec![1000.0f32; 3000];
        let mut other = one.clone();
        other[17] += 0.01;
        let got = distances(&[&one, &other]).at(0, 1);
        let exact = f64::from(other[17] - 1000.0).powi(2);
        assert!((got - exact).abs() < 1e-5, "{got} against {exact}");
    }
}
