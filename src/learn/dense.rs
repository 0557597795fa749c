//! Dense layers with small batches, without the packing of a general matrix product.
//!
//! With a handful of samples, the time of a dense layer is that of reading its weights once, but a
//! general matrix product first copies them into panels. These three kernels read the weights in
//! place. They need AVX2 and FMA. Where the processor lacks these, and for large batches,
//! [`Kernel::for_batch`] returns `None` and the caller uses torch. The order of additions depends
//! only on the sizes.

/// A kernel for a layer of a certain size: weights are `[outputs, inputs]`, a batch is
/// `[batch, inputs]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Kernel {
    batch: usize,
    inputs: usize,
    outputs: usize,
}

/// The batch size from which a general matrix product uses its packed panels often enough to be
/// faster.
const MAX_BATCH: usize = 32;

impl Kernel {
    /// The kernel for these sizes; `None` if it cannot run here or would not be faster.
    pub(super) fn for_batch(batch: usize, inputs: usize, outputs: usize) -> Option<Self> {
        (batch <= MAX_BATCH && supported()).then_some(Self {
            batch,
            inputs,
            outputs,
        })
    }

    /// The kernel of this layer for another batch size.
    pub(super) const fn with_batch(self, batch: usize) -> Self {
        Self { batch, ..self }
    }

    /// The number of values in a batch of inputs.
    pub(super) const fn inputs(self) -> usize {
        self.batch * self.inputs
    }

    /// The number of values in a batch of outputs.
    pub(super) const fn outputs(self) -> usize {
        self.batch * self.outputs
    }

    /// The numbers of values of a batch of inputs, of the weights, and of a batch of outputs;
    /// `None` on overflow.
    const fn sizes(self) -> Option<[usize; 3]> {
        let (batch, inputs, outputs) = (self.batch, self.inputs, self.outputs);
        match (
            batch.checked_mul(inputs),
            inputs.checked_mul(outputs),
            batch.checked_mul(outputs),
        ) {
            (Some(x), Some(w), Some(y)) => Some([x, w, y]),
            _ => None,
        }
    }

    /// Computes `y = x · wᵀ + bias`.
    pub(super) fn forward(self, x: &[f32], w: &[f32], bias: Option<&[f32]>, y: &mut [f32]) {
        assert_eq!(Some([x.len(), w.len(), y.len()]), self.sizes());
        for row in y.chunks_exact_mut(self.outputs.max(1)) {
            match bias {
                Some(bias) => row.copy_from_slice(bias),
                None => row.fill(0.0),
            }
        }
        // SAFETY: a kernel exists only where the processor has AVX2 and FMA (`for_batch` asks); the
        // sizes of all slices were just checked, and y is borrowed to write, so nothing else lies in it.
        #[cfg(target_arch = "x86_64")]
        unsafe {
            x86::forward(self, x, w, y);
        }
    }

    /// Computes `dx = g · w`, for `g` of shape `[batch, outputs]`.
    pub(super) fn input_gradient(self, g: &[f32], w: &[f32], dx: &mut [f32]) {
        assert_eq!(Some([dx.len(), w.len(), g.len()]), self.sizes());
        // SAFETY: as for `forward`.
        #[cfg(target_arch = "x86_64")]
        unsafe {
            x86::input_gradient(self, g, w, dx);
        }
    }

    /// Computes `dw = gᵀ · x`, for `g` of shape `[batch, outputs]`.
    pub(super) fn weight_gradient(self, g: &[f32], x: &[f32], dw: &mut [f32]) {
        assert!(self.batch <= MAX_BATCH);
        assert_eq!(Some([x.len(), dw.len(), g.len()]), self.sizes());
        // SAFETY: as for `forward`.
        #[cfg(target_arch = "x86_64")]
        unsafe {
            x86::weight_gradient(self, g, x, dw);
        }
    }

