//! Run-time choice of instruction set for inner loops.
//!
//! A loop is written once, as a safe, portable `#[inline(always)]` function; [`wide!`](crate::codec::kernel::wide) compiles it a second
//! time for CPUs with AVX2, BMI2 and LZCNT. Both come from the same source and do only integer arithmetic, so they give the same bytes.

/// Defines `$name`, which runs `$body` compiled for the CPU at hand.
macro_rules! wide {
    ($(#[$doc:meta])* fn $name:ident $(<$lane:ident : Lane $(, const $n:ident : usize)?>)? ($($arg:ident : $ty:ty),* $(,)?) $(-> $ret:ty)? = $body:ident) => {
        $(#[$doc])*
        fn $name $(<$lane: Lane $(, const $n: usize)?>)? ($($arg: $ty),*) $(-> $ret)? {
            #[cfg(target_arch = "x86_64")]
            {
                #[target_feature(enable = "avx2,bmi1,bmi2,lzcnt,popcnt")]
                fn on_avx2 $(<$lane: Lane $(, const $n: usize)?>)? ($($arg: $ty),*) $(-> $ret)? {
                    $body $(::<$lane $(, $n)?>)? ($($arg),*)
                }
                if $crate::codec::kernel::has_avx2() {
                    // SAFETY: `on_avx2` is safe code; all that it needs is the CPU features just found.
                    #[allow(unsafe_code, reason = "safe code that is compiled for the CPU features just found")]
                    return unsafe { on_avx2 $(::<$lane $(, $n)?>)? ($($arg),*) };
                }
            }
            $body $(::<$lane $(, $n)?>)? ($($arg),*)
        }
    };
}
pub(super) use wide;

/// Whether the CPU has what [`wide!`] compiles for.
#[cfg(target_arch = "x86_64")]
#[inline]
pub(super) fn has_avx2() -> bool {
    std::arch::is_x86_feature_detected!("avx2")
        && std::arch::is_x86_feature_detected!("bmi1")
        && std::arch::is_x86_feature_detected!("bmi2")
        && std::arch::is_x86_feature_detected!("lzcnt")
        && std::arch::is_x86_feature_detected!("popcnt")
}
