//! The samples that adversaries change. They are copies at the end of the data set, so that honest
//! clients see the original samples.

use crate::data::{Dataset, Values};
use serde::{Deserialize, Serialize};

/// One sample that an adversary trains on or that the success of an attack is measured on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sample {
    /// A sample of the data set, unchanged.
    AsItIs(u32),
    /// A changed copy of a sample.
    Copy {
        /// The number of the sample that is copied.
        of: u32,
        /// The label of the copy.
        label: u32,
        /// The trigger that is painted into the picture, if there is one.
        trigger: Option<Trigger>,
    },
}

/// A square of the brightest value of the data set in the lower right corner of a picture, in every
/// channel (the pattern of BadNets, Gu et al. 2019).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trigger {
    /// The side of the square, in pixels.
    pub size: u32,
}

/// The shape of pictures: channels, height and width.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Picture {
    channels: usize,
    height: usize,
    width: usize,
}

impl Picture {
    /// The picture that samples of `shape` are; `None` if the shape is not that of a picture.
    pub fn of(shape: &[usize]) -> Option<Self> {
        match *shape {
            [channels, height, width] => Some(Self {
                channels,
                height,
                width,
            }),
            _ => None,
        }
    }

    /// The longest side of a trigger that still leaves some of the picture.
    pub fn largest_trigger(&self) -> u32 {
        let side = self.height.min(self.width).saturating_sub(1);
        u32::try_from(side).unwrap_or(u32::MAX)
    }
}

impl Trigger {
    /// Paints the trigger into a sample of `shape`; does nothing if the sample is no picture.
    fn paint<T: Copy>(self, shape: &[usize], sample: &mut [T], bright: T) {
        let Some(picture) = Picture::of(shape) else {
            return;
        };
        let side = self.size as usize;
        let (top, left) = (
            picture.height.saturating_sub(side),
            picture.width.saturating_sub(side),
        );
        for channel in 0..picture.channels {
            for row in top..picture.height {
                let start = (channel * picture.height + row) * picture.width;
                if let Some(line) = sample.get_mut(start + left..start + picture.width) {
                    line.fill(bright);
                }
            }
        }
    }
}

/// The largest value of a data set, which triggers are painted with.
#[derive(Debug, Clone, Copy)]
pub(super) enum Bright {
    Byte(u8),
    Float(f32),
}

impl Bright {
    /// The largest value of `data`.
    pub fn of(data: &Dataset) -> Self {
        match &data.values {
            Values::U8(values) => Self::Byte(values.iter().copied().max().unwrap_or(u8::MAX)),
            Values::F32(values) => {
                Self::Float(values.iter().copied().fold(f32::NEG_INFINITY, f32::max))
            }
        }
    }
}

/// Adds the copies among `samples`, made of samples of `source`, to the end of `target`, and
/// returns the number in `target` of each of `samples`. Unchanged samples keep their number. The
/// two data sets must have one shape and one type of values. Without a `source`, samples of
/// `target` itself are copied.
pub(super) fn append(
    target: &mut Dataset,
    source: Option<&Dataset>,
    samples: &[Sample],
    bright: Bright,
) -> Vec<u32> {
    let width = target.sample_len();
    let shape = target.shape.clone();
    let mut places = Vec::with_capacity(samples.len());
    for sample in samples {
        let (of, label, trigger) = match *sample {
            Sample::AsItIs(number) => {
                places.push(number);
                continue;
            }
            Sample::Copy { of, label, trigger } => (of as usize, label, trigger),
        };
        let (range, end) = (of * width..(of + 1) * width, target.values.len());
        let other = source.map(|source| &source.values);
        match (&mut target.values, other, bright) {
            (Values::U8(values), other, Bright::Byte(bright)) => {
                match other {
                    Some(Values::U8(other)) => values.extend_from_slice(&other[range]),
                    _ => values.extend_from_within(range),
                }
                if let Some(trigger) = trigger {
                    trigger.paint(&shape, &mut values[end..], bright);
                }
            }
            (Values::F32(values), other, Bright::Float(bright)) => {
                match other {
                    Some(Values::F32(other)) => values.extend_from_slice(&other[range]),
                    _ => values.extend_from_within(range),
                }
                if let Some(trigger) = trigger {
                    trigger.paint(&shape, &mut values[end..], bright);
                }
            }
            // The brightest value was taken from this data set, so both are of one type and this
            // cannot happen.
            _ => continue,
        }
        places.push(target.labels.len() as u32);
        target.labels.push(label);
        if let Some(users) = &mut target.users {
            let user = users.get(of).copied().unwrap_or(0);
            users.push(user);
        }
    }
    places
}

#[cfg(test)]
mod tests {
    use super::super::testing::pictures;
    use super::*;

    #[test]
    fn a_trigger_is_a_bright_square_in_the_corner_of_the_copy_and_the_original_stays() {
        let mut data = pictures(3);
        let before = data.clone();
        let bright = Bright::of(&data);
        let trigger = Some(Trigger { size: 2 });
        let copy = Sample::Copy {
            of: 1,
            label: 2,
            trigger,
        };
        let places = append(&mut data, None, &[Sample::AsItIs(2), copy], bright);
        assert_eq!(places, [2, 3]);
        let (Values::U8(now), Values::U8(then)) = (&data.values, &before.values) else {
            panic!("bytes");
        };
        assert_eq!(now[..then.len()], then[..]);
        let (original, copy) = (&then[16..32], &now[48..]);
        for at in 0..16 {
            let (row, column) = (at / 4, at % 4);
            let expected = if row >= 2 && column >= 2 {
                200
            } else {
                original[at]
            };
            assert_eq!(copy[at], expected, "row {row} column {column}");
        }
        assert_eq!(data.labels, [0, 1, 2, 2]);
        data.validate().unwrap();
    }

    #[test]
    fn copies_of_another_data_set_are_taken_from_there() {
        let (source, mut target) = (pictures(3), pictures(1));
        let copy = Sample::Copy {
            of: 2,
            label: 0,
            trigger: None,
        };
        append(&mut target, Some(&source), &[copy], Bright::of(&source));
        let (Values::U8(target), Values::U8(source)) = (&target.values, &source.values) else {
            panic!("bytes");
        };
        assert_eq!(target[16..], source[32..]);
    }
}
