//! Atomic instructions of BPF (instruction set v3, kernel 5.12).
//!
//! `core` is built without them for this target, hence the assembly; on the host, where only
//! lints and tests look at this crate, `core` does the same.

/// Adds to a counter that other CPUs add to.
///
/// # Safety
///
/// The counter is an aligned word of a map element.
#[inline(always)]
pub unsafe fn add(counter: *mut u64, value: u64) {
    #[cfg(target_arch = "bpf")]
    // SAFETY: as promised by the caller.
    unsafe {
        core::arch::asm!(
            "lock *(u64 *)({counter} + 0) += {value}",
            counter = in(reg) counter,
            value = in(reg) value,
            options(nostack),
        );
    }
    #[cfg(not(target_arch = "bpf"))]
    // SAFETY: as promised by the caller.
    unsafe {
        core::sync::atomic::AtomicU64::from_ptr(counter)
            .fetch_add(value, core::sync::atomic::Ordering::Relaxed);
    }
}

/// Sets bits of a word that other CPUs set bits of.
///
/// # Safety
///
/// The word is an aligned word of a map element.
#[inline(always)]
pub unsafe fn or(word: *mut u64, bits: u64) {
    #[cfg(target_arch = "bpf")]
    // SAFETY: as promised by the caller.
    unsafe {
        core::arch::asm!(
            "lock *(u64 *)({word} + 0) |= {bits}",
            word = in(reg) word,
            bits = in(reg) bits,
            options(nostack),
        );
    }
    #[cfg(not(target_arch = "bpf"))]
    // SAFETY: as promised by the caller.
    unsafe {
        core::sync::atomic::AtomicU64::from_ptr(word)
            .fetch_or(bits, core::sync::atomic::Ordering::Relaxed);
    }
}
