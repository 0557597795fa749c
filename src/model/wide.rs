//! Loops compiled for wider registers where the processor has them.

/// Runs `body` as compiled for AVX2 if the processor has that. The compiler may then do eight
/// operations at once, but the same ones: fused multiply-adds stay off, so the bits are the same
/// everywhere. For loops over slices that are inlined into `body`.
#[inline]
pub(crate) fn wide<T>(body: impl FnOnce() -> T) -> T {
    #[cfg(target_arch = "x86_64")]
    if std::arch::is_x86_feature_detected!("avx2") {
        // SAFETY: the processor was just asked for what it is compiled for.
        return unsafe { with_avx2(body) };
    }
    body()
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn with_avx2<T>(body: impl FnOnce() -> T) -> T {
    body()
}
