//! Memory for keys: pages of their own, which nobody else reads and which no swap device or core dump gets.

use std::hint::black_box;
use std::io;

use memmap2::{Advice, MmapMut};
use zeroize::{Zeroize as _, ZeroizeOnDrop};

/// What is wiped of the stack after a key was used: more than signing needs, in words.
const STACK_WORDS: usize = 4096;
/// Bytes of a key.
pub(crate) const SECRET_LEN: usize = 32;

/// How the memory of keys is kept from others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum MemoryProtection {
    /// The kernel has no mapping of its own: no other process reads it, not even root (`memfd_secret`). Neither swapped nor
    /// dumped.
    Secret,
    /// Neither swapped nor dumped.
    Locked,
    /// Not dumped, but the limit of locked memory (`ulimit -l`) is used up, and it may be swapped.
    Swappable,
}

/// The bytes of a key, alone on pages of their own; wiped when dropped.
pub(crate) struct SecretPage {
    map: MmapMut,
    protection: MemoryProtection,
}

impl SecretPage {
    /// Pages that are kept from others as well as this kernel and its limits allow.
    ///
    /// # Errors
    /// When there is no memory at all.
    pub(crate) fn new(secret: &[u8; SECRET_LEN]) -> io::Result<Self> {
        let (map, protection) = match secret_map() {
            Ok(map) => (map, MemoryProtection::Secret),
            Err(_) => plain_map()?,
        };
        let mut page = Self { map, protection };
        if let Some(place) = page.map.first_chunk_mut() {
            *place = *secret;
        }
        Ok(page)
    }

    /// The bytes.
    pub(crate) fn bytes(&self) -> &[u8; SECRET_LEN] {
        match self.map.first_chunk() {
            Some(bytes) => bytes,
            None => unreachable!("the mapping was made with this length"),
        }
    }

    /// Where they lie.
    #[cfg(test)]
    pub(crate) fn place(&self) -> u64 {
        u64::try_from(self.map.as_ptr().addr()).unwrap()
    }

    fn wipe(&mut self) {
        self.map.zeroize();
    }
}

impl Drop for SecretPage {
    fn drop(&mut self) {
        self.wipe();
    }
}

impl ZeroizeOnDrop for SecretPage {}

fn plain_map() -> io::Result<(MmapMut, MemoryProtection)> {
    let map = MmapMut::map_anon(SECRET_LEN)?;
    // Where the kernel cannot, no core is dumped all the same: the process is not dumpable.
    let _ = map.advise(Advice::DontDump);
    let protection = if map.lock().is_ok() { MemoryProtection::Locked } else { MemoryProtection::Swappable };
    Ok((map, protection))
}

#[cfg(target_os = "linux")]
#[expect(unsafe_code, reason = "no library makes memory of memfd_secret without it")]
fn secret_map() -> io::Result<MmapMut> {
    use std::os::fd::{FromRawFd as _, OwnedFd};

    // SAFETY: memfd_secret(2) takes one number, touches no memory of ours, and returns a descriptor that nobody else has.
    let descriptor = unsafe {
        let descriptor = libc::syscall(libc::SYS_memfd_secret, libc::O_CLOEXEC);
        match i32::try_from(descriptor) {
            Ok(descriptor) if descriptor >= 0 => OwnedFd::from_raw_fd(descriptor),
            Ok(_) | Err(_) => return Err(io::Error::last_os_error()),
        }
    };
    rustix::fs::ftruncate(&descriptor, SECRET_LEN as u64)?;
    // SAFETY: nobody else has the descriptor, which is closed at the end: nobody changes or shortens what is mapped.
    unsafe { memmap2::MmapOptions::new().len(SECRET_LEN).map_mut(&descriptor) }
}

#[cfg(not(target_os = "linux"))]
fn secret_map() -> io::Result<MmapMut> {
    Err(io::ErrorKind::Unsupported.into())
}

/// How keys of this process are kept from others: a page is taken to find out.
///
/// # Errors
/// When there is no memory at all.
pub fn memory_protection() -> io::Result<MemoryProtection> {
    Ok(SecretPage::new(&[0; SECRET_LEN])?.protection)
}

/// Runs what handles a key, and wipes what that has left on the stack: moving a value leaves its bytes behind.
pub(crate) fn leaving_nothing<T>(handle: impl FnOnce() -> T) -> T {
    let done = deeper(handle);
    wipe_stack();
    done
}

#[inline(never)]
fn deeper<T>(handle: impl FnOnce() -> T) -> T {
    handle()
}

#[inline(never)]
fn wipe_stack() {
    let mut left = [0_u64; STACK_WORDS];
    black_box(&mut left).zeroize();
    black_box(&left);
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};
    use std::os::unix::fs::FileExt as _;

    use super::*;

    const SECRET: [u8; SECRET_LEN] = *b"these bytes are nobody's, really";

    /// The flags of the mapping at a place, as the kernel tells them.
    fn flags(place: u64) -> String {
        let maps = fs::read_to_string("/proc/self/smaps").unwrap();
        let mut lines = maps.lines().skip_while(|line| !line.starts_with(&format!("{place:x}-")));
        lines.find_map(|line| line.strip_prefix("VmFlags:")).unwrap().to_owned()
    }

    #[test]
    fn nobody_reads_a_secret_page_and_no_dump_has_it() {
        let page = SecretPage::new(&SECRET).unwrap();
        assert_eq!(page.bytes(), &SECRET);
        let mut read = [0; SECRET_LEN];
        let by_kernel = File::open("/proc/self/mem").unwrap().read_exact_at(&mut read, page.place());
        match page.protection {
            MemoryProtection::Secret => assert!(by_kernel.is_err() && read != SECRET),
            MemoryProtection::Locked | MemoryProtection::Swappable => {
                assert!(flags(page.place()).contains(" dd"))
            }
        }
    }

    #[test]
    fn where_there_are_no_secret_pages_they_are_locked_and_not_dumped() {
        let (map, protection) = plain_map().unwrap();
        let place = u64::try_from(map.as_ptr().addr()).unwrap();
        assert!(flags(place).contains(" dd"), "{}", flags(place));
        assert_eq!(protection == MemoryProtection::Locked, flags(place).contains(" lo"));
    }

    #[test]
    fn a_page_is_wiped_when_it_is_dropped() {
        let mut page = SecretPage::new(&SECRET).unwrap();
        page.wipe();
        assert_eq!(page.bytes(), &[0; SECRET_LEN]);
    }

    #[test]
    fn nothing_is_left_on_the_stack() {
        #[inline(never)]
        fn spread(depth: usize) -> u64 {
            let copy = black_box([SECRET; 4]);
            if depth == 0 { u64::from(copy[3][0]) } else { spread(depth - 1).wrapping_add(copy.len() as u64) }
        }
        let mut here = 0_u64;
        let top = u64::try_from(std::ptr::from_mut(&mut here).addr()).unwrap();
        let left = |kept: &dyn Fn() -> u64| {
            black_box(kept());
            let mut below = vec![0; 16 * 1024];
            File::open("/proc/self/mem").unwrap().read_exact_at(&mut below, top - 16 * 1024 - 64).unwrap();
            below.windows(SECRET_LEN).filter(|bytes| **bytes == SECRET).count()
        };
        assert!(left(&|| spread(20)) > 0, "the test looks in the right place");
        assert_eq!(left(&|| leaving_nothing(|| spread(20))), 0);
    }
}
