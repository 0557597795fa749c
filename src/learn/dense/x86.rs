//! The kernels for AVX2 and FMA. Every function is unsafe to call without those two, and expects
//! slices of the sizes its caller has checked.

use super::Kernel;
use std::arch::x86_64::{
    __m256, _mm256_fmadd_ps, _mm256_loadu_ps, _mm256_mul_ps, _mm256_set1_ps, _mm256_setzero_ps,
    _mm256_storeu_ps, _mm256_sub_ps,
};

/// Values in a register.
const LANES: usize = 8;
/// Inputs taken at a time, so that a batch's share of them stays in the first-level cache.
const BLOCK: usize = 512;

/// Calls `$f::<N>` for the largest N ≤ 5 that `$left` allows, and gives N.
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

#[target_feature(enable = "avx2,fma")]
pub(super) unsafe fn forward(k: Kernel, x: &[f32], w: &[f32], y: &mut [f32]) {
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
    dots::<B, 2>(k, x, w, y, b, o, from, to);
}

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
    dots::<B, 1>(k, x, w, y, b, o, from, to);
}

/// Adds to B × O outputs their products over the inputs `from..to`.
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
    let rows: [*const f32; B] = std::array::from_fn(|r| x.as_ptr().add((b + r) * k.inputs));
    let weights: [*const f32; O] = std::array::from_fn(|c| w.as_ptr().add((o + c) * k.inputs));
    let mut sums = [[_mm256_setzero_ps(); B]; O];
    let mut i = from;
    while i + LANES <= to {
        let weights: [__m256; O] = std::array::from_fn(|c| _mm256_loadu_ps(weights[c].add(i)));
        for r in 0..B {
            let row = _mm256_loadu_ps(rows[r].add(i));
            for c in 0..O {
                sums[c][r] = _mm256_fmadd_ps(row, weights[c], sums[c][r]);
            }
        }
        i += LANES;
    }
    for c in 0..O {
        for r in 0..B {
            let mut sum = total(sums[c][r]);
            for i in i..to {
                sum += *rows[r].add(i) * *weights[c].add(i);
            }
            *y.get_unchecked_mut((b + r) * k.outputs + o + c) += sum;
        }
    }
}

#[target_feature(enable = "avx2,fma")]
#[inline]
unsafe fn total(v: __m256) -> f32 {
    let mut lanes = [0.0f32; LANES];
    _mm256_storeu_ps(lanes.as_mut_ptr(), v);
    ((lanes[0] + lanes[4]) + (lanes[1] + lanes[5]))
        + ((lanes[2] + lanes[6]) + (lanes[3] + lanes[7]))
}

#[target_feature(enable = "avx2,fma")]
pub(super) unsafe fn input_gradient(k: Kernel, g: &[f32], w: &[f32], dx: &mut [f32]) {
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
    sum.run(k.batch, Plain);
}

#[target_feature(enable = "avx2,fma")]
pub(super) unsafe fn weight_gradient(k: Kernel, g: &[f32], x: &[f32], dw: &mut [f32]) {
    over_batch(k, g, x, dw.as_mut_ptr()).run(k.outputs, Plain);
}

#[target_feature(enable = "avx2,fma")]
pub(super) unsafe fn descend(
    k: Kernel,
    g: &[f32],
    x: &[f32],
    lr: f32,
    from: Option<&[f32]>,
    w: &mut [f32],
) {
    let out = w.as_mut_ptr();
    let from = from.map_or(out.cast_const(), <[f32]>::as_ptr);
    over_batch(k, g, x, out).run(k.outputs, Step { from, lr });
}

/// Rows of the result are sums of rows of the batch, with factors from a column of g.
fn over_batch(k: Kernel, g: &[f32], x: &[f32], out: *mut f32) -> Sum {
    Sum {
        factors: g.as_ptr(),
        factor_row: 1,
        factor_step: k.outputs,
        terms: x.as_ptr(),
        count: k.batch,
        width: k.inputs,
        out,
    }
}

/// What is stored of a sum at one place of the result.
trait Ending: Copy {
    unsafe fn eight(self, at: usize, sum: __m256) -> __m256;
    unsafe fn one(self, at: usize, sum: f32) -> f32;
}

/// The sum.
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

/// A step against the sum; multiplied and subtracted one after the other, as an optimiser does it
/// whose gradient comes from memory.
#[derive(Clone, Copy)]
struct Step {
    from: *const f32,
    lr: f32,
}

impl Ending for Step {
    #[inline(always)]
    unsafe fn eight(self, at: usize, sum: __m256) -> __m256 {
        let change = _mm256_mul_ps(_mm256_set1_ps(self.lr), sum);
        _mm256_sub_ps(_mm256_loadu_ps(self.from.add(at)), change)
    }

    #[inline(always)]
    unsafe fn one(self, at: usize, sum: f32) -> f32 {
        *self.from.add(at) - self.lr * sum
    }
}

/// `out[r, i] = Σₜ factors[r · factor_row + t · factor_step] · terms[t, i]`, all rows `width` long.
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
    #[target_feature(enable = "avx2,fma")]
    unsafe fn run<E: Ending>(self, rows: usize, ending: E) {
        let mut r = 0;
        while r < rows {
            r += match rows - r {
                1 => panel::<1, E>(self, r, ending),
                2 => panel::<2, E>(self, r, ending),
                3 => panel::<3, E>(self, r, ending),
                _ => panel::<4, E>(self, r, ending),
            };
        }
    }
}

/// R rows of the result; gives R. (Four rows: eight sums, two terms and a factor in registers.)
#[target_feature(enable = "avx2,fma")]
unsafe fn panel<const R: usize, E: Ending>(s: Sum, r: usize, ending: E) -> usize {
    let factors: [*const f32; R] = std::array::from_fn(|k| s.factors.add((r + k) * s.factor_row));
    let mut i = 0;
    while i + 2 * LANES <= s.width {
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
        for (k, sums) in sums.into_iter().enumerate() {
            for (half, sum) in sums.into_iter().enumerate() {
                let at = (r + k) * s.width + i + half * LANES;
                _mm256_storeu_ps(s.out.add(at), ending.eight(at, sum));
            }
        }
        i += 2 * LANES;
    }
    for i in i..s.width {
        for (k, factors) in factors.into_iter().enumerate() {
            let mut sum = 0.0f32;
            for t in 0..s.count {
                sum = (*factors.add(t * s.factor_step)).mul_add(*s.terms.add(t * s.width + i), sum);
            }
            let at = (r + k) * s.width + i;
            *s.out.add(at) = ending.one(at, sum);
        }
    }
    R
}
