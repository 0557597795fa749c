//! Steps of plain SGD that the first layer has not taken yet.
//!
//! A step adds −lr · gᵀ · x to the weights w. As long as few samples are behind, the layer's outputs
//! for a new batch x' are had without it: x' · (w − lr · gᵀ · x)ᵀ = x' · wᵀ − lr · (x' · xᵀ) · g. The
//! weights of all steps together are then read and written once, not once a step.

use super::super::dense::Kernel;
use super::Lines;

/// Gradients of the layer's outputs, and its inputs, of the steps that are still to be taken.
#[derive(Debug, Default)]
pub(super) struct Behind {
    pub samples: usize,
    /// `[samples, outputs]`.
    pub g: Lines,
    /// `[samples, inputs]`.
    pub x: Lines,
}

impl Behind {
    pub fn clear(&mut self) {
        self.samples = 0;
        self.g.of_len(0);
        self.x.of_len(0);
    }

    /// One more step.
    pub fn push(&mut self, kernel: Kernel, g: &[f32], x: &[f32]) {
        self.samples += kernel.batch();
        self.g.extend(g);
        self.x.extend(x);
    }

    /// Turns what the kernel's layer gave for `x` into what it will give once it has caught up.
    pub fn correct(&self, kernel: Kernel, x: &[f32], lr: f32, y: &mut [f32]) {
        if self.samples == 0 {
            return;
        }
        // The inner products of new and old samples: a layer whose weights are the old ones.
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
