//! Loops compiled for wider registers where the processor has them.

/// Declares a function that is compiled twice: for AVX2, which runs where the processor has it, and
/// for every processor.
///
/// With AVX2 the compiler may do eight operations at once, but they are the operations of the other
/// copy: fused multiply-adds stay off, so the bits are equal everywhere. For example,
///
/// ```text
/// wide! {
///     /// Doubles every value.
///     fn double(values: &mut [f32]) {
///         for value in values {
///             *value *= 2.0;
///         }
///     }
/// }
/// ```
///
/// What the loop calls must be inlined into it: only then is it compiled for AVX2, too.
macro_rules! wide {
    (
        $(#[$meta:meta])*
        $vis:vis fn $name:ident($($arg:ident: $type:ty),* $(,)?) $(-> $out:ty)? $body:block
    ) => {
        $(#[$meta])*
        $vis fn $name($($arg: $type),*) $(-> $out)? {
            #[inline(always)]
            fn on_any($($arg: $type),*) $(-> $out)? $body

            #[cfg(target_arch = "x86_64")]
            {
                #[target_feature(enable = "avx2")]
                fn on_avx2($($arg: $type),*) $(-> $out)? {
                    on_any($($arg),*)
                }
                if std::arch::is_x86_feature_detected!("avx2") {
                    // SAFETY: the processor was just asked for the feature that the function is compiled for.
                    return unsafe { on_avx2($($arg),*) };
                }
            }
            on_any($($arg),*)
        }
    };
}
pub(crate) use wide;
