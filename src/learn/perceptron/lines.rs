//! Vectors that begin at the start of a cache line, so that no load of a register touches two
//! lines.

/// The values of one cache line.
#[derive(Debug, Clone, Copy, Default)]
#[repr(C, align(64))]
struct Line([f32; Line::VALUES]);

impl Line {
    const VALUES: usize = 16;
}

/// A vector of values that begins at a cache line. It keeps its memory when it becomes shorter.
#[derive(Debug, Default)]
pub(super) struct Lines {
    lines: Vec<Line>,
    len: usize,
}

impl Lines {
    /// The first `len` values; their contents are unspecified.
    pub fn of_len(&mut self, len: usize) -> &mut [f32] {
        let lines = len.div_ceil(Line::VALUES);
        if lines > self.lines.len() {
            self.lines.resize(lines, Line::default());
        }
        self.len = len;
        self.as_mut()
    }
}

impl AsRef<[f32]> for Lines {
    fn as_ref(&self) -> &[f32] {
        // SAFETY: lines are arrays of values without anything between them, and `len` is at most
        // what they hold.
        unsafe { std::slice::from_raw_parts(self.lines.as_ptr().cast(), self.len) }
    }
}

impl AsMut<[f32]> for Lines {
    fn as_mut(&mut self) -> &mut [f32] {
        // SAFETY: as for `as_ref`; the lines are borrowed for as long.
        unsafe { std::slice::from_raw_parts_mut(self.lines.as_mut_ptr().cast(), self.len) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_begin_at_a_line_and_stay_when_more_come() {
        let mut lines = Lines::default();
        assert!(lines.as_ref().is_empty());
        lines.of_len(3).copy_from_slice(&[1.0, 2.0, 3.0]);
        lines.of_len(33)[3..].copy_from_slice(&[4.0; 30]);
        let values = lines.as_ref();
        assert_eq!(
            (values.len(), &values[..4]),
            (33, &[1.0, 2.0, 3.0, 4.0][..])
        );
        assert_eq!(values.as_ptr() as usize % 64, 0);
        assert_eq!(lines.of_len(2), [1.0, 2.0]);
    }
}
