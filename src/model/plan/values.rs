//! The values of a layer list: whether each is within its bounds, whatever the shapes are.

use super::{MAX_DEPTH, MAX_LAYERS};
use crate::model::{LayerProblem, LayerSpec};

/// Sizes beyond this are refused before any arithmetic, so that products of a few fit in `u64`.
pub(super) const MAX_SIZE: usize = 1 << 20;

pub(super) fn problem(problems: &mut Vec<LayerProblem>, path: &str, message: impl Into<String>) {
    problems.push(LayerProblem {
        path: path.to_owned(),
        message: message.into(),
    });
}

/// Checks that need no shape, over the whole list, so that all mistakes are seen at once.
pub(super) fn check_values(
    layers: &[LayerSpec],
    path: &str,
    depth: usize,
    count: &mut usize,
    problems: &mut Vec<LayerProblem>,
) {
    if depth > MAX_DEPTH {
        problem(
            problems,
            path,
            format!("residual blocks nest at most {MAX_DEPTH} deep"),
        );
        return;
    }
    for (i, layer) in layers.iter().enumerate() {
        *count += 1;
        if *count > MAX_LAYERS {
            if *count == MAX_LAYERS + 1 {
                problem(
                    problems,
                    path,
                    format!("a network has at most {MAX_LAYERS} layers"),
                );
            }
            return;
        }
        let here = format!("{path}[{i}]");
        let mut size = |what: &str, value: usize, least: usize| {
            if !(least..=MAX_SIZE).contains(&value) {
                let name = layer.name();
                problem(
                    problems,
                    &here,
                    format!("{name}: expected {what} from {least} to {MAX_SIZE}, got {value}"),
                );
            }
        };
        match layer {
            LayerSpec::Conv {
                out,
                kernel,
                stride,
                padding,
                ..
            } => {
                size("out", *out, 1);
                size("kernel", *kernel, 1);
                size("stride", *stride, 1);
                size("padding", *padding, 0);
            }
            LayerSpec::Dense(out, _) => size("outputs", *out, 1),
            LayerSpec::MaxPool {
                size: window,
                stride,
            }
            | LayerSpec::AvgPool {
                size: window,
                stride,
            } => {
                size("size", *window, 1);
                size("stride", stride.unwrap_or(1), 1);
            }
            LayerSpec::GroupNorm { groups } => size("groups", *groups, 1),
            // The threshold has 16 bits: a rate that rounds to 1 would drop everything.
            LayerSpec::Dropout { rate } if !(*rate >= 0.0 && threshold(*rate) < 65536.0) => {
                problem(
                    problems,
                    &here,
                    format!("Dropout: expected rate in [0, 1), got {rate}"),
                )
            }
            LayerSpec::Scaler { rate } if !(*rate > 0.0 && *rate <= 1.0) => problem(
                problems,
                &here,
                format!("Scaler: expected rate in (0, 1], got {rate}"),
            ),
            LayerSpec::Residual { body, shortcut } => {
                if body.is_empty() {
                    problem(
                        problems,
                        &here,
                        "Residual: expected at least one layer in body, got none",
                    );
                }
                check_values(body, &format!("{here}.body"), depth + 1, count, problems);
                check_values(
                    shortcut,
                    &format!("{here}.shortcut"),
                    depth + 1,
                    count,
                    problems,
                );
            }
            LayerSpec::Exit { head } => {
                if depth > 0 {
                    problem(
                        problems,
                        &here,
                        "Exit: expected at the network's own level, found inside another layer",
                    );
                }
                if head.is_empty() {
                    problem(
                        problems,
                        &here,
                        "Exit: expected at least one layer in head, got none",
                    );
                }
                check_values(head, &format!("{here}.head"), depth + 1, count, problems);
            }
            LayerSpec::Other(spec) => {
                for said in spec.get().problems() {
                    problem(problems, &here, format!("{}: {said}", layer.name()));
                }
            }
            LayerSpec::Relu
            | LayerSpec::Tanh
            | LayerSpec::Sigmoid
            | LayerSpec::GlobalAvgPool
            | LayerSpec::Flatten
            | LayerSpec::BatchNorm
            | LayerSpec::Scaler { .. }
            | LayerSpec::Dropout { .. } => {}
        }
    }
}

pub(super) fn threshold(rate: f64) -> f64 {
    (rate * 65536.0).round()
}
