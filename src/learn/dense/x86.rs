//! The kernels for processors with AVX2 and FMA.
//!
//! The kernels use pointers, since a bounds check for each row would cost as much as the row, and plain
//! loops, since a closure is inlined only where the whole crate is optimised at once. The
//! conditions that each kernel relies on are under its `# Safety`; the parent module checks the
//! sizes of all slices once in each call.

#![allow(
    clippy::needless_range_loop,
    reason = "iterators over arrays are calls that some builds do not inline"
)]

use super::Kernel;
use std::arch::x86_64::{
    __m128, __m256, _mm256_castps256_ps128, _mm256_extractf128_ps, _mm256_fmadd_ps,
    _mm256_loadu_ps, _mm256_mul_ps, _mm256_set1_ps, _mm256_setzero_ps, _mm256_storeu_ps,
    _mm256_sub_ps, _mm_add_ps, _mm_hadd_ps, _mm_storeu_ps,
};

/// The number of values in a register.
const LANES: usize = 8;
/// The number of inputs taken at a time, so that a batch's share of them stays in the first-level
/// cache.
const BLOCK: usize = 512;

/// Calls `$f::<N>` for the largest N ≤ 5 that `$left` allows, and evaluates to N.
macro_rules! up_to_five {
    ($left:expr, $f:ident ( $($arg:expr),* )) => {
        match $left {
            1 => { $f::<1>($($arg),*); 1 }
            2 => { $f::<2>($($arg),*); 2 }
            3 => { $f::<3>($($arg),*); 3 }
            4 => { $f::<4>($($arg),*); 4 }
            _ => { $f::<5>($($arg),*); 5 }
        }
    };
}

/// Adds `x · wᵀ` to y.
///
/// # Safety
/// The processor has AVX2 and FMA; x, w and y have batch × inputs, outputs × inputs and batch × outputs values.
#[target_feature(enable = "avx2,fma")]
pub(super) unsafe fn forward(k: Kernel, x: &[f32], w: &[f32], y: &mut [f32]) {
    // SAFETY: the slices are of the kernel's sizes, and what is taken of them (samples from `b`, outputs
    // from `o`, inputs from `from` to `to`) never goes beyond those; the features are the caller's.
    unsafe {
        let mut from = 0;
        while from < k.inputs {
            let to = k.inputs.min(from + BLOCK);
            let mut o = 0;
            while o < k.outputs {
                let mut b = 0;
                if o + 1 < k.outputs {
                    while b < k.batch {
                        b += up_to_five!(k.batch - b, dots_of_two(k, x, w, y, b, o, from, to));
                    }
                    o += 2;
                } else {
                    while b < k.batch {
                        b += up_to_five!(k.batch - b, dots_of_one(k, x, w, y, b, o, from, to));
                    }
                    o += 1;
                }
            }
            from = to;
        }
    }
}

/// [`dots`] for two outputs, compiled once.
///
/// # Safety
/// The conditions are those of [`dots`].
#[target_feature(enable = "avx2,fma")]
#[allow(clippy::too_many_arguments)]
unsafe fn dots_of_two<const B: usize>(
    k: Kernel,
    x: &[f32],
    w: &[f32],
    y: &mut [f32],
    b: usize,
    o: usize,
    from: usize,
    to: usize,
) {
    // SAFETY: as the caller promises for this function.
    unsafe {
        dots::<B, 2>(k, x, w, y, b, o, from, to);
    }
}

/// [`dots`] for one output, compiled once.
///
/// # Safety
/// The conditions are those of [`dots`].
#[target_feature(enable = "avx2,fma")]
#[allow(clippy::too_many_arguments)]
unsafe fn dots_of_one<const B: usize>(
    k: Kernel,
    x: &[f32],
    w: &[f32],
    y: &mut [f32],
    b: usize,
    o: usize,
    from: usize,
    to: usize,
) {
    // SAFETY: as the caller promises for this function.
    unsafe {
        dots::<B, 1>(k, x, w, y, b, o, from, to);
    }
}

/// Adds to B × O outputs their products over the inputs `from..to`.
///
/// # Safety
/// The conditions of [`forward`] hold; `b + B`, `o + O` and `to` are at most batch, outputs and
/// inputs.
#[target_feature(enable = "avx2,fma")]
#[inline]
#[allow(clippy::too_many_arguments)]
unsafe fn dots<const B: usize, const O: usize>(
    k: Kernel,
    x: &[f32],
    w: &[f32],
    y: &mut [f32],
    b: usize,
    o: usize,
    from: usize,
    to: usize,
) {
    // SAFETY: rows `b..b + B` of x, `o..o + O` of w and their crossings in y exist, and in each row
    // the inputs below `to`; loads and stores need no alignment.
    unsafe {
        let mut rows = [x.as_ptr(); B];
        for r in 0..B {
            rows[r] = x.as_ptr().add((b + r) * k.inputs);
        }
        let mut weights = [w.as_ptr(); O];
        for c in 0..O {
            weights[c] = w.as_ptr().add((o + c) * k.inputs);
        }
        let mut sums = [[_mm256_setzero_ps(); B]; O];
        let mut i = from;
        while i + LANES <= to {
            let mut terms = [_mm256_setzero_ps(); O];
            for c in 0..O {
                terms[c] = _mm256_loadu_ps(weights[c].add(i));
            }
            for r in 0..B {
                let row = _mm256_loadu_ps(rows[r].add(i));
                for c in 0..O {
                    sums[c][r] = _mm256_fmadd_ps(row, terms[c], sums[c][r]);
                }
            }
            i += LANES;
        }
        for c in 0..O {
            let mut first = 0;
            while first < B {
                let mut four = [_mm256_setzero_ps(); 4];
                for r in 0..4 {
                    four[r] = sums[c][(first + r).min(B - 1)];
                }
                let totals = totals(four);
                for r in first..B.min(first + 4) {
                    let mut sum = totals[r - first];
                    for i in i..to {
                        sum += *rows[r].add(i) * *weights[c].add(i);
                    }
                    *y.get_unchecked_mut((b + r) * k.outputs + o + c) += sum;
                }
                first += 4;
            }
        }
    }
}

