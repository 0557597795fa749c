//! Steps of plain SGD that the first layer has not taken yet.
//!
//! A step adds −lr · gᵀ · x to the weights w. As long as the outstanding steps have few samples,
//! the layer's output for a new batch x' can be computed without taking them: x' · (w − lr · gᵀ ·
//! x)ᵀ = x' · wᵀ − lr · (x' · xᵀ) · g. The weights are then read and written once for several
//! steps, not once for each.

use super::super::dense::Kernel;
use super::Lines;

/// The gradients of the layer's outputs and the layer's inputs in the outstanding steps.
#[derive(Debug, Default)]
pub(super) struct Behind {
    /// The number of samples in these steps.
    pub samples: usize,
    /// The gradients, `[samples, outputs]`.
    pub g: Lines,
    /// The inputs, `[samples, inputs]`.
    pub x: Lines,
}

impl Behind {
    /// Forgets the steps, after the weights have taken them.
    pub fn clear(&mut self) {
        self.samples = 0;
        self.g.of_len(0);
        self.x.of_len(0);
    }

    /// Adds one step.
    pub fn push(&mut self, kernel: Kernel, g: &[f32], x: &[f32]) {
        self.samples += kernel.batch();
        self.g.extend(g);
        self.x.extend(x);
    }

    /// Corrects the output `y` that the layer's old weights gave for `x`, so that it is that of the
    /// new weights.
    pub fn correct(&self, kernel: Kernel, x: &[f32], lr: f32, y: &mut [f32]) {
        if self.samples == 0 {
            return;
        }
        // The inner products of new and old samples are the output of a layer whose weights are the
        // old samples.
        let mut products = vec![0.0; kernel.batch() * self.samples];
        let inner = kernel.with_outputs(self.samples);
        inner.forward(x, self.x.as_ref(), None, &mut products);
        let width = kernel.outputs() / kernel.batch().max(1);
        let rows = y.chunks_exact_mut(width.max(1));
        for (row, products) in rows.zip(products.chunks_exact(self.samples)) {
            for (product, g) in products.iter().zip(self.g.as_ref().chunks_exact(width)) {
                let factor = lr * product;
                for (y, g) in row.iter_mut().zip(g) {
                    *y -= factor * g;
                }
            }
        }
    }
}
