//! Memory that is never written to a swap device.

/// Keeps the pages of a value in memory, for as long as the process lives: another key may lie on the same page, and
/// unlocking it for one would unlock it for both.
pub(crate) fn lock<T>(value: &T) -> Result<(), String> {
    let locked =
        region::lock(std::ptr::from_ref(value), size_of::<T>()).map_err(|error| error.to_string())?;
    std::mem::forget(locked);
    Ok(())
}

/// Whether keys of this process are kept from swap devices: a page is locked to find out.
///
/// # Errors
/// Why not, such as the limit of locked memory (`ulimit -l`).
pub fn try_memory_lock() -> Result<(), String> {
    let page = Box::new([0_u8; 64]);
    region::lock(page.as_ptr(), page.len()).map(drop).map_err(|error| error.to_string())
}