/// The sum of the lanes of each of four registers, in the order ((0 + 4) + (1 + 5)) + ((2 + 6) + (3
/// + 7)).
#[target_feature(enable = "avx2,fma")]
#[inline]
fn totals(v: [__m256; 4]) -> [f32; 4] {
    let low = _mm_hadd_ps(halved(v[0]), halved(v[1]));
    let high = _mm_hadd_ps(halved(v[2]), halved(v[3]));
    let mut totals = [0.0; 4];
    // SAFETY: there is room for four values, and the store needs no alignment.
    unsafe { _mm_storeu_ps(totals.as_mut_ptr(), _mm_hadd_ps(low, high)) };
    totals
}

/// The upper half of a register added to the lower one.
#[target_feature(enable = "avx2,fma")]
#[inline]
fn halved(v: __m256) -> __m128 {
    _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps::<1>(v))
}

/// # Safety
/// The processor has AVX2 and FMA; g, w and dx have batch × outputs, outputs × inputs and batch × inputs values.
#[target_feature(enable = "avx2,fma")]
pub(super) unsafe fn input_gradient(k: Kernel, g: &[f32], w: &[f32], dx: &mut [f32]) {
    // SAFETY: g has a factor for each sample and output, w a row for each output, dx one for each
    // sample, as wide as there are inputs; dx is borrowed to write, so nothing else lies in it.
    unsafe {
        // Rows of the result are sums of rows of the weights, with factors from a row of g.
        let sum = Sum {
            factors: g.as_ptr(),
            factor_row: k.outputs,
            factor_step: 1,
            terms: w.as_ptr(),
            count: k.outputs,
            width: k.inputs,
            out: dx.as_mut_ptr(),
        };
        sum.run(k.batch, 0, k.inputs, Plain);
    }
}

/// # Safety
/// The processor has AVX2 and FMA; g, x and dw have batch × outputs, batch × inputs and outputs × inputs values.
#[target_feature(enable = "avx2,fma")]
pub(super) unsafe fn weight_gradient(k: Kernel, g: &[f32], x: &[f32], dw: &mut [f32]) {
    // SAFETY: as the caller promises, and dw has a row for each output, as wide as there are inputs.
    unsafe {
        over_batch(k, g, x, dw.as_mut_ptr(), Plain);
    }
}

/// # Safety
/// The conditions of [`weight_gradient`] hold, and `from` has as many values as w.
#[target_feature(enable = "avx2,fma")]
pub(super) unsafe fn descend(
    k: Kernel,
    g: &[f32],
    x: &[f32],
    lr: f32,
    from: Option<&[f32]>,
    w: &mut [f32],
) {
    // SAFETY: as for `weight_gradient`; what steps start from is as long as w, or w itself, of which each
    // place is read before it is written.
    unsafe {
        let out = w.as_mut_ptr();
        let from = from.map_or(out.cast_const(), <[f32]>::as_ptr);
        over_batch(k, g, x, out, Step { from, lr });
    }
}

/// Computes sums over the batch; each output is one row of the result.
///
/// # Safety
/// The conditions of [`weight_gradient`] hold with `out` in the place of dw, and the values that
/// `ending` reads at a place of the result exist.
#[target_feature(enable = "avx2,fma")]
unsafe fn over_batch<E: Ending>(k: Kernel, g: &[f32], x: &[f32], out: *mut f32, ending: E) {
    // SAFETY: g has a factor for each sample and output, x a row for each sample and `out` one for each
    // output, as wide as there are inputs; columns end at the width.
    unsafe {
        let sum = Sum {
            factors: g.as_ptr(),
            factor_row: 1,
            factor_step: k.outputs,
            terms: x.as_ptr(),
            count: k.batch,
            width: k.inputs,
            out,
        };
        // A block of all samples stays in the first-level cache while every output goes over it.
        let blocks = (4 * k.batch * k.inputs).div_ceil(L1).max(1);
        let block = k.inputs.div_ceil(blocks).next_multiple_of(2 * LANES);
        for from in (0..k.inputs).step_by(block) {
            sum.run(k.outputs, from, k.inputs.min(from + block), ending);
        }
    }
}

