//! Compile-time proof that a type has one meaning on both sides of the kernel border.

/// Asserts the size of a `#[repr(C)]` struct and the offset of each of its fields, that the
/// fields leave no padding, and that none is missing from the list; then makes it `aya::Pod`.
macro_rules! assert_layout {
    ($type:ty, size $size:literal, { $($field:ident: $field_type:ty => $offset:literal),+ $(,)? }) => {
        const _: () = {
            assert!(size_of::<$type>() == $size, "size");
            $(assert!(core::mem::offset_of!($type, $field) == $offset, stringify!($field));)+
            assert!(0 $(+ size_of::<$field_type>())+ == $size, "padding between the fields");
            // Does not compile when a field is missing from the list or has another type.
            let _: fn($type) = |value| {
                type Listed = $type;
                let Listed { $($field),+ } = value;
                $(let _: $field_type = $field;)+
            };
        };

        #[cfg(test)]
        impl crate::layout::tests::Described for $type {
            const LAYOUT: &str = concat!(
                stringify!($type), " ", $size, ":",
                $(" ", stringify!($field), " ", stringify!($field_type), " ", $offset,)+
            );
        }

        // SAFETY: the assertions above leave no padding, the type is `Copy` and `'static`, and
        // every bit pattern of integers and byte arrays is a value.
        #[cfg(feature = "aya")]
        unsafe impl aya::Pod for $type {}
    };
}

pub(crate) use assert_layout;

#[cfg(test)]
pub(crate) mod tests;