    /// Computes `w = from − lr · gᵀ · x`, for `g` of shape `[batch, outputs]`; if `from` is not
    /// given, it is `w` itself. The bits are those of [`Self::weight_gradient`] followed by a step
    /// of plain SGD.
    pub(super) fn descend(
        self,
        g: &[f32],
        x: &[f32],
        lr: f32,
        from: Option<&[f32]>,
        w: &mut [f32],
    ) {
        assert!(self.batch <= MAX_BATCH);
        assert_eq!(Some([x.len(), w.len(), g.len()]), self.sizes());
        assert_eq!(from.map_or(w.len(), <[f32]>::len), w.len());
        // SAFETY: as for `forward`.
        #[cfg(target_arch = "x86_64")]
        unsafe {
            x86::descend(self, g, x, lr, from, w);
        }
    }
}

#[cfg(target_arch = "x86_64")]
fn supported() -> bool {
    std::arch::is_x86_feature_detected!("avx2") && std::arch::is_x86_feature_detected!("fma")
}

#[cfg(not(target_arch = "x86_64"))]
fn supported() -> bool {
    false
}

#[cfg(target_arch = "x86_64")]
mod x86;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn values(n: usize, salt: usize) -> Vec<f32> {
        (0..n)
            .map(|i| ((i * 7919 + salt * 104_729) % 2003) as f32 / 1001.0 - 1.0)
            .collect()
    }

    /// Compares with `reference(row, column)` in double precision over `terms` products.
    fn compare(got: &[f32], columns: usize, terms: usize, reference: impl Fn(usize, usize) -> f64) {
        for (at, &got) in got.iter().enumerate() {
            let expected = reference(at / columns, at % columns);
            let bound = 1e-6 * (terms as f64 + 1.0);
            assert!(
                (f64::from(got) - expected).abs() <= bound,
                "{at}: {got} against {expected}"
            );
        }
    }

    fn check(batch: usize, inputs: usize, outputs: usize) {
        let Some(kernel) = Kernel::for_batch(batch, inputs, outputs) else {
            return;
        };
        let (x, w) = (values(batch * inputs, 1), values(outputs * inputs, 2));
        let (g, bias) = (values(batch * outputs, 3), values(outputs, 4));
        let wide = |v: &[f32], at: usize| f64::from(v[at]);
        let product = |b: usize, o: usize| -> f64 {
            (0..inputs)
                .map(|i| wide(&x, b * inputs + i) * wide(&w, o * inputs + i))
                .sum()
        };
        let mut y = vec![f32::NAN; batch * outputs];
        kernel.forward(&x, &w, Some(&bias), &mut y);
        compare(&y, outputs, inputs, |b, o| wide(&bias, o) + product(b, o));
        kernel.forward(&x, &w, None, &mut y);
        compare(&y, outputs, inputs, product);
        let mut dx = vec![f32::NAN; batch * inputs];
        kernel.input_gradient(&g, &w, &mut dx);
        compare(&dx, inputs, outputs, |b, i| {
            (0..outputs)
                .map(|o| wide(&g, b * outputs + o) * wide(&w, o * inputs + i))
                .sum()
        });
        let mut dw = vec![f32::NAN; outputs * inputs];
        kernel.weight_gradient(&g, &x, &mut dw);
        let stepped: Vec<f32> = w.iter().zip(&dw).map(|(w, dw)| w - 0.3 * dw).collect();
        let mut moved = vec![f32::NAN; outputs * inputs];
        kernel.descend(&g, &x, 0.3, Some(&w), &mut moved);
        assert_eq!(moved, stepped);
        moved.copy_from_slice(&w);
        kernel.descend(&g, &x, 0.3, None, &mut moved);
        assert_eq!(moved, stepped);
        compare(&dw, inputs, batch, |o, i| {
            (0..batch)
                .map(|b| wide(&g, b * outputs + o) * wide(&x, b * inputs + i))
                .sum()
        });
    }

    #[test]
    fn layers_longer_than_a_block_are_right() {
        check(10, 1300, 5);
        check(7, 1024, 4);
    }

    #[test]
    fn a_large_batch_is_left_to_torch() {
        assert_eq!(Kernel::for_batch(MAX_BATCH + 1, 4, 4), None);
    }

    proptest! {
        #[test]
        fn every_size_gives_the_products_of_double_precision(
            batch in 1usize..=12, inputs in 1usize..50, outputs in 1usize..20
        ) {
            check(batch, inputs, outputs);
        }
    }
}