/// The number of bytes of samples that stay in the first-level cache.
const L1: usize = 32_000;

/// Computes the value to store from the sum at one place of the result.
trait Ending: Copy {
    /// # Safety
    /// The processor has AVX2; `at` and the seven places behind it are of the result.
    unsafe fn eight(self, at: usize, sum: __m256) -> __m256;
    /// # Safety
    /// `at` is a place of the result.
    unsafe fn one(self, at: usize, sum: f32) -> f32;
}

/// Stores the sum itself.
#[derive(Clone, Copy)]
struct Plain;

impl Ending for Plain {
    #[inline(always)]
    unsafe fn eight(self, _: usize, sum: __m256) -> __m256 {
        sum
    }

    #[inline(always)]
    unsafe fn one(self, _: usize, sum: f32) -> f32 {
        sum
    }
}

/// Stores a step against the sum. It multiplies and then subtracts, as an optimiser does that reads
/// its gradient from memory, so that the bits agree.
#[derive(Clone, Copy)]
struct Step {
    from: *const f32,
    lr: f32,
}

impl Ending for Step {
    #[inline(always)]
    unsafe fn eight(self, at: usize, sum: __m256) -> __m256 {
        // SAFETY: the caller promises the feature, and that eight values begin at `at`.
        unsafe {
            let change = _mm256_mul_ps(_mm256_set1_ps(self.lr), sum);
            _mm256_sub_ps(_mm256_loadu_ps(self.from.add(at)), change)
        }
    }

    #[inline(always)]
    unsafe fn one(self, at: usize, sum: f32) -> f32 {
        // SAFETY: the caller promises that there is a value at `at`.
        unsafe { *self.from.add(at) - self.lr * sum }
    }
}

/// The sum `out[r, i] = Σₜ factors[r · factor_row + t · factor_step] · terms[t, i]`, where all rows
/// are `width` values long.
#[derive(Clone, Copy)]
struct Sum {
    factors: *const f32,
    factor_row: usize,
    factor_step: usize,
    terms: *const f32,
    count: usize,
    width: usize,
    out: *mut f32,
}

impl Sum {
    /// Computes the columns `from..to` of all rows.
    ///
    /// # Safety
    /// The processor has AVX2 and FMA. The pointers point to `rows` rows of the result, `count`
    /// rows of terms, and a factor for each pair of them; rows are `width` long, and `to` is at
    /// most `width`. Only `ending` reads the values that are written.
    #[target_feature(enable = "avx2,fma")]
    unsafe fn run<E: Ending>(self, rows: usize, from: usize, to: usize, ending: E) {
        // SAFETY: rows `r..r + R` exist, and the rest is what the caller promises.
        unsafe {
            let mut r = 0;
            while r < rows {
                r += match rows - r {
                    1 => panel::<1, E>(self, r, from, to, ending),
                    2 => panel::<2, E>(self, r, from, to, ending),
                    3 => panel::<3, E>(self, r, from, to, ending),
                    _ => panel::<4, E>(self, r, from, to, ending),
                };
            }
        }
    }
}

/// Computes R rows of the result and returns R. With four rows, eight sums, two terms and a factor
/// are in registers.
///
/// # Safety
/// The conditions of [`Sum::run`] hold, with at least `r + R` rows.
#[target_feature(enable = "avx2,fma")]
unsafe fn panel<const R: usize, E: Ending>(
    s: Sum,
    r: usize,
    from: usize,
    to: usize,
    ending: E,
) -> usize {
    // SAFETY: rows `r..r + R` of the result exist, as long as the width; `to` is not beyond that; factors
    // and terms are as many as the caller promises; loads and stores need no alignment.
    unsafe {
        let mut factors = [s.factors; R];
        for k in 0..R {
            factors[k] = s.factors.add((r + k) * s.factor_row);
        }
        let mut i = from;
        while i + 2 * LANES <= to {
            let mut sums = [[_mm256_setzero_ps(); 2]; R];
            for t in 0..s.count {
                let term = s.terms.add(t * s.width + i);
                let (low, high) = (_mm256_loadu_ps(term), _mm256_loadu_ps(term.add(LANES)));
                for k in 0..R {
                    let factor = _mm256_set1_ps(*factors[k].add(t * s.factor_step));
                    sums[k][0] = _mm256_fmadd_ps(factor, low, sums[k][0]);
                    sums[k][1] = _mm256_fmadd_ps(factor, high, sums[k][1]);
                }
            }
            for k in 0..R {
                for half in 0..2 {
                    let at = (r + k) * s.width + i + half * LANES;
                    _mm256_storeu_ps(s.out.add(at), ending.eight(at, sums[k][half]));
                }
            }
            i += 2 * LANES;
        }
        for i in i..to {
            for k in 0..R {
                let mut sum = 0.0f32;
                for t in 0..s.count {
                    sum = (*factors[k].add(t * s.factor_step))
                        .mul_add(*s.terms.add(t * s.width + i), sum);
                }
                let at = (r + k) * s.width + i;
                *s.out.add(at) = ending.one(at, sum);
            }
        }
        R
    }
}
