//! The kernels for AVX2 and FMA. Every function is unsafe to call without those two, and expects
//! slices of the sizes its caller has checked.

use super::Kernel;
use std::arch::x86_64::{
    __m256, _mm256_fmadd_ps, _mm256_loadu_ps, _mm256_set1_ps, _mm256_setzero_ps, _mm256_storeu_ps,
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
    sum.run(k.batch);
}

#[target_feature(enable = "avx2,fma")]
pub(super) unsafe fn weight_gradient(k: Kernel, g: &[f32], x: &[f32], dw: &mut [f32]) {
    // Rows of the result are sums of rows of the batch, with factors from a column of g.
    let sum = Sum {
        factors: g.as_ptr(),
        factor_row: 1,
        factor_step: k.outputs,
        terms: x.as_ptr(),
        count: k.batch,
        width: k.inputs,
        out: dw.as_mut_ptr(),
    };
    sum.run(k.outputs);
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
    unsafe fn run(self, rows: usize) {
        let mut from = 0;
        while from < self.width {
            let to = self.width.min(from + 2 * LANES * 4);
            let mut r = 0;
            while r < rows {
                r += up_to_five!(rows - r, panel(self, r, from, to));
            }
            from = to;
        }
    }
}

/// R rows of the result over the columns `from..to`.
#[target_feature(enable = "avx2,fma")]
unsafe fn panel<const R: usize>(s: Sum, r: usize, from: usize, to: usize) {
    let factors: [*const f32; R] = std::array::from_fn(|k| s.factors.add((r + k) * s.factor_row));
    let outs: [*mut f32; R] = std::array::from_fn(|k| s.out.add((r + k) * s.width));
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
            _mm256_storeu_ps(outs[k].add(i), sums[k][0]);
            _mm256_storeu_ps(outs[k].add(i + LANES), sums[k][1]);
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
            *outs[k].add(i) = sum;
        }
    }
}
