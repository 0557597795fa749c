//! The allocator's settings. They hold for the whole process, so the program makes them and not the library.

/// Makes the allocator keep the megabytes that every training step frees and allocates again. By default
/// glibc returns large blocks to the system at once, and getting them back costs a page fault for every
/// four kilobytes: a twentieth of a training step. [`super::main`] calls this; a program that trains with
/// the library and has a `main` of its own may call it first.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
pub fn keep_freed_memory() {
    use std::ffi::c_int;
    extern "C" {
        fn mallopt(parameter: c_int, value: c_int) -> c_int;
    }
    const M_MXFAST: c_int = 1;
    const M_TRIM_THRESHOLD: c_int = -1;
    const M_MMAP_THRESHOLD: c_int = -3;
    // SAFETY: declared as in malloc.h; it only sets tuning parameters, under malloc's own lock. What it
    // returns is whether it did; if not, allocation is as slow as before.
    unsafe {
        mallopt(M_MMAP_THRESHOLD, 32 << 20);
        mallopt(M_TRIM_THRESHOLD, 256 << 20);
        // This avoids the lists of small blocks that every free of a large block walks through; threads
        // have caches of their own for small blocks.
        mallopt(M_MXFAST, 0);
    }
}

/// Other allocators keep what is freed.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub fn keep_freed_memory() {}
