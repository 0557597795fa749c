//! Finds out which build of a library this process has loaded.

use crate::disk;
use std::fs::File;
use std::os::unix::fs::FileExt;

/// The type of a program header that leads to notes, and the type of the note with the build's number.
const NOTES: u32 = 4;
const BUILD_ID: u32 = 3;
/// The longest list of notes that is read, in bytes.
const MOST: u64 = 1 << 16;

/// The build's number, in hexadecimal, of the loaded library whose file name begins with `stem`.
pub fn of_library(stem: &str) -> Option<String> {
    let maps = std::fs::read_to_string("/proc/self/maps").ok()?;
    let path = maps.lines().find_map(|line| {
        let path = line.split_once('/')?.1;
        let name = path.rsplit('/').next()?;
        name.starts_with(stem).then(|| format!("/{path}"))
    })?;
    build_id(&disk::open(path.as_ref()).ok()?)
}

/// The build's number that the linker gave an ELF file of 64 bits, little-endian.
fn build_id(file: &File) -> Option<String> {
    let mut head = [0; 64];
    file.read_exact_at(&mut head, 0).ok()?;
    if !head.starts_with(b"\x7fELF\x02\x01") {
        return None;
    }
    let (table, size, count) = (
        number(&head, 32, 8)?,
        number(&head, 54, 2)?,
        number(&head, 56, 2)?,
    );
    (0..count).find_map(|at| {
        let mut header = [0; 56];
        let place = table.checked_add(at.checked_mul(size)?)?;
        file.read_exact_at(&mut header, place).ok()?;
        if number(&header, 0, 4)? != u64::from(NOTES) {
            return None;
        }
        let (place, length) = (number(&header, 8, 8)?, number(&header, 32, 8)?);
        let mut notes = vec![0; usize::try_from(length.min(MOST)).ok()?];
        file.read_exact_at(&mut notes, place).ok()?;
        in_notes(&notes)
    })
}

/// The build's number among notes. A note has the length of its name, the length of its content, its
/// type, its name and its content; the latter two are filled up to multiples of four bytes.
fn in_notes(mut notes: &[u8]) -> Option<String> {
    loop {
        let (name, content) = (number(notes, 0, 4)? as usize, number(notes, 4, 4)? as usize);
        let kind = number(notes, 8, 4)?;
        let from = 12usize.checked_add(name.checked_next_multiple_of(4)?)?;
        let to = from.checked_add(content)?;
        let of_gnu = notes.get(12..from)?.starts_with(b"GNU\0");
        if kind == u64::from(BUILD_ID) && of_gnu {
            return Some(super::super::hexadecimal(notes.get(from..to)?));
        }
        notes = notes.get(to.checked_next_multiple_of(4)?..)?;
    }
}

/// A number of `size` bytes (at most 8) at `at`.
fn number(bytes: &[u8], at: usize, size: usize) -> Option<u64> {
    let bytes = bytes.get(at..at.checked_add(size)?)?;
    Some(
        bytes
            .iter()
            .rev()
            .fold(0, |sum, byte| sum << 8 | u64::from(*byte)),
    )
}

/// The C library and its version, where it can be asked.
pub fn c_library() -> Option<String> {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    {
        // SAFETY: it gives a text of the library's own that ends in a zero and lives as long as it.
        let version = unsafe { std::ffi::CStr::from_ptr(libc::gnu_get_libc_version()) };
        Some(format!("glibc {}", version.to_str().ok()?))
    }
    #[cfg(not(all(target_os = "linux", target_env = "gnu")))]
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_is_found_behind_others_and_half_a_note_is_none() {
        let note = |kind: u8, name: &[u8], content: &[u8]| {
            let mut bytes = vec![
                name.len() as u8,
                0,
                0,
                0,
                content.len() as u8,
                0,
                0,
                0,
                kind,
                0,
                0,
                0,
            ];
            for part in [name, content] {
                bytes.extend(part);
                bytes.resize(bytes.len().next_multiple_of(4), 0);
            }
            bytes
        };
        let other = note(1, b"GNU\0", b"abcde");
        let wanted = note(3, b"GNU\0", &[0xca, 0xfe, 0x01]);
        let both = [other.as_slice(), &wanted].concat();
        assert_eq!(in_notes(&both).as_deref(), Some("cafe01"));
        assert_eq!(in_notes(&other), None);
        for end in 0..both.len() - 1 {
            assert_eq!(in_notes(&both[..end]), None, "cut at {end}");
        }
        assert_eq!(in_notes(&[0xff; 64]), None);
    }

    #[test]
    #[cfg(feature = "torch")]
    fn the_library_that_computes_has_a_number_and_what_is_none_has_not() {
        let build = of_library("libtorch_cpu").expect("libtorch is loaded");
        assert!(
            build.len() >= 16 && build.chars().all(|c| c.is_ascii_hexdigit()),
            "{build}"
        );
        assert_eq!(of_library("libnothing_of_that_name"), None);
        let text = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(text.path(), [b'x'; 200]).unwrap();
        assert_eq!(build_id(text.as_file()), None);
    }
}
